package trust

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// serve accepts TLS connections and sends a byte on each.
func serve(t *testing.T, cfg *tls.Config) (address string) {
	t.Helper()
	return testkit.ServeTCP(t, func(c *net.TCPConn) {
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		s := tls.Server(c, cfg)
		if s.Handshake() == nil {
			_, _ = s.Write([]byte{1})
			_, _ = io.Copy(io.Discard, s)
		}
	})
}

// dial agrees on TLS and reads the byte, which in TLS 1.3 is when a client
// learns that its certificate was refused.
func dial(t *testing.T, address string, cfg *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	s := tls.Client(c, cfg)
	if err := s.Handshake(); err != nil {
		return tls.ConnectionState{}, err
	}
	_, err = s.Read(make([]byte, 1))
	return s.ConnectionState(), err
}

func TestWhoIsBelieved(t *testing.T) {
	dir := t.TempDir()
	ours, theirs := testkit.NewAuthority(t), testkit.NewAuthority(t)
	ca := testkit.WriteFile(t, dir, "ca.pem", ours.PEM())
	cert, key := testkit.CertFiles(t, dir, "client", ours.Issue("holdfast"))

	f := func(name string, c config.BackendTLS, server *tls.Config, want string) {
		t.Helper()
		client, errs := Load("backend_tls", c)
		if errs != nil {
			t.Fatalf("%s: %v", name, errs)
		}
		address := serve(t, server)
		_, err := dial(t, address, client.Config(address))
		if want == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			return
		}
		unverified := strings.HasPrefix(want, "certificate")
		if p, ok := Explain(err); !ok || p.What != want || p.Unverified != unverified || p.Remedy == "" {
			t.Errorf("%s: %+v %t of %v, want %s", name, p, ok, err, want)
		}
	}
	with := func(c tls.Certificate) *tls.Config { return &tls.Config{Certificates: []tls.Certificate{c}} }
	trusting := config.BackendTLS{CA: ca}
	f("the authority's own", trusting, with(ours.Issue("127.0.0.1")), "")
	f("the system's authorities", config.BackendTLS{}, with(ours.Issue("127.0.0.1")), "certificate is signed by an unknown authority")
	f("another authority's", trusting, with(theirs.Issue("127.0.0.1")), "certificate is signed by an unknown authority")
	f("another address", trusting, with(ours.Issue("127.0.0.2")), "certificate is for another name")
	f("another name", config.BackendTLS{CA: ca, ServerName: "a.example"}, with(ours.Issue("127.0.0.1", "b.example")), "certificate is for another name")
	f("the name that was asked for", config.BackendTLS{CA: ca, ServerName: "a.example"}, with(ours.Issue("a.example")), "")
	f("expired", trusting, with(ours.IssueUntil(time.Now().Add(-time.Minute), "127.0.0.1")), "certificate has expired or is not valid yet")
	f("whoever it is", config.BackendTLS{InsecureSkipVerify: true, ServerName: "a.example"}, with(theirs.IssueUntil(time.Now().Add(-time.Minute), "b.example")), "")

	old := with(ours.Issue("127.0.0.1"))
	old.MaxVersion = tls.VersionTLS11
	f("TLS 1.1", trusting, old, "TLS refused: protocol version not supported")
	other := with(ours.Issue("127.0.0.1"))
	other.NextProtos = []string{"mqtt"}
	f("another protocol", trusting, other, "TLS refused: no application protocol")

	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		asks := with(ours.Issue("127.0.0.1"))
		asks.MaxVersion, asks.ClientAuth, asks.ClientCAs = version, tls.RequireAndVerifyClientCert, ours.Pool()
		f("a client certificate", config.BackendTLS{CA: ca, Cert: cert, Key: key}, asks, "")
		asks = asks.Clone()
		asks.ClientCAs = theirs.Pool()
		f("one of another authority", config.BackendTLS{CA: ca, Cert: cert, Key: key}, asks, "client certificate refused: unknown certificate authority")
		// The alert for none at all differs between the versions.
		client, _ := Load("backend_tls", trusting)
		address := serve(t, asks)
		_, err := dial(t, address, client.Config(address))
		if p, ok := Explain(err); !ok || p.Unverified || !strings.Contains(p.Remedy, "backend_tls.cert") {
			t.Errorf("no client certificate, version %x: %+v %t of %v", version, p, ok, err)
		}
	}

	plain := testkit.ServeTCP(t, func(c *net.TCPConn) { _, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")) })
	client, _ := Load("backend_tls", trusting)
	_, err := dial(t, plain, client.Config(plain))
	if p, ok := Explain(err); !ok || p.What != "no TLS at that port" {
		t.Errorf("HTTP: %+v %t of %v", p, ok, err)
	}
	for _, err := range []error{nil, io.EOF, &net.OpError{Op: "dial", Err: errors.New("refused")}} {
		if p, ok := Explain(err); ok {
			t.Errorf("%v is explained as %+v", err, p)
		}
	}
}

func TestSessionsAreResumed(t *testing.T) {
	a := testkit.NewAuthority(t)
	client, errs := Load("x", config.BackendTLS{CA: testkit.WriteFile(t, t.TempDir(), "ca.pem", a.PEM())})
	if errs != nil {
		t.Fatal(errs)
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		address := serve(t, &tls.Config{Certificates: []tls.Certificate{a.Issue("127.0.0.1")}, MaxVersion: version})
		cfg := client.Config(address)
		for i := range 3 {
			s, err := dial(t, address, cfg)
			if err != nil || s.DidResume != (i > 0) {
				t.Errorf("version %x, connection %d: resumed %t, %v", version, i, s.DidResume, err)
			}
		}
	}
}

func TestServerName(t *testing.T) {
	f := func(name, address, want string) {
		t.Helper()
		client, _ := Load("x", config.BackendTLS{ServerName: name})
		if got := client.Config(address).ServerName; got != want {
			t.Errorf("%q for %s: %q, want %q", name, address, got, want)
		}
	}
	f("", "game.example:443", "game.example")
	f("", "[::1]:443", "::1")
	f("", "[fe80::1%eth0]:443", "fe80::1")
	f("other.example", "game.example:443", "other.example")
}

func TestMistakes(t *testing.T) {
	dir := t.TempDir()
	a := testkit.NewAuthority(t)
	cert, key := testkit.CertFiles(t, dir, "one", a.Issue("one"))
	_, otherKey := testkit.CertFiles(t, dir, "two", a.Issue("two"))
	f := func(c config.BackendTLS, want ...string) {
		t.Helper()
		_, errs := Load("pools.web.backend_tls", c)
		if len(errs) != len(want) {
			t.Errorf("%+v: %q, want %q", c, errs, want)
			return
		}
		for i := range want {
			if !strings.HasPrefix(errs[i].Error(), "pools.web.backend_tls."+want[i]) {
				t.Errorf("%+v: %q, want %q", c, errs[i], want[i])
			}
		}
	}
	f(config.BackendTLS{Cert: cert, Key: key})
	f(config.BackendTLS{Cert: cert, Key: otherKey}, "cert: "+cert+" and "+otherKey+": private key does not match public key, write a certificate and its own key")
	f(config.BackendTLS{Cert: key, Key: key}, "cert: "+key+" and "+key+": failed to find certificate PEM data")
	f(config.BackendTLS{CA: key}, "ca: "+key+" holds no certificate")
	missing := dir + "/missing"
	f(config.BackendTLS{CA: missing, Cert: missing, Key: missing}, "ca: "+missing+": cannot be read: no such file", "cert: "+missing+": cannot be read: no such file", "key: "+missing+": cannot be read: no such file")
	pipe := dir + "/pipe"
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	f(config.BackendTLS{CA: pipe, Cert: pipe, Key: "/dev/zero"}, "ca: "+pipe+": is not a regular file", "cert: "+pipe+": is not a regular file", "key: /dev/zero: is not a regular file")
	large := testkit.WriteFile(t, dir, "large.pem", make([]byte, maxFile+1))
	f(config.BackendTLS{CA: large}, "ca: "+large+": has 16777217 bytes, use 16777216 at most")
}

func TestID(t *testing.T) {
	dir := t.TempDir()
	a := testkit.NewAuthority(t)
	load := func(c config.BackendTLS) ID {
		t.Helper()
		client, errs := Load("x", c)
		if errs != nil {
			t.Fatal(errs)
		}
		return client.ID()
	}
	one := testkit.WriteFile(t, dir, "one.pem", a.PEM())
	same := testkit.WriteFile(t, dir, "same.pem", a.PEM())
	other := testkit.WriteFile(t, dir, "other.pem", testkit.NewAuthority(t).PEM())
	cert, key := testkit.CertFiles(t, dir, "client", a.Issue("holdfast"))
	if load(config.BackendTLS{CA: one}) != load(config.BackendTLS{CA: same}) {
		t.Error("the same bytes in another file are another trust")
	}
	seen := map[ID]int{{}: -1}
	for i, c := range []config.BackendTLS{{}, {CA: one}, {CA: other}, {CA: one, ServerName: "a"}, {InsecureSkipVerify: true}, {CA: one, Cert: cert, Key: key}} {
		id := load(c)
		if j, twice := seen[id]; twice {
			t.Errorf("%d and %d have one id", i, j)
		}
		seen[id] = i
	}
	if (*Client)(nil).ID() != (ID{}) {
		t.Error("no TLS has an id")
	}
}

func TestExpires(t *testing.T) {
	a := testkit.NewAuthority(t)
	end := time.Now().Add(-time.Minute).Truncate(time.Second)
	cert, key := testkit.CertFiles(t, t.TempDir(), "client", a.IssueUntil(end, "holdfast"))
	client, errs := Load("x", config.BackendTLS{Cert: cert, Key: key})
	if errs != nil || !client.Expires().Equal(end) {
		t.Errorf("%v, expires %v, want %v", errs, client.Expires(), end)
	}
	if client, _ := Load("x", config.BackendTLS{}); !client.Expires().IsZero() {
		t.Error("no certificate expires")
	}
}
