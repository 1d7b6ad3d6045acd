package certs

import (
	"crypto/tls"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// inForce is the tls.Config of the one listener that has these certificates.
func inForce(t *testing.T, s *Store, spec config.TLS) *tls.Config {
	t.Helper()
	l := config.Listener{Name: "web", TLS: &spec}
	ch, err := s.Prepare([]config.Listener{l})
	if err != nil {
		t.Fatal(err)
	}
	cfg := s.Config(l)
	ch.Commit()
	t.Cleanup(s.Close)
	return cfg
}

// handshake is what a client sees of a server, and what the server says of it.
func handshake(t *testing.T, server, client *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	done := make(chan error, 1)
	address := testkit.ServeTCP(t, func(c *net.TCPConn) {
		s := tls.Server(c, server)
		_ = s.SetDeadline(time.Now().Add(20 * time.Second))
		err := s.Handshake()
		if err == nil {
			_, err = s.Write([]byte{1}) // with the tickets of TLS 1.3 before it
		}
		done <- err
	})
	nc, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(20 * time.Second))
	c := tls.Client(nc, client)
	_, err = io.ReadFull(c, make([]byte, 1))
	if serverErr := <-done; serverErr != nil {
		err = serverErr
	}
	return c.ConnectionState(), err
}

func pairs(t *testing.T, list ...tls.Certificate) (files []config.KeyPair) {
	t.Helper()
	for i, c := range list {
		cert, key := testkit.CertFiles(t, t.TempDir(), string(rune('a'+i)), c)
		files = append(files, config.KeyPair{Cert: cert, Key: key})
	}
	return files
}

func TestCertificateByName(t *testing.T) {
	list := []tls.Certificate{
		selfSigned(t, newRSA(t), "first.example"),
		selfSigned(t, newECDSA(t), "game.example", "*.game.example"),
		selfSigned(t, newRSA(t), "game.example"),
		selfSigned(t, newECDSA(t), "eu.game.example"),
		selfSigned(t, newECDSA(t), "FIRST.example"),
	}
	server := inForce(t, New(Options{}), config.TLS{MinVersion: "1.2", Certificates: pairs(t, list...)})
	f := func(name string, suite uint16, want int) {
		t.Helper()
		client := &tls.Config{ServerName: name, InsecureSkipVerify: true}
		if suite != 0 {
			client.MaxVersion, client.CipherSuites = tls.VersionTLS12, []uint16{suite}
		}
		state, err := handshake(t, server, client)
		if err != nil {
			t.Errorf("%q: %v", name, err)
			return
		}
		got := slices.IndexFunc(list, func(c tls.Certificate) bool { return c.Leaf.Equal(state.PeerCertificates[0]) })
		if got != want {
			t.Errorf("%q gets certificate %d, want %d", name, got, want)
		}
	}
	const rsa, ecdsa = tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
	f("", 0, 0)
	f("10.0.0.1", 0, 0) // no name goes out
	f("first.example", 0, 0)
	f("nobody.example", 0, 0)
	f("nobody.example", ecdsa, 4) // the first one's name, another key
	f("game.example", 0, 1)
	f("GAME.example", 0, 1)
	f("game.example", ecdsa, 1)
	f("game.example", rsa, 2)
	f("eu.game.example", 0, 3)
	f("us.game.example", 0, 1)
	f("a.us.game.example", 0, 0)
	f("us.game.example", ecdsa, 1)
}

func TestVersionsAndSuites(t *testing.T) {
	files := pairs(t, selfSigned(t, newRSA(t), "game.example"))
	f := func(spec config.TLS, client *tls.Config, want uint16, refused string) {
		t.Helper()
		spec.Certificates = files
		client.InsecureSkipVerify, client.ServerName = true, "game.example"
		state, err := handshake(t, inForce(t, New(Options{}), spec), client)
		switch {
		case refused != "":
			if err == nil || !strings.Contains(err.Error(), refused) {
				t.Errorf("%+v: %v, want %q", spec, err, refused)
			}
		case err != nil || state.Version != want:
			t.Errorf("%+v: version %x, %v, want %x", spec, state.Version, err, want)
		}
	}
	only := func(version uint16, suites ...uint16) *tls.Config {
		return &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: version, CipherSuites: suites}
	}
	both, new := config.TLS{MinVersion: "1.2"}, config.TLS{MinVersion: "1.3"}
	f(both, only(tls.VersionTLS13), tls.VersionTLS13, "")
	f(both, only(tls.VersionTLS12), tls.VersionTLS12, "")
	f(both, only(tls.VersionTLS11), 0, "unsupported versions")
	f(both, only(tls.VersionTLS10), 0, "unsupported versions")
	f(new, only(tls.VersionTLS12), 0, "unsupported versions")
	f(new, only(tls.VersionTLS13), tls.VersionTLS13, "")

	for _, s := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		if !slices.Contains(s.SupportedVersions, tls.VersionTLS12) || strings.Contains(s.Name, "ECDSA") {
			continue
		}
		refused := "no cipher suite"
		if strings.Contains(s.Name, "ECDHE") && (strings.Contains(s.Name, "GCM") || strings.Contains(s.Name, "CHACHA20")) {
			refused = ""
		}
		f(both, only(tls.VersionTLS12, s.ID), tls.VersionTLS12, refused)
	}
	some := config.TLS{MinVersion: "1.2", CipherSuites: []string{"TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA"}}
	f(some, only(tls.VersionTLS12, tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA), tls.VersionTLS12, "")
	f(some, only(tls.VersionTLS12, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256), 0, "no cipher suite")

	for _, proto := range []string{"http/1.1", ""} {
		client := &tls.Config{ServerName: "game.example", InsecureSkipVerify: true}
		if proto != "" {
			client.NextProtos = []string{"h2", proto}
		}
		both.Certificates = files
		if state, err := handshake(t, inForce(t, New(Options{}), both), client); err != nil || state.NegotiatedProtocol != proto {
			t.Errorf("ALPN is %q, %v, want %q", state.NegotiatedProtocol, err, proto)
		}
	}
}
