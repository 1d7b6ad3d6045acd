// Package trust says which backends are believed over TLS, and puts into words
// why one is not.
//
// [Load] reads the files that a pool's backend_tls names; the [Client] that it
// returns makes the tls.Config for each backend of the pool. Requests, sockets
// and probes share it, so that a backend is up exactly if it would be believed.
// Nothing here dials.
package trust

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/internal/file"
)

// Client is what one pool's backends are asked for and believed by. It is
// immutable.
type Client struct {
	id         ID
	base       *tls.Config // without name and session cache
	serverName string      // empty: the host of each backend
	expires    time.Time   // of the client certificate; zero: there is none
}

// ID tells Clients apart: two are equal if they believe and present the same,
// whatever their files are called. The zero ID is that of no TLS.
type ID [sha256.Size]byte

// Load reads the files that c names. It returns all mistakes, each behind its
// key path, which begins with path.
func Load(path string, c config.BackendTLS) (*Client, []error) {
	t := &Client{
		serverName: c.ServerName,
		base: &tls.Config{
			MinVersion:                  tls.VersionTLS12,
			DynamicRecordSizingDisabled: true,                 // messages should be as few records as they need
			NextProtos:                  []string{"http/1.1"}, // RFC 7301; some servers would choose h2 otherwise
			InsecureSkipVerify:          c.InsecureSkipVerify, // #nosec G402 -- the operator's choice, which check warns of
		},
	}
	var errs []error
	ca, err := read(c.CA)
	if err != nil {
		errs = append(errs, fmt.Errorf("%s.ca: %w", path, err))
	} else if c.CA != "" {
		t.base.RootCAs = x509.NewCertPool()
		if !t.base.RootCAs.AppendCertsFromPEM(ca) {
			errs = append(errs, fmt.Errorf("%s.ca: %s holds no certificate, write the path of a PEM file with the authority's", path, c.CA))
		}
	}
	cert, err := read(c.Cert)
	if err != nil {
		errs = append(errs, fmt.Errorf("%s.cert: %w", path, err))
	}
	key, keyErr := read(c.Key)
	if keyErr != nil {
		errs = append(errs, fmt.Errorf("%s.key: %w", path, keyErr))
	}
	if err == nil && keyErr == nil && c.Cert != "" {
		if err := t.present(cert, key); err != nil {
			errs = append(errs, fmt.Errorf("%s.cert: %s and %s: %w", path, c.Cert, c.Key, err))
		}
	}
	if len(errs) > 0 {
		return nil, errs
	}
	h := sha256.New()
	fmt.Fprintf(h, "%q %t %d %d %d\n%s%s%s", c.ServerName, c.InsecureSkipVerify, len(ca), len(cert), len(key), ca, cert, key)
	h.Sum(t.id[:0])
	return t, nil
}

// maxFile is the size in bytes that a file of certificates may have.
const maxFile = 16 << 20

// read returns a file's bytes; none without a name.
func read(name string) ([]byte, error) {
	if name == "" {
		return nil, nil
	}
	data, err := file.Read(name, maxFile)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return data, nil
}

// present has the client certificate shown to every backend that asks for one,
// also if it names other authorities: its refusal says more than silence.
func (t *Client) present(cert, key []byte) error {
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return fmt.Errorf("%s, write a certificate and its own key, both in PEM", strings.TrimPrefix(err.Error(), "tls: "))
	}
	t.expires = pair.Leaf.NotAfter
	t.base.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	return nil
}

// Expires is when the client certificate ends; zero if there is none.
func (t *Client) Expires() time.Time { return t.expires }

// ID returns the identity; a nil Client, which is no TLS, has the zero one.
func (t *Client) ID() ID {
	if t == nil {
		return ID{}
	}
	return t.id
}

// Config returns a configuration for the backend at address, host:port, which
// the caller may keep and change. It remembers the backend's last session, so
// share it among the connections that may resume it.
func (t *Client) Config(address string) *tls.Config {
	cfg := t.base.Clone()
	cfg.ServerName = t.serverName
	if cfg.ServerName == "" {
		cfg.ServerName, _, _ = net.SplitHostPort(address)
		cfg.ServerName, _, _ = strings.Cut(cfg.ServerName, "%") // certificates have no zones
	}
	cfg.ClientSessionCache = tls.NewLRUClientSessionCache(1) // under one name
	return cfg
}
