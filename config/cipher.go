package config

import (
	"crypto/tls"
	"fmt"
	"slices"
	"strings"

	"github.com/holdfast-lb/holdfast/internal/spelling"
)

// CipherSuite returns the suite of TLS 1.2 that is called name, as the IANA
// writes it. The error says what to write instead.
func CipherSuite(name string) (uint16, error) {
	var known []string
	for _, s := range tls.CipherSuites() {
		choosable := slices.Contains(s.SupportedVersions, tls.VersionTLS12)
		if s.Name == name {
			if !choosable {
				return 0, fmt.Errorf("%q belongs to TLS 1.3, all of whose suites are strong and used, leave it out", name)
			}
			return s.ID, nil
		}
		if choosable {
			known = append(known, s.Name)
		}
	}
	for _, s := range tls.InsecureCipherSuites() {
		if s.Name == name {
			return 0, fmt.Errorf("%q is insecure, use one of %s", name, strings.Join(known, ", "))
		}
	}
	// OpenSSL has other names for the same.
	plain := func(name string) string {
		return strings.NewReplacer("TLS_", "", "WITH_", "", "_", "", "-", "").Replace(name)
	}
	for _, k := range known {
		if wanted := plain(name); wanted != "" && strings.TrimSuffix(plain(k), "POLY1305SHA256") == strings.TrimSuffix(wanted, "POLY1305") {
			return 0, fmt.Errorf("%q is OpenSSL's name, write %s", name, k)
		}
	}
	if near, ok := spelling.Nearest(name, known); ok {
		return 0, fmt.Errorf("%q does not exist, did you mean %s?", name, near)
	}
	return 0, fmt.Errorf("%q does not exist, use one of %s", name, strings.Join(known, ", "))
}
