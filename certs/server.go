package certs

import (
	"crypto/tls"
	"slices"
	"sync/atomic"

	"github.com/holdfast-lb/holdfast/config"
)

// suites are those of TLS 1.2 that are offered unless the configuration names
// others: forward secrecy and authenticated encryption. The library orders
// them by what the machine and the client compute fast.
var suites = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
	tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

// server is the TLS of one listener.
type server struct {
	listener string // its name
	spec     *config.TLS
	pairs    []*source                  // in the order of the configuration
	clients  *source                    // nil: everybody may come in
	domains  []string                   // whose certificates come by ACME
	manager  func() *manager            // of those; nil: there is none
	entry    *tls.Config                // the listener's, which sends each handshake to the next
	inForce  atomic.Pointer[tls.Config] // immutable
}

func newServer(l config.Listener, m func() *manager) *server {
	s := &server{listener: l.Name, spec: l.TLS, manager: m}
	s.entry = &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			if m := s.manager(); m != nil {
				if cfg := m.challenged(hello); cfg != nil {
					return cfg, nil
				}
			}
			return s.inForce.Load(), nil
		},
	}
	return s
}

// uses tells whether any of the sources is the server's.
func (s *server) uses(sources map[*source]bool) bool {
	return sources[s.clients] || slices.ContainsFunc(s.pairs, func(p *source) bool { return sources[p] })
}

// authorities are those of clients; nil: everybody may come in.
func (s *server) authorities() *authorities {
	if s.clients == nil {
		return nil
	}
	return s.clients.clients
}

// refresh brings what the sources hold into force, for the handshakes to come.
func (s *server) refresh(t *tickets) {
	var list []*certificate
	for _, p := range s.pairs {
		list = append(list, p.cert)
	}
	clients := s.authorities()
	chooser := newChooser(list)
	cfg := &tls.Config{
		MinVersion:                  version(s.spec.MinVersion),
		CipherSuites:                suites,
		NextProtos:                  []string{"http/1.1"},
		DynamicRecordSizingDisabled: true, // a message should be as few records as it needs
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			return chooser.choose(hello, s.ordered)
		},
	}
	if names := s.spec.CipherSuites; len(names) > 0 {
		cfg.CipherSuites = nil
		for _, name := range names {
			id, _ := config.CipherSuite(name) // validated
			cfg.CipherSuites = append(cfg.CipherSuites, id)
		}
	}
	if clients != nil {
		cfg.ClientAuth, cfg.ClientCAs = tls.RequireAndVerifyClientCert, clients.pool
	}
	t.use(cfg, clients)
	s.inForce.Store(cfg)
}

// version turns a validated min_version into what crypto/tls calls it.
func version(text string) uint16 {
	if text == "1.3" {
		return tls.VersionTLS13
	}
	return tls.VersionTLS12
}

// ordered returns the certificate that ACME has brought for a name; for the
// empty one that of the first domain. nil: there is none.
func (s *server) ordered(name string) *tls.Certificate {
	m := s.manager()
	if m == nil || len(s.domains) == 0 {
		return nil
	}
	if name == "" {
		name = s.domains[0]
	} else if !slices.Contains(s.domains, name) {
		return nil
	}
	if c := m.find(name); c != nil {
		return &c.Certificate
	}
	return nil
}
