package proxy

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// tlsConfigOf is configOf for backends over TLS that the authority vouches for.
func tlsConfigOf(t testing.TB, a *testkit.Authority, backends ...string) *config.Config {
	t.Helper()
	cfg := configOf()
	pool := cfg.Pools["pool"]
	for _, b := range backends {
		pool.Backends = append(pool.Backends, config.Backend{URL: "https://" + b, Weight: 1})
	}
	pool.BackendTLS.CA = testkit.WriteFile(t, t.TempDir(), "ca.pem", a.PEM())
	cfg.Pools["pool"] = pool
	return cfg
}

// serverTLS is what a server of the authority's needs.
func serverTLS(a *testkit.Authority) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{a.Issue("127.0.0.1")}}
}

// startTLSBackend is testkit.StartBackend for TLS.
func startTLSBackend(t testing.TB, cfg *tls.Config, h fasthttp.RequestHandler) *testkit.Backend {
	t.Helper()
	b := &testkit.Backend{TLS: cfg}
	if h != nil {
		b.SetHandler(h)
	}
	b.Start(t)
	return b
}

// serveTLS serves every connection with f over TLS.
func serveTLS(t testing.TB, cfg *tls.Config, f func(tcp *net.TCPConn, c *tls.Conn)) (addr string) {
	t.Helper()
	return testkit.ServeTCP(t, func(tcp *net.TCPConn) {
		if c := tls.Server(tcp, cfg); c.Handshake() == nil {
			f(tcp, c)
		}
	})
}

// whole reads a request without a body, and is false at the connection's end.
func whole(r *bufio.Reader) bool {
	for {
		line, err := r.ReadString('\n')
		if err != nil || line == "\r\n" {
			return err == nil
		}
	}
}

const okAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nDate: today\r\n\r\nok"

// TestForwardsOverTLS: what goes over TCP goes over TLS, both ways, on one
// connection.
func TestForwardsOverTLS(t *testing.T) {
	a := testkit.NewAuthority(t)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		server := serverTLS(a)
		server.MaxVersion = version
		b := startTLSBackend(t, server, func(ctx *fasthttp.RequestCtx) {
			body, _ := io.ReadAll(ctx.RequestBodyStream())
			switch string(ctx.Path()) {
			case "/chunked":
				ctx.SetBodyStream(strings.NewReader(string(body)), -1)
			default:
				ctx.SetBody(body)
			}
		})
		r := start(t, tlsConfigOf(t, a, b.Addr))
		c := testkit.DialTCP(t, r.addr)
		large := strings.Repeat("0123456789abcdef", 100<<10) // 1.6 MB
		for _, body := range []string{"", "small", large} {
			for _, path := range []string{"/", "/chunked"} {
				c.Send("POST " + path + " HTTP/1.1\r\nHost: a\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body)
				resp := c.ReadResponse(patience)
				if got, err := io.ReadAll(resp.Body); resp.StatusCode != 200 || err != nil || string(got) != body {
					t.Errorf("version %x, %s with %d bytes: %d with %d bytes, %v", version, path, len(body), resp.StatusCode, len(got), err)
				}
			}
		}
		c.Send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n1\r\ne\r\n0\r\n\r\n")
		resp := c.ReadResponse(patience)
		if got, _ := io.ReadAll(resp.Body); string(got) != "abcde" {
			t.Errorf("version %x: chunks came back as %q", version, got)
		}
		r.expectIdle(t, b.Addr)
		if n := b.Accepted(); n != 1 {
			t.Errorf("version %x: 7 requests took %d connections, want 1", version, n)
		}
	}
}

// TestAnswersOverTLS is TestAnswerFraming for what TLS makes different: where a
// connection ends.
func TestAnswersOverTLS(t *testing.T) {
	a := testkit.NewAuthority(t)
	server := serverTLS(a)
	f := func(name, answer string, orderly bool, want string) {
		t.Helper()
		r := start(t, tlsConfigOf(t, a, serveTLS(t, server, func(tcp *net.TCPConn, c *tls.Conn) {
			if whole(bufio.NewReader(c)) {
				_, _ = io.WriteString(c, answer)
				if orderly {
					_ = c.Close()
				}
			}
		})))
		if got := r.exchange(t, get); got != want {
			t.Errorf("%s:\n%q\nwant\n%q", name, got, want)
		}
	}
	const untilEnd = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n"
	f("until close_notify", "HTTP/1.1 200 OK\r\n\r\nabc", true, untilEnd+"0\r\n\r\n")
	f("until the connection's end", "HTTP/1.1 200 OK\r\n\r\nabc", false, untilEnd) // perhaps not where the backend ended it
	f("too short", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", true, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nabc")
}

