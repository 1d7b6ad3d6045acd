package e2e

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// counting is a backend that knows of each of its connections whether anything
// came on it yet.
type counting struct {
	addr string

	mu       sync.Mutex
	accepted int              // connections so far
	silent   map[int]net.Conn // open ones that have said nothing, by number
	asked    []int            // numbers of those that handshakes came on
	rude     int              // those before this number are closed by a handshake
	sick     bool             // probes fail
}

func startCounting(t *testing.T) *counting {
	b := &counting{silent: map[int]net.Conn{}}
	b.addr = testkit.ServeTCP(t, func(c *net.TCPConn) { b.serve(c) })
	return b
}

func (b *counting) serve(c net.Conn) {
	b.mu.Lock()
	n := b.accepted
	b.accepted++
	b.silent[n] = c
	b.mu.Unlock()
	r := bufio.NewReader(c)
	_, err := r.Peek(1)
	b.mu.Lock()
	delete(b.silent, n)
	b.mu.Unlock()
	if err != nil {
		return
	}
	req, err := http.ReadRequest(r)
	if err != nil {
		return
	}
	b.mu.Lock()
	rude, sick := n < b.rude, b.sick
	if req.Header.Get("Upgrade") != "" {
		b.asked = append(b.asked, n)
	}
	b.mu.Unlock()
	switch {
	case req.Header.Get("Upgrade") == "" && sick:
		_, _ = io.WriteString(c, "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
	case req.Header.Get("Upgrade") == "":
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
	case !rude:
		fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
			testkit.Accept(req.Header.Get("Sec-WebSocket-Key")))
		_, _ = io.Copy(io.Discard, r)
	}
}

// set changes fields under the lock.
func (b *counting) set(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
}

// awaitSilent waits until n connections are open that have said nothing, and
// returns how many have come so far.
func (b *counting) awaitSilent(t *testing.T, n int) (accepted int) {
	t.Helper()
	testkit.Eventually(t, patience, func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		accepted = b.accepted
		return len(b.silent) == n
	}, fmt.Sprintf("%d connections are open that have said nothing", n))
	return accepted
}

// lastAsked is the number of the connection that the last handshake came on.
func (b *counting) lastAsked() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.asked[len(b.asked)-1]
}

// A handshake goes out on a connection that was there before its client; what
// the backend has given up is replaced, and costs nobody a handshake.
func TestWarm(t *testing.T) {
	t.Parallel()
	b := startCounting(t)
	p := start(t, setup{rest: siteOf([]string{b.addr}, "warm: 2")})
	open := func() {
		t.Helper()
		c, err := openPeer(p.web, "/")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
	}
	count := func(name, label string) float64 {
		if label != "" {
			return p.metric("holdfast_warm_"+name, label)
		}
		return p.metric("holdfast_warm_" + name)
	}

	// The backend may know of a connection before Holdfast does.
	ready := func() {
		t.Helper()
		testkit.Eventually(t, patience, func() bool { return count("connections", "") == 2 }, "two are ready")
	}
	before := b.awaitSilent(t, 2)
	ready()
	open()
	if n := b.lastAsked(); n >= before {
		t.Errorf("the handshake came on connection %d, and %d were there before it", n, before)
	}
	b.awaitSilent(t, 2)
	ready()
	p.counted(1, "holdfast_warm_handshakes_total", `result="used"`)

	// The backend ends them.
	b.set(func() {
		for _, c := range b.silent {
			c.Close()
		}
	})
	testkit.Eventually(t, patience, func() bool { return count("stale_total", "") >= 2 }, "the ends are noticed")
	b.awaitSilent(t, 2)
	open()

	// The backend ends them as soon as something comes.
	before = b.awaitSilent(t, 2)
	ready()
	b.set(func() { b.rude = before })
	open()
	if n := b.lastAsked(); n < before {
		t.Errorf("the handshake was answered on connection %d, which was not to be", n)
	}
	if n := p.metric("holdfast_retries_total"); n != 0 {
		t.Errorf("%v retries, and the backend has not failed", n)
	}
}

// Who is not to be picked has no connections, and who is not configured for
// them has none any more.
func TestWarmIsGivenUp(t *testing.T) {
	t.Parallel()
	b := startCounting(t)
	p := start(t, setup{rest: siteOf([]string{b.addr}, "warm: 3", quickHealth)})
	b.awaitSilent(t, 3)
	p.post("/api/v1/pools/web/backends/b1/drain")
	b.awaitSilent(t, 0)
	p.post("/api/v1/pools/web/backends/b1/undrain")
	b.awaitSilent(t, 3)

	b.set(func() { b.sick = true })
	p.awaitState("web", "b1", "down")
	b.awaitSilent(t, 0)
	b.set(func() { b.sick = false })
	b.awaitSilent(t, 3)

	p.write(siteOf([]string{b.addr}, "warm: 1", quickHealth))
	p.reload()
	b.awaitSilent(t, 1)
	p.write(siteOf([]string{b.addr}, quickHealth))
	p.reload()
	b.awaitSilent(t, 0)
	p.write(siteOf([]string{b.addr}, "warm: 2", quickHealth))
	p.reload()
	b.awaitSilent(t, 2)
}

// The same over TLS, of both versions, whatever the backend answers.
func TestWarmOverTLS(t *testing.T) {
	t.Parallel()
	a := testkit.NewAuthority(t)
	ca := testkit.WriteFile(t, t.TempDir(), "ca.pem", a.PEM())
	f := func(version uint16) {
		t.Helper()
		echo := testkit.Echo()
		b := startTLS(t, &tls.Config{Certificates: []tls.Certificate{a.Issue("127.0.0.1")}, MaxVersion: version}, func(ctx *fasthttp.RequestCtx) {
			if string(ctx.Path()) == "/no" {
				ctx.Error("not in here", http.StatusForbidden)
				return
			}
			echo(ctx)
		})
		p := start(t, setup{rest: "routes: [{name: all, path: /, pool: web}]\npools:\n" +
			fmt.Sprintf("  web: {warm: 2, backends: [{url: \"wss://%s\"}], backend_tls: {ca: %q}}\n", b.Addr, ca)})
		ready := func() {
			t.Helper()
			testkit.Eventually(t, patience, func() bool { return p.metric("holdfast_warm_connections") == 2 }, "two connections are ready")
		}
		ready()
		c, err := openPeer(p.web, "/")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for _, text := range []string{"hello", strings.Repeat("0123456789abcdef", 5000), "bye"} {
			if err := c.echo(text); err != nil {
				t.Errorf("TLS %x: %v", version, err)
			}
		}
		ready()
		if resp, body := exchange(t, p.web, testkit.HandshakeRequest(p.web, "/no")); resp.StatusCode != http.StatusForbidden || body != "not in here" {
			t.Errorf("TLS %x: %d %q", version, resp.StatusCode, body)
		}
		p.counted(2, "holdfast_warm_handshakes_total", `result="used"`)
	}
	f(tls.VersionTLS12)
	f(tls.VersionTLS13)
}
