package certs

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"time"
)

// Certificate is what others may know of one that is in use.
type Certificate struct {
	Name    string // the first that it has
	Key     string // ecdsa, rsa or ed25519
	Expires time.Time
}

// List returns the certificates that are in use.
func (s *Store) List() []Certificate {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []Certificate
	for _, src := range s.running.sources {
		if src.cert != nil {
			list = append(list, describe(src.cert.Leaf))
		}
	}
	if m := s.manager.Load(); m != nil {
		for _, c := range m.certificates() {
			list = append(list, describe(c.Leaf))
		}
	}
	return list
}

func describe(leaf *x509.Certificate) Certificate {
	c := Certificate{Name: leaf.Subject.CommonName, Expires: leaf.NotAfter}
	if names := namesOf(leaf); len(names) > 0 {
		c.Name = names[0]
	}
	switch leaf.PublicKey.(type) {
	case *ecdsa.PublicKey:
		c.Key = "ecdsa"
	case *rsa.PublicKey:
		c.Key = "rsa"
	case ed25519.PublicKey:
		c.Key = "ed25519"
	}
	return c
}
