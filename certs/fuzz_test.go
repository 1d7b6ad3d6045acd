package certs

import (
	"crypto"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// FuzzPEM: files of certificates and keys yield a pair that belongs together, or
// one line for each mistake, which shows nothing of a key.
func FuzzPEM(f *testing.F) {
	cert, key := testkit.CertFiles(f, f.TempDir(), "web", testkit.NewAuthority(f).Issue("127.0.0.1"))
	read := func(file string) []byte {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		return b
	}
	certText, keyText := read(cert), read(key)
	f.Add(certText, keyText)
	f.Add(append(keyText, certText...), append(certText, keyText...))
	f.Add(certText, []byte("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE KEY-----\n"))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), []byte("\x30\x00"))
	f.Add([]byte{}, []byte("hush"))
	dir := f.TempDir()
	files := config.KeyPair{Cert: filepath.Join(dir, "cert"), Key: filepath.Join(dir, "key")}
	f.Fuzz(func(t *testing.T, certText, keyText []byte) {
		if err := errors.Join(os.WriteFile(files.Cert, certText, 0o600), os.WriteFile(files.Key, keyText, 0o600)); err != nil {
			t.Fatal(err)
		}
		c, err := loadPair("tls.certificates[0]", files)
		if _, caErr := loadAuthorities("tls.client_ca", files.Cert); err == nil && caErr != nil {
			t.Errorf("the certificate is taken, and no authority: %v", caErr)
		}
		if err == nil {
			if key, ok := c.PrivateKey.(crypto.Signer); !ok || !owns(key, c.Leaf) {
				t.Error("the key is of another certificate")
			}
			return
		}
		for _, line := range strings.Split(err.Error(), "\n") {
			if !strings.HasPrefix(line, "tls.certificates[0].cert: ") && !strings.HasPrefix(line, "tls.certificates[0].key: ") {
				t.Errorf("a mistake without its place: %q", line)
			}
		}
		if len(keyText) > 40 && strings.Contains(err.Error(), string(keyText)) {
			t.Errorf("the key is shown: %v", err)
		}
	})
}
