package certs

import (
	"crypto/tls"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/internal/testkit"
)

func TestClientCertificates(t *testing.T) {
	ours, theirs := testkit.NewAuthority(t), testkit.NewAuthority(t)
	ca := testkit.WriteFile(t, t.TempDir(), "ca.pem", append(ours.PEM(), testkit.NewAuthority(t).PEM()...))
	spec := config.TLS{MinVersion: "1.2", ClientCA: ca, Certificates: pairs(t, ours.Issue("game.example"))}
	server := inForce(t, New(Options{}), spec)
	f := func(name string, shown []tls.Certificate, refused string) {
		t.Helper()
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			// Whatever the server asks for, this is what it gets.
			client := &tls.Config{ServerName: "game.example", RootCAs: ours.Pool(), MaxVersion: version,
				GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
					if len(shown) == 0 {
						return &tls.Certificate{}, nil
					}
					return &shown[0], nil
				}}
			_, err := handshake(t, server, client)
			if refused == "" && err != nil || refused != "" && (err == nil || !strings.Contains(err.Error(), refused)) {
				t.Errorf("%s, version %x: %v, want %q", name, version, err, refused)
			}
		}
	}
	f("ours", []tls.Certificate{ours.Issue("player")}, "")
	f("none", nil, "client didn't provide a certificate")
	f("another authority's", []tls.Certificate{theirs.Issue("player")}, "unknown authority")
	f("expired", []tls.Certificate{ours.IssueUntil(time.Now().Add(-time.Minute), "player")}, "expired")
}

func TestClientCAMistakes(t *testing.T) {
	dir := t.TempDir()
	files := pairs(t, selfSigned(t, newECDSA(t), "game.example"))
	f := func(ca, want string) {
		t.Helper()
		_, err := New(Options{}).Prepare([]config.Listener{{}, {Name: "web", TLS: &config.TLS{ClientCA: ca, Certificates: files}}})
		if err == nil || err.Error() != "listeners[1].tls.client_ca: "+ca+": "+want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	f(testkit.WriteFile(t, dir, "empty.pem", nil), "is empty, write a PEM file with -----BEGIN CERTIFICATE-----")
	f(files[0].Key, "holds private key and no certificate, write a PEM file with -----BEGIN CERTIFICATE-----")
	f(dir+"/gone", "cannot be read: no such file or directory")
}

// A client resumes its session at any listener and after a reload, but not
// where other authorities are asked about it.
func TestSessions(t *testing.T) {
	ours, theirs := testkit.NewAuthority(t), testkit.NewAuthority(t)
	dir := t.TempDir()
	ca := testkit.WriteFile(t, dir, "ca.pem", ours.PEM())
	bothCA := testkit.WriteFile(t, dir, "both.pem", append(ours.PEM(), theirs.PEM()...))
	files := pairs(t, ours.Issue("game.example"))
	open := config.TLS{MinVersion: "1.2", Certificates: files}
	guarded, other := open, open
	guarded.ClientCA, other.ClientCA = ca, bothCA

	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		store := New(Options{})
		f := func(name string, first, second *tls.Config, want bool) {
			t.Helper()
			client := &tls.Config{ServerName: "game.example", RootCAs: ours.Pool(), MaxVersion: version,
				Certificates: []tls.Certificate{ours.Issue("player")}, ClientSessionCache: tls.NewLRUClientSessionCache(1)}
			if state, err := handshake(t, first, client); err != nil || state.DidResume {
				t.Fatalf("%s, version %x, first: resumed %t, %v", name, version, state.DidResume, err)
			}
			state, err := handshake(t, second, client)
			if err != nil || state.DidResume != want {
				t.Errorf("%s, version %x: resumed %t, %v, want %t", name, version, state.DidResume, err, want)
			}
		}
		before := inForce(t, store, open)
		f("same", before, before, true)
		f("after a reload", before, inForce(t, store, open), true)
		f("another process", before, inForce(t, New(Options{}), open), false)
		f("guarded", inForce(t, store, guarded), inForce(t, store, guarded), true)
		f("from open to guarded", before, inForce(t, store, guarded), false)
		f("from guarded to open", inForce(t, store, guarded), before, false)
		f("among authorities", inForce(t, store, guarded), inForce(t, store, other), false)
	}
}

// A resumed session still knows whose it is.
func TestSubjectOfResumedSession(t *testing.T) {
	ours := testkit.NewAuthority(t)
	ca := testkit.WriteFile(t, t.TempDir(), "ca.pem", ours.PEM())
	server := inForce(t, New(Options{}), config.TLS{MinVersion: "1.2", ClientCA: ca, Certificates: pairs(t, ours.Issue("game.example"))})
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		client := &tls.Config{ServerName: "game.example", RootCAs: ours.Pool(), MaxVersion: version,
			Certificates: []tls.Certificate{ours.Issue("player")}, ClientSessionCache: tls.NewLRUClientSessionCache(1)}
		for i := range 2 {
			states := make(chan tls.ConnectionState, 1)
			address := testkit.ServeTCP(t, func(c *net.TCPConn) {
				s := tls.Server(c, server)
				_ = s.Handshake()
				_, _ = s.Write([]byte{1})
				states <- s.ConnectionState()
			})
			c, err := tls.Dial("tcp", address, client)
			if err == nil {
				_, err = c.Read(make([]byte, 1))
				c.Close()
			}
			state := <-states
			if err != nil || state.DidResume != (i == 1) || len(state.VerifiedChains) == 0 || state.VerifiedChains[0][0].Subject.CommonName != "player" {
				t.Errorf("version %x, connection %d: %v, resumed %t, %d chains", version, i, err, state.DidResume, len(state.VerifiedChains))
			}
		}
	}
}
