package certs

import (
	"crypto/tls"
	"errors"
	"slices"
	"strings"
)

// chooser finds the certificate for a client. It is immutable.
type chooser struct {
	byName   map[string][]*certificate // exact names, and wildcards with their star
	fallback []*certificate            // for clients that name none, or one that is nobody's
}

// newChooser returns one for certificates in the order of the configuration.
func newChooser(list []*certificate) chooser {
	c := chooser{byName: make(map[string][]*certificate)}
	for _, cert := range list {
		for _, name := range cert.names {
			c.byName[name] = append(c.byName[name], cert)
		}
		// A client that names nobody may not support the first one's key.
		if first := list[0]; cert == first || slices.ContainsFunc(cert.names, func(name string) bool { return slices.Contains(first.names, name) }) {
			c.fallback = append(c.fallback, cert)
		}
	}
	return c
}

var errNoCertificate = errors.New("choose certificate: the first order is still under way")

// choose returns the certificate to serve. ordered has those that come by
// ACME: by their exact name, and for the empty one what serves clients that
// name nobody.
func (c *chooser) choose(hello *tls.ClientHelloInfo, ordered func(name string) *tls.Certificate) (*tls.Certificate, error) {
	if name := strings.ToLower(strings.TrimSuffix(hello.ServerName, ".")); name != "" {
		if list := c.byName[name]; len(list) > 0 {
			return supported(list, hello), nil
		}
		if cert := ordered(name); cert != nil {
			return cert, nil
		}
		if _, parent, ok := strings.Cut(name, "."); ok && len(c.byName["*."+parent]) > 0 {
			return supported(c.byName["*."+parent], hello), nil
		}
	}
	if len(c.fallback) > 0 {
		return supported(c.fallback, hello), nil
	}
	if cert := ordered(""); cert != nil {
		return cert, nil
	}
	return nil, errNoCertificate
}

// supported returns the first of the certificates that the client supports;
// if there is none, the first, so that the handshake fails for that reason.
func supported(list []*certificate, hello *tls.ClientHelloInfo) *tls.Certificate {
	if len(list) > 1 {
		nameless := *hello // the name was looked at already, and need not fit
		nameless.ServerName = ""
		for _, cert := range list {
			if nameless.SupportsCertificate(&cert.Certificate) == nil {
				return &cert.Certificate
			}
		}
	}
	return &list[0].Certificate
}
