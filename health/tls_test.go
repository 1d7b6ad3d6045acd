package health

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/internal/cause"
	"github.com/holdfast-lb/holdfast/internal/testkit"
	"github.com/holdfast-lb/holdfast/internal/trust"
)

// trusting returns what believes a, under any name if name is empty.
func trusting(t *testing.T, a *testkit.Authority, change func(*config.BackendTLS)) *trust.Client {
	t.Helper()
	c := config.BackendTLS{CA: testkit.WriteFile(t, t.TempDir(), "ca.pem", a.PEM())}
	if change != nil {
		change(&c)
	}
	client, errs := trust.Load("backend_tls", c)
	if errs != nil {
		t.Fatal(errs)
	}
	return client
}

// Every check sees a backend over TLS as a request would.
func TestCheckersOverTLS(t *testing.T) {
	a, other := testkit.NewAuthority(t), testkit.NewAuthority(t)
	serve := func(cfg *tls.Config) string {
		b := &testkit.Backend{TLS: cfg}
		b.SetHandler(testkit.Echo())
		return b.Start(t)
	}
	with := func(c tls.Certificate) *tls.Config { return &tls.Config{Certificates: []tls.Certificate{c}} }
	good := with(a.Issue("127.0.0.1"))
	asks := good.Clone()
	asks.ClientAuth, asks.ClientCAs = tls.RequireAndVerifyClientCert, a.Pool()
	cert, key := testkit.CertFiles(t, t.TempDir(), "client", a.Issue("holdfast"))

	f := func(address string, client *trust.Client, want map[string]string) {
		t.Helper()
		for kind, what := range want {
			s := spec(kind, ample)
			ctx, cancel := context.WithTimeout(context.Background(), s.Timeout)
			got := newChecker(Target{Scheme: "https", Address: address, Spec: s, Trust: client}).check(ctx)
			cancel()
			words := got.what
			if got.err != nil {
				words = why(got.err, s.Timeout)
			}
			if words != what {
				t.Errorf("%s probe: %q (%v), want %q", kind, words, got.err, what)
			}
		}
	}
	all := func(what string) map[string]string {
		return map[string]string{"http": what, "tcp": what, "websocket": what}
	}
	passing := map[string]string{"http": "status 200", "tcp": "connected over TLS", "websocket": "pong received"}
	f(serve(good), trusting(t, a, nil), passing)
	f(serve(good), trusting(t, other, nil), all("certificate is signed by an unknown authority"))
	f(serve(good), trusting(t, a, func(c *config.BackendTLS) { c.ServerName = "game.example" }), all("certificate is for another name"))
	f(serve(with(a.IssueUntil(time.Now().Add(-time.Minute), "127.0.0.1"))), trusting(t, a, nil), all("certificate has expired or is not valid yet"))
	f(serve(with(other.Issue("b.example"))), trusting(t, a, func(c *config.BackendTLS) { c.InsecureSkipVerify = true }), passing)
	f(serve(asks), trusting(t, a, func(c *config.BackendTLS) { c.Cert, c.Key = cert, key }), passing)
	f(testkit.StartBackend(t, nil).Addr, trusting(t, a, nil), all("no TLS at that port"))
}

// A backend that accepts and says nothing ends a probe within its timeout.
func TestTLSHandshakeTakesTooLong(t *testing.T) {
	client := trusting(t, testkit.NewAuthority(t), nil)
	address := testkit.ServeTCP(t, func(c *net.TCPConn) { _, _ = io.Copy(io.Discard, c) })
	for _, kind := range []string{"http", "tcp", "websocket"} {
		s := spec(kind, brief)
		ctx, cancel := context.WithTimeout(context.Background(), s.Timeout)
		got := newChecker(Target{Scheme: "https", Address: address, Spec: s, Trust: client}).check(ctx)
		cancel()
		if got.err == nil || !cause.Timeout(got.err) && why(got.err, s.Timeout) != "handshake unanswered within 1s" {
			t.Errorf("%s: %v", kind, got.err)
		}
	}
}

// Another trust makes another checker and keeps the state; an equal one does
// not.
func TestTrustChanges(t *testing.T) {
	a, other := testkit.NewAuthority(t), testkit.NewAuthority(t)
	b := &testkit.Backend{TLS: &tls.Config{Certificates: []tls.Certificate{a.Issue("127.0.0.1")}}}
	b.Start(t)
	verdicts := make(chan Verdict, 100)
	s := spec("tcp", ample)
	s.Interval, s.Rise, s.Fall = 20*time.Millisecond, 1, 2
	target := Target{ID: "one", Scheme: "https", Address: b.Addr, Spec: s, Trust: trusting(t, a, nil), Report: func(v Verdict) {
		select {
		case verdicts <- v:
		default:
		}
	}}
	p := NewProber(slog.New(slog.DiscardHandler))
	defer p.Close()
	await := func(up, ok bool) {
		t.Helper()
		deadline := time.After(ample)
		for {
			select {
			case v := <-verdicts:
				if v.Up == up && v.OK == ok {
					return
				}
			case <-deadline:
				t.Fatalf("no verdict with up %t, ok %t", up, ok)
			}
		}
	}
	p.Reconcile([]Target{target})
	await(true, true)
	before := p.workers["one"]
	target.Trust = trusting(t, a, nil)
	p.Reconcile([]Target{target})
	if p.workers["one"] != before {
		t.Error("an equal trust has started the probes anew")
	}
	target.Trust = trusting(t, other, nil)
	p.Reconcile([]Target{target})
	await(true, false) // the state is kept until fall probes have failed
	await(false, false)
}

// A probe of a backend that wants PROXY headers says that nobody is behind it.
func TestProbesAnnounceThemselves(t *testing.T) {
	for version, header := range map[string]string{"v1": "PROXY UNKNOWN\r\n", "v2": "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"} {
		seen := make(chan string, 1)
		address := testkit.ServeTCP(t, func(c *net.TCPConn) {
			b := make([]byte, len(header))
			n, _ := io.ReadFull(c, b)
			seen <- string(b[:n])
		})
		for _, kind := range []string{"http", "tcp", "websocket"} {
			s := spec(kind, ample)
			ctx, cancel := context.WithTimeout(context.Background(), s.Timeout)
			newChecker(Target{Scheme: "http", Address: address, Spec: s, SendProxy: version}).check(ctx)
			cancel()
			if got := <-seen; got != header {
				t.Errorf("%s, %s: %q", version, kind, got)
			}
		}
	}
}
