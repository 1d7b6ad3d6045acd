package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// startLimited starts a process with an echoing backend and the given keys of
// its listener.
func startLimited(t *testing.T, listener string) (*process, *arena) {
	t.Helper()
	b := startArena(t, "b1")
	return start(t, setup{listener: listener, rest: site([]*arena{b})}), b
}

// A header over max_header_bytes is refused with 431, one below passes.
func TestHeaderSize(t *testing.T) {
	t.Parallel()
	p, b := startLimited(t, "limits: {max_header_bytes: 4KiB}")
	f := func(size, status int) {
		t.Helper()
		resp, body := exchange(t, p.web, get("/", "X-Long: "+strings.Repeat("x", size)))
		if resp.StatusCode != status || status != 200 && strings.Count(body, "\n") != 1 {
			t.Errorf("a field of %d bytes: status %d, %q; want %d", size, resp.StatusCode, body, status)
		}
	}
	f(3<<10, http.StatusOK)
	f(5<<10, http.StatusRequestHeaderFieldsTooLarge)
	f(64<<10, http.StatusRequestHeaderFieldsTooLarge)
	if n := b.Requests(); n != 1 {
		t.Errorf("the backend has seen %d requests, want 1", n)
	}
}

// What is not HTTP is refused with 400.
func TestBadRequests(t *testing.T) {
	t.Parallel()
	p, b := startLimited(t, "")
	for _, raw := range []string{
		"hello\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\nbad line\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: five\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
		"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
		"GET / HTTP/1.1\r\n\r\n",
	} {
		before := b.Requests()
		c := testkit.DialTCP(t, p.web)
		c.Send(raw)
		resp := c.ReadResponse(patience)
		if resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%q: status %d, want 400", raw, resp.StatusCode)
		}
		if b.Requests() != before {
			t.Errorf("%q reaches the backend", raw)
		}
		c.Close()
	}
}

// A client that takes too long over its header, or stops in its body, is
// answered 408; one that says nothing is left without a word.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	addr := startServer(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	p := start(t, setup{listener: "timeouts: {header: 1s, body: 1s, idle: 1s}", rest: siteOf([]string{addr})})
	f := func(sent string, status int) {
		t.Helper()
		began := time.Now()
		c := testkit.DialTCP(t, p.web)
		if sent != "" {
			c.Send(sent)
		}
		if status != 0 {
			resp := c.ReadResponse(patience)
			body, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != status || strings.Count(string(body), "\n") != 1 {
				t.Errorf("%.40q: status %d, %q; want %d", sent, resp.StatusCode, body, status)
			}
		}
		c.ExpectClosed(patience)
		if took := time.Since(began); took < 900*time.Millisecond || took > 10*time.Second {
			t.Errorf("%.40q: the end comes after %v, want about a second", sent, took)
		}
	}
	f("", 0)
	f("GET / HTTP/1.1\r\nHost: x\r\n", http.StatusRequestTimeout)
	f("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhel", http.StatusRequestTimeout)
	f("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\n\r\n"+strings.Repeat("x", 1<<20), http.StatusRequestTimeout)
	f("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", http.StatusRequestTimeout)

	// A kept-alive connection is closed when it is idle, and not while a slow
	// body still moves.
	c := testkit.DialTCP(t, p.web)
	c.Send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\n")
	for range 8 {
		time.Sleep(100 * time.Millisecond) // the pace that is tested
		c.Send("x")
	}
	resp := c.ReadResponse(patience)
	_, _ = io.Copy(io.Discard, resp.Body)
	if resp.StatusCode != http.StatusOK {
		t.Errorf("a slow body that moves: status %d, want 200", resp.StatusCode)
	}
	c.ExpectEOF(patience)
}

// A body over max_body_bytes is refused with 413, whether its length was
// announced or not.
func TestBodySize(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	addr := startServer(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		_, _ = io.Copy(io.Discard, r.Body)
	})
	p := start(t, setup{listener: "limits: {max_body_bytes: 64KiB}", rest: siteOf([]string{addr})})
	f := func(raw string, status int) {
		t.Helper()
		resp, body := exchange(t, p.web, "POST / HTTP/1.1\r\nHost: x\r\n"+raw)
		if resp.StatusCode != status {
			t.Errorf("%.40q: status %d, %q; want %d", raw, resp.StatusCode, body, status)
		}
	}
	sized := func(n int) string { return fmt.Sprintf("Content-Length: %d\r\n\r\n%s", n, strings.Repeat("x", n)) }
	chunked := func(n int) string {
		return fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", n, strings.Repeat("x", n))
	}
	f(sized(64<<10), http.StatusOK)
	f(chunked(64<<10), http.StatusOK)
	if n := asked.Load(); n != 2 {
		t.Errorf("the backend has seen %d requests, want 2", n)
	}
	f(sized(64<<10+1), http.StatusRequestEntityTooLarge)
	f(sized(256<<10), http.StatusRequestEntityTooLarge)
	if n := asked.Load(); n != 2 {
		t.Errorf("the backend is asked about a body that is known to be too long")
	}
	f(chunked(64<<10+1), http.StatusRequestEntityTooLarge)
	f(chunked(256<<10), http.StatusRequestEntityTooLarge)
}

