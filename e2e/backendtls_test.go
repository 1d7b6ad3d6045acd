package e2e

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// startTLS starts a backend over TLS.
func startTLS(t testing.TB, cfg *tls.Config, h fasthttp.RequestHandler) *testkit.Backend {
	t.Helper()
	b := &testkit.Backend{TLS: cfg}
	if h != nil {
		b.SetHandler(h)
	}
	b.Start(t)
	return b
}

// Requests and probes reach a backend over TLS with the same trust, sessions
// are resumed, and changed files are taken at SIGHUP.
func TestBackendOverTLS(t *testing.T) {
	t.Parallel()
	first, second := testkit.NewAuthority(t), testkit.NewAuthority(t)
	server := &tls.Config{
		Certificates: []tls.Certificate{first.Issue("127.0.0.1")},
		ClientAuth:   tls.RequireAndVerifyClientCert, ClientCAs: first.Pool(),
	}
	backend := startTLS(t, server, func(ctx *fasthttp.RequestCtx) {
		state := ctx.TLSConnectionState()
		ctx.SetBodyString(fmt.Sprintf("%s resumed %t", state.PeerCertificates[0].Subject.CommonName, state.DidResume))
		ctx.SetConnectionClose() // so that each request has a handshake
	})
	dir := t.TempDir()
	ca := testkit.WriteFile(t, dir, "ca.pem", first.PEM())
	cert, key := testkit.CertFiles(t, dir, "client", first.Issue("one"))
	p := start(t, setup{rest: fmt.Sprintf(`routes: [{pool: web}]
pools:
  web:
    backends: [{name: b1, url: "wss://%s"}]
    backend_tls: {ca: %q, cert: %q, key: %q}
    health: {type: http, path: /, interval: 1s, rise: 1, fall: 1}`, backend.Addr, ca, cert, key)})
	p.awaitState("web", "b1", "up")
	f := func(want string) {
		t.Helper()
		if resp, body := exchange(t, p.web, get("/")); resp.StatusCode != http.StatusOK || body != want {
			t.Errorf("%d %s, want %s", resp.StatusCode, body, want)
		}
	}
	f("one resumed false")
	f("one resumed true")
	testkit.CertFiles(t, dir, "client", first.Issue("two"))
	p.reload()
	f("two resumed false")
	f("two resumed true")
	p.reload()
	p.logged("configuration is unchanged")

	// Another authority: the backend is not believed any more, by nobody.
	testkit.WriteFile(t, dir, "ca.pem", second.PEM())
	p.reload()
	p.awaitState("web", "b1", "down")
	p.logged("signed by an unknown authority")
	testkit.WriteFile(t, dir, "ca.pem", []byte("no certificate"))
	p.reload()
	p.logged("pools.web.backend_tls.ca: " + ca + " holds no certificate")
	testkit.WriteFile(t, dir, "ca.pem", first.PEM())
	p.reload()
	p.awaitState("web", "b1", "up")
	f("two resumed false")
	p.checkReloads(5, 1)
}

