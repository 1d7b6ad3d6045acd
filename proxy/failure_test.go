package proxy

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/explain"
	"github.com/holdfast-lb/holdfast/internal/testkit"
)

const get = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

// expectRefusal checks status line, class and that no address leaks, and
// returns the whole answer.
func expectRefusal(t *testing.T, got, status, class string, addrs ...string) {
	t.Helper()
	head, body, _ := strings.Cut(got, "\r\n\r\n")
	if !strings.HasPrefix(head, "HTTP/1.1 "+status+"\r\n") || !strings.HasPrefix(body, explain.Named(class).String()+" ") ||
		!strings.Contains(body, "("+class+", request ") || strings.Count(body, "\n") != 1 {
		t.Errorf("got %q, want %s %s", got, status, class)
	}
	for _, a := range append(addrs, "127.0.0.1") {
		if strings.Contains(got, a) {
			t.Errorf("%q tells the address %s", got, a)
		}
	}
	if strings.HasPrefix(status, "503") != strings.Contains(head, "\r\nRetry-After: 1\r\n") {
		t.Errorf("%s: Retry-After in %q", status, head)
	}
}

// behaving serves every connection with f after a request's first line.
func behaving(t *testing.T, f func(c *net.TCPConn)) (addr string) {
	t.Helper()
	return testkit.ServeTCP(t, func(c *net.TCPConn) {
		if _, err := bufio.NewReader(c).ReadString('\n'); err == nil {
			f(c)
		}
	})
}

func says(s string) func(*net.TCPConn) {
	return func(c *net.TCPConn) { _, _ = io.WriteString(c, s) }
}

func silent(c *net.TCPConn) { _, _ = io.Copy(io.Discard, c) }

func TestRefusals(t *testing.T) {
	f := func(name, addr, request, status, class string) {
		t.Helper()
		cfg := configOf(addr)
		cfg.Routes[0].Path = "/in"
		if strings.HasPrefix(status, "504") {
			cfg.Routes[0].Timeouts.Response = 50 * time.Millisecond
		}
		r := start(t, cfg)
		t.Log(name)
		expectRefusal(t, r.exchange(t, request), status, class, addr)
		r.expectIdle(t, addr)
	}
	in := strings.Replace(get, "/", "/in", 1)
	f("refused", testkit.FreeAddr(t), in, "502 Bad Gateway", "connect_failed")
	f("broken", behaving(t, says("")), in, "502 Bad Gateway", "backend_broken")
	f("cut in its header", behaving(t, says("HTTP/1.1 200 OK\r\nConte")), in, "502 Bad Gateway", "bad_answer")
	f("no HTTP", behaving(t, says("SSH-2.0-OpenSSH\r\n\r\n")), in, "502 Bad Gateway", "bad_answer")
	f("switches unasked", behaving(t, says("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n")), in, "502 Bad Gateway", "bad_answer")
	f("never done with interim answers", behaving(t, says(strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 50))), in, "502 Bad Gateway", "bad_answer")
	f("header too large", behaving(t, says("HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", 20<<10)+"\r\n\r\n")), in, "502 Bad Gateway", "bad_answer")
	f("both framings that disagree", behaving(t, says("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab")), in, "502 Bad Gateway", "bad_answer")
	f("late", behaving(t, silent), in, "504 Gateway Timeout", "answer_timeout")
	f("late in its header", behaving(t, func(c *net.TCPConn) { says("HTTP/1.1 200")(c); silent(c) }), in, "504 Gateway Timeout", "answer_timeout")
	f("no route", behaving(t, silent), get, "404 Not Found", "no_route")
	f("CONNECT", behaving(t, silent), "CONNECT a:1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "501 Not Implemented", "no_tunnel")
	f("too many options", behaving(t, silent), "GET /in HTTP/1.1\r\nHost: a\r\nConnection: close"+strings.Repeat(",x", 99)+"\r\n\r\n", "400 Bad Request", "bad_connection_header")
}

func TestNoUsableBackend(t *testing.T) {
	addr := testkit.FreeAddr(t)
	cfg := configOf(addr)
	pool := cfg.Pools["pool"]
	pool.Health.Type, pool.Health.Initial = "tcp", "down"
	cfg.Pools["pool"] = pool
	r := start(t, cfg)
	expectRefusal(t, r.exchange(t, get), "503 Service Unavailable", "no_backend", addr)
}

func TestAllBackendsFull(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	addr := behaving(t, func(c *net.TCPConn) {
		entered <- struct{}{}
		<-leave
		says("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")(c)
	})
	cfg := configOf(addr)
	cfg.Pools["pool"].Backends[0].MaxConnections = 1
	r := start(t, cfg)
	first := testkit.DialTCP(t, r.addr)
	first.Send(get)
	<-entered
	expectRefusal(t, r.exchange(t, get), "503 Service Unavailable", "backends_full", addr)
	close(leave)
	if got := first.ReadAll(patience); !strings.HasPrefix(got, "HTTP/1.1 200") {
		t.Errorf("got %q", got)
	}
}

func TestBeforeFirstSwap(t *testing.T) {
	r := start(t, configOf(testkit.FreeAddr(t)))
	r.proxy.runtime.Store(nil)
	expectRefusal(t, r.exchange(t, get), "503 Service Unavailable", "no_backend")
}

// TestKeepAliveAfterRefusal: a failed request does not cost the client its
// connection.
func TestKeepAliveAfterRefusal(t *testing.T) {
	b := testkit.StartBackend(t, nil)
	cfg := configOf(b.Addr)
	cfg.Routes[0].Path = "/in"
	r := start(t, cfg)
	c := testkit.DialTCP(t, r.addr)
	c.Send("POST /out HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody")
	c.ReadUntil(")\n", patience)
	c.Send("GET /in HTTP/1.1\r\nHost: a\r\n\r\n")
	c.ReadUntil("\r\n\r\nok", patience)
}