// One connection too many is answered 503 in all, 429 for one address, and
// sockets count as long as they live.
func TestConnectionLimits(t *testing.T) {
	t.Parallel()
	f := func(limit string, status int, reason string) {
		t.Helper()
		p, _ := startLimited(t, "limits: {"+limit+": 3}")
		peers := openPeers(t, p.web, "/", 2)
		idle := testkit.DialTCP(t, p.web)
		idle.Send(get("/"))
		resp := idle.ReadResponse(patience)
		_, _ = io.Copy(io.Discard, resp.Body)
		if resp.StatusCode != http.StatusOK {
			t.Errorf("%s: the third connection: status %d, want 200", limit, resp.StatusCode)
		}
		for range 2 {
			resp, body := exchange(t, p.web, get("/"))
			if resp.StatusCode != status || strings.Count(body, "\n") != 1 || resp.Header.Get("Retry-After") == "" {
				t.Errorf("%s: one too many: status %d, %q, Retry-After %q; want %d", limit, resp.StatusCode, body, resp.Header.Get("Retry-After"), status)
			}
		}
		p.counted(2, "holdfast_listener_refused_total", `reason="`+reason+`"`)
		for _, socket := range peers {
			if err := socket.echo("still here"); err != nil {
				t.Errorf("%s: an open socket: %v", limit, err)
			}
		}
		peers[0].Close()
		testkit.Eventually(t, patience, func() bool { return p.metric("holdfast_listener_connections_open") == 2 }, "a place is free")
		if resp, _ := exchange(t, p.web, get("/")); resp.StatusCode != http.StatusOK {
			t.Errorf("%s: a freed place: status %d, want 200", limit, resp.StatusCode)
		}
	}
	f("max_connections", http.StatusServiceUnavailable, "max_connections")
	f("max_connections_per_ip", http.StatusTooManyRequests, "max_connections_per_ip")
}

// Handshakes beyond the rate of one address are refused with 429 and a time,
// and requests are not.
func TestHandshakeRate(t *testing.T) {
	t.Parallel()
	p, _ := startLimited(t, "limits: {handshakes_per_second_per_ip: 2}")
	openPeers(t, p.web, "/", 2)
	refused := 0
	testkit.Eventually(t, patience, func() bool {
		c := testkit.DialTCP(t, p.web)
		c.Send(testkit.HandshakeRequest(p.web, "/"))
		if resp := c.ReadResponse(patience); resp.StatusCode == http.StatusTooManyRequests && resp.Header.Get("Retry-After") != "" {
			refused++
		}
		return refused == 2
	}, "handshakes beyond 2 a second are refused")
	p.counted(2, "holdfast_handshakes_total", `result="limited"`)
	if resp, _ := exchange(t, p.web, get("/")); resp.StatusCode != http.StatusOK {
		t.Errorf("a request meanwhile: status %d, want 200", resp.StatusCode)
	}
	testkit.Eventually(t, patience, func() bool {
		socket, err := openPeer(p.web, "/")
		if err == nil {
			socket.Close()
		}
		return err == nil
	}, "handshakes are allowed again")
}

// A limit that a reload changes holds for the next connection and closes none.
func TestLimitsChange(t *testing.T) {
	t.Parallel()
	p, b := startLimited(t, "")
	peers := openPeers(t, p.web, "/", 5)
	p.setup.listener = "limits: {max_connections: 3}"
	p.write(site([]*arena{b}))
	p.reload()
	if resp, _ := exchange(t, p.web, get("/")); resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("status %d beyond the new limit, want 503", resp.StatusCode)
	}
	for i, socket := range peers {
		if err := socket.echo("still here"); err != nil {
			t.Errorf("socket %d: %v", i, err)
		}
	}
}

// A listener on a Unix socket serves as one on a port does.
func TestUnixListener(t *testing.T) {
	t.Parallel()
	b := startArena(t, "b1")
	p := start(t, setup{rest: site([]*arena{b})})
	path := p.path("web.sock")
	p.writeText(strings.Replace(p.text(site([]*arena{b})), "listeners: [", "listeners: [{name: local, address: \"unix:web.sock\"}, ", 1))
	p.reload()
	for range 2 {
		c := dialUnix(t, path)
		fmt.Fprint(c, testkit.HandshakeRequest("game.example.com", "/"))
		socket := &peer{Conn: c, r: bufio.NewReader(c)}
		if resp, err := http.ReadResponse(socket.r, nil); err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
			t.Fatalf("handshake: %v, %v", resp, err)
		}
		if err := socket.echo("hello"); err != nil {
			t.Error(err)
		}
	}
	p.signal(stopSignal)
	p.wait(patience)
	if exists(path) {
		t.Error("the socket's file is still there after the end")
	}
}