// A backend that is not believed is a 502 that says so, a line in the log that
// says what to do, and no reason not to ask another one.
func TestUntrustedBackend(t *testing.T) {
	t.Parallel()
	good, evil := testkit.NewAuthority(t), testkit.NewAuthority(t)
	ca := testkit.WriteFile(t, t.TempDir(), "ca.pem", good.PEM())
	serve := func(a *testkit.Authority) *testkit.Backend {
		return startTLS(t, &tls.Config{Certificates: []tls.Certificate{a.Issue("127.0.0.1")}}, nil)
	}
	bad, well := serve(evil), serve(good)
	p := start(t, setup{rest: fmt.Sprintf(`routes: [{path: /bad, pool: bad}, {path: /mixed, pool: mixed}]
pools:
  bad: {backends: [{name: b1, url: "https://%s"}], backend_tls: {ca: %q}}
  mixed: {balance: first, backends: [{name: b1, url: "https://%s"}, {name: b2, url: "https://%s"}], backend_tls: {ca: %q}}`,
		bad.Addr, ca, bad.Addr, well.Addr, ca)})
	resp, body := exchange(t, p.web, get("/bad"))
	if resp.StatusCode != http.StatusBadGateway || !strings.Contains(body, "HF-2010 backend's certificate is not trusted (backend_untrusted, request ") || strings.Contains(body, "127.0.0.1") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	p.logged("write the path of that authority's certificate to backend_tls.ca of the pool")
	if resp, body := exchange(t, p.web, get("/mixed")); resp.StatusCode != http.StatusOK || body != "ok" {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	if lines := p.accessLines("access.log", 2); lines[0].Error != "backend_untrusted" || lines[0].Status != 502 || lines[1].Backend != "b2" {
		t.Errorf("access log: %+v", lines)
	}
	if n := bad.Requests(); n != 0 {
		t.Errorf("%d requests reached a backend that is not believed", n)
	}
}

// A socket's backend over TLS is one like any other: what it says in answer to
// the handshake reaches the client, whether it agrees or not, and one that is
// not believed hears of no handshake.
func TestSocketToTLSBackend(t *testing.T) {
	t.Parallel()
	good, evil := testkit.NewAuthority(t), testkit.NewAuthority(t)
	ca := testkit.WriteFile(t, t.TempDir(), "ca.pem", good.PEM())
	serve := func(a *testkit.Authority, change func(*tls.Config), h fasthttp.RequestHandler) *testkit.Backend {
		cfg := &tls.Config{Certificates: []tls.Certificate{a.Issue("127.0.0.1")}}
		if change != nil {
			change(cfg)
		}
		return startTLS(t, cfg, h)
	}
	echo := serve(good, nil, testkit.Echo())
	old := serve(good, func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, testkit.Echo())
	refuses := serve(good, nil, func(ctx *fasthttp.RequestCtx) {
		ctx.SetStatusCode(http.StatusForbidden)
		ctx.SetBodyString(strings.Repeat("not in here ", 5000))
	})
	asks := serve(good, func(c *tls.Config) { c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, good.Pool() }, testkit.Echo())
	bad := serve(evil, nil, testkit.Echo())
	pool := func(name string, backends ...*testkit.Backend) string {
		var urls []string
		for _, b := range backends {
			urls = append(urls, fmt.Sprintf(`{url: "wss://%s"}`, b.Addr))
		}
		return fmt.Sprintf("  %s: {balance: first, backends: [%s], backend_tls: {ca: %q}}\n", name, strings.Join(urls, ", "), ca)
	}
	p := start(t, setup{rest: "routes: [{path: /echo, pool: echo}, {path: /old, pool: old}, {path: /refuses, pool: refuses}, {path: /asks, pool: asks}, {path: /bad, pool: bad}, {path: /mixed, pool: mixed}]\npools:\n" +
		pool("echo", echo) + pool("old", old) + pool("refuses", refuses) + pool("asks", asks) + pool("bad", bad) + pool("mixed", bad, echo)})

	large := strings.Repeat("0123456789abcdef", 20<<10) // several records
	for _, path := range []string{"/echo", "/old", "/mixed"} {
		c := testkit.DialRaw(t, p.web, path)
		for _, text := range []string{"hello", large, "bye"} {
			c.SendFrames(testkit.Text(text).Mask())
			if f := c.ReadFrame(patience); string(f.Payload) != text {
				t.Errorf("%s: %d bytes came back for %d", path, len(f.Payload), len(text))
			}
		}
		c.SendFrames(testkit.Close(1000, "").Mask())
		if f := c.ReadFrame(patience); f.Opcode != testkit.OpClose {
			t.Errorf("%s: the answer to a Close is %+v", path, f)
		}
	}
	f := func(path string, status int, want string) {
		t.Helper()
		resp, body := exchange(t, p.web, testkit.HandshakeRequest(p.web, path))
		if resp.StatusCode != status || !strings.Contains(body, want) || strings.Contains(body, "127.0.0.1") {
			t.Errorf("%s: %d %.100s, want %d %s", path, resp.StatusCode, body, status, want)
		}
	}
	f("/refuses", http.StatusForbidden, strings.Repeat("not in here ", 5000))
	f("/bad", http.StatusBadGateway, "(backend_untrusted, request ")
	f("/asks", http.StatusBadGateway, "(backend_tls_failed, request ")
	p.logged("backend_tls.cert and key of the pool")
	if n := bad.Requests(); n != 0 {
		t.Errorf("%d handshakes reached a backend that is not believed", n)
	}
}