// TestStreamsOverTLS: a piece reaches the client before the next one is made.
func TestStreamsOverTLS(t *testing.T) {
	a := testkit.NewAuthority(t)
	next := make(chan bool)
	r := start(t, tlsConfigOf(t, a, serveTLS(t, serverTLS(a), func(_ *net.TCPConn, c *tls.Conn) {
		if !whole(bufio.NewReader(c)) {
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		for range next {
			_, _ = io.WriteString(c, "3\r\nabc\r\n")
		}
	})))
	c := testkit.DialTCP(t, r.addr)
	c.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	c.ReadUntil("\r\n\r\n", patience)
	for range 3 {
		next <- true
		c.ReadUntil("3\r\nabc\r\n", patience)
	}
	close(next)
}

// TestStaleTLS: a connection that its backend has closed, with or without a
// word, is not used for a request that cannot be sent again.
func TestStaleTLS(t *testing.T) {
	a := testkit.NewAuthority(t)
	f := func(name string, end func(*net.TCPConn, *tls.Conn)) {
		t.Helper()
		var conns atomic.Int64
		ended := make(chan bool, 1)
		addr := serveTLS(t, serverTLS(a), func(tcp *net.TCPConn, c *tls.Conn) {
			n := conns.Add(1)
			for r := bufio.NewReader(c); whole(r); {
				_, _ = io.WriteString(c, okAnswer)
				if n == 1 {
					end(tcp, c)
					ended <- true
					_, _ = io.Copy(io.Discard, tcp)
				}
			}
		})
		r := start(t, tlsConfigOf(t, a, addr))
		c := testkit.DialTCP(t, r.addr)
		c.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		c.ReadUntil("ok", patience)
		<-ended
		testkit.Eventually(t, patience, func() bool {
			alive := 0
			for _, u := range r.proxy.runtime.Load().upstreams {
				u.mu.Lock()
				for _, idle := range u.idle {
					if idle.alive() {
						alive++
					}
				}
				u.mu.Unlock()
			}
			return alive == 0
		}, "the end has come through the loopback")
		c.Send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
		if got := c.ReadUntil("\r\n\r\n", patience); !strings.HasPrefix(got, "HTTP/1.1 200") || conns.Load() != 2 {
			t.Errorf("%s: %q on %d connections", name, got, conns.Load())
		}
	}
	f("close_notify", func(_ *net.TCPConn, c *tls.Conn) { _ = c.CloseWrite() })
	f("end", func(tcp *net.TCPConn, _ *tls.Conn) { _ = tcp.CloseWrite() })
	f("close_notify and end", func(tcp *net.TCPConn, c *tls.Conn) { _ = c.CloseWrite(); _ = tcp.CloseWrite() })
	f("reset", func(tcp *net.TCPConn, _ *tls.Conn) { _ = tcp.SetLinger(0); _ = tcp.Close() })
}

// corked sends what is written to it when it is flushed.
type corked struct {
	net.Conn
	held []byte
	cork bool
}

func (c *corked) Write(p []byte) (int, error) {
	if !c.cork {
		return c.Conn.Write(p)
	}
	c.held = append(c.held, p...)
	return len(p), nil
}

// TestUnaskedBytesInTLS: what stands behind an answer in another record of the
// same packet, which TLS has read ahead, is no answer to the next request.
func TestUnaskedBytesInTLS(t *testing.T) {
	a := testkit.NewAuthority(t)
	server := serverTLS(a)
	f := func(name string, more func(*tls.Conn), reused bool) {
		t.Helper()
		var conns atomic.Int64
		addr := testkit.ServeTCP(t, func(tcp *net.TCPConn) {
			conns.Add(1)
			under := &corked{Conn: tcp}
			c := tls.Server(under, server)
			for r := bufio.NewReader(c); whole(r); {
				under.cork = true
				_, _ = io.WriteString(c, okAnswer)
				more(c)
				under.cork = false
				_ = tcp.SetWriteDeadline(time.Time{}) // CloseWrite has ended it
				_, _ = tcp.Write(under.held)
				under.held = nil
			}
		})
		r := start(t, tlsConfigOf(t, a, addr))
		c := testkit.DialTCP(t, r.addr)
		for range 3 {
			c.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			if got := string(c.ReadN(len(okAnswer), patience)); got != okAnswer {
				t.Errorf("%s: %q", name, got)
			}
		}
		if got := conns.Load() == 1; got != reused {
			t.Errorf("%s: %d connections, want them reused: %t", name, conns.Load(), reused)
		}
	}
	f("nothing", func(*tls.Conn) {}, true)
	f("another answer", func(c *tls.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 418 Smuggled\r\nContent-Length: 0\r\n\r\n") }, false)
	f("an end", func(c *tls.Conn) { _ = c.CloseWrite() }, false)
}

// TestUntrustedBackends: the client reads that it is so and no more, the
// operator once what to do.
func TestUntrustedBackends(t *testing.T) {
	a, other := testkit.NewAuthority(t), testkit.NewAuthority(t)
	f := func(name, addr string, change func(*config.BackendTLS), class, remedy string) {
		t.Helper()
		cfg := tlsConfigOf(t, a, addr)
		pool := cfg.Pools["pool"]
		if change != nil {
			change(&pool.BackendTLS)
		}
		pool.Backends[0].Name = "one"
		cfg.Pools["pool"] = pool
		r, log := startLogged(t, cfg)
		for range 3 {
			expectRefusal(t, r.exchange(t, get), "502 Bad Gateway", class, addr)
		}
		r.expectIdle(t, addr)
		testkit.Eventually(t, patience, func() bool { return strings.Contains(log.String(), "\n") }, "the log has a line")
		if text := log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, remedy) ||
			!strings.Contains(text, "reason="+class) || !strings.Contains(text, "backend=one") {
			t.Errorf("%s: logged %s, want one line with %q", name, text, remedy)
		}
	}
	serve := func(cfg *tls.Config) string { return startTLSBackend(t, cfg, nil).Addr }
	f("unknown authority", serve(serverTLS(other)), nil, "backend_untrusted", "backend_tls.ca of the pool")
	f("other name", serve(serverTLS(a)), func(b *config.BackendTLS) { b.ServerName = "game.example" }, "backend_untrusted", "backend_tls.server_name of the pool")
	expired := &tls.Config{Certificates: []tls.Certificate{a.IssueUntil(time.Now().Add(-time.Minute), "127.0.0.1")}}
	f("expired", serve(expired), nil, "backend_untrusted", "renew the backend's certificate")
	f("no TLS", testkit.StartBackend(t, nil).Addr, nil, "backend_tls_failed", "write http:// or ws://")
	f("ended in the handshake", testkit.ServeTCP(t, func(c *net.TCPConn) { _, _ = c.Read(make([]byte, 512)) }), nil, "backend_tls_failed", "see that the backend speaks TLS")
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		asks := serverTLS(a)
		asks.MaxVersion, asks.ClientAuth, asks.ClientCAs = version, tls.RequireAndVerifyClientCert, a.Pool()
		f("wants a certificate", serve(asks), nil, "backend_tls_failed", "backend_tls.cert and key")
	}
}

// TestClientCertificate: a backend that asks for one gets it, and one that is
// changed is taken at the next Swap, together with a new connection.
func TestClientCertificate(t *testing.T) {
	a := testkit.NewAuthority(t)
	asks := serverTLS(a)
	asks.ClientAuth, asks.ClientCAs = tls.RequireAndVerifyClientCert, a.Pool()
	b := startTLSBackend(t, asks, func(ctx *fasthttp.RequestCtx) {
		state := ctx.TLSConnectionState()
		ctx.SetBodyString(state.PeerCertificates[0].Subject.CommonName)
	})
	cfg := tlsConfigOf(t, a, b.Addr)
	dir := t.TempDir()
	pool := cfg.Pools["pool"]
	pool.BackendTLS.Cert, pool.BackendTLS.Key = testkit.CertFiles(t, dir, "client", a.Issue("first"))
	cfg.Pools["pool"] = pool
	r := start(t, cfg)
	f := func(want string, connections int64) {
		t.Helper()
		if got := r.exchange(t, get); !strings.HasSuffix(got, "\r\n\r\n"+want) || b.Accepted() != connections {
			t.Errorf("%q on connection %d, want %s on %d", got, b.Accepted(), want, connections)
		}
	}
	f("first", 1)
	testkit.CertFiles(t, dir, "client", a.Issue("second"))
	f("first", 1)
	r.swap(t, cfg)
	f("second", 2)
	r.swap(t, cfg) // nothing has changed
	f("second", 2)
	testkit.Eventually(t, patience, func() bool { return b.Conns() == 1 }, "the connection with the old certificate is closed")
}

// TestTrustsArePools: two pools with one backend do not share what they
// believe.
func TestTrustsArePools(t *testing.T) {
	a, other := testkit.NewAuthority(t), testkit.NewAuthority(t)
	b := startTLSBackend(t, serverTLS(a), nil)
	cfg := tlsConfigOf(t, a, b.Addr)
	strict := tlsConfigOf(t, other, b.Addr)
	cfg.Pools["strict"] = strict.Pools["pool"]
	route := cfg.Routes[0]
	route.Name, route.Path, route.Pool = "strict", "/strict", "strict"
	cfg.Routes = append(cfg.Routes, route)
	r := start(t, cfg)
	if got := r.exchange(t, get); !strings.HasSuffix(got, "ok") {
		t.Errorf("%q", got)
	}
	expectRefusal(t, r.exchange(t, strings.Replace(get, "/", "/strict", 1)), "502 Bad Gateway", "backend_untrusted")
}

// TestRetriesOverTLS: nothing has been sent to a backend that is not believed,
// so any request may go to another one.
func TestRetriesOverTLS(t *testing.T) {
	a, other := testkit.NewAuthority(t), testkit.NewAuthority(t)
	bad := startTLSBackend(t, serverTLS(other), nil)
	good := startTLSBackend(t, serverTLS(a), nil)
	r := start(t, tlsConfigOf(t, a, bad.Addr, good.Addr))
	got := r.exchange(t, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx")
	if !strings.HasPrefix(got, "HTTP/1.1 200") || bad.Requests() != 0 || good.Requests() != 1 {
		t.Errorf("%q; %d and %d requests", got, bad.Requests(), good.Requests())
	}
}

// TestSlowHandshake: timeouts.connect covers TLS too.
func TestSlowHandshake(t *testing.T) {
	a := testkit.NewAuthority(t)
	addr := testkit.ServeTCP(t, silent)
	cfg := tlsConfigOf(t, a, addr)
	cfg.Routes[0].Timeouts.Connect = 50 * time.Millisecond
	r := start(t, cfg)
	expectRefusal(t, r.exchange(t, get), "504 Gateway Timeout", "connect_timeout", addr)
}

// TestLateOverTLS: the deadline of the handshake does not outlive it.
func TestLateOverTLS(t *testing.T) {
	a := testkit.NewAuthority(t)
	addr := serveTLS(t, serverTLS(a), func(_ *net.TCPConn, c *tls.Conn) { _, _ = io.Copy(io.Discard, c) })
	cfg := tlsConfigOf(t, a, addr)
	cfg.Routes[0].Timeouts.Response = 50 * time.Millisecond
	r := start(t, cfg)
	expectRefusal(t, r.exchange(t, get), "504 Gateway Timeout", "answer_timeout", addr)
}

// TestCloseOfStuckTLS: a backend that takes nothing does not hold up the close
// with its close_notify, for which crypto/tls would wait five seconds.
func TestCloseOfStuckTLS(t *testing.T) {
	a := testkit.NewAuthority(t)
	stuck := make(chan struct{})
	defer close(stuck)
	addr := serveTLS(t, serverTLS(a), func(*net.TCPConn, *tls.Conn) { <-stuck })
	r := start(t, tlsConfigOf(t, a, addr))
	var c *backendConn
	for _, u := range r.proxy.upstreams {
		var err error
		if c, err = u.dial(patience, nil); err != nil {
			t.Fatal(err)
		}
	}
	_ = c.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	for err := error(nil); err == nil; {
		_, err = c.wire.Write(make([]byte, 1<<20))
	}
	began := time.Now()
	_ = c.Close()
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("it took %v", took)
	}
}

// TestTLSHandlerAllocations: crypto/tls allocates a small reader whenever it
// looks for a record, which happens once in the backend, once for the answer
// and once to see that nothing is behind it.
func TestTLSHandlerAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes pools forget")
	}
	a := testkit.NewAuthority(t)
	r := start(t, tlsConfigOf(t, a, startTLSBackend(t, serverTLS(a), nil).Addr))
	handle := r.proxy.Handler("web")
	ctx := requestOf(t, browser)
	once := func() {
		handle(ctx)
		if ctx.Response.StatusCode() != 200 || string(ctx.Response.Body()) != "ok" {
			t.Fatalf("answered %d", ctx.Response.StatusCode())
		}
	}
	once()
	if n := testing.AllocsPerRun(500, once); n > 3 {
		t.Errorf("%v allocations a request, want 3 at most", n)
	}
}
