package health

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// hangOnAll takes requests and never answers.
func hangOnAll(ctx *fasthttp.RequestCtx) {
	ctx.HijackSetNoResponse(true)
	ctx.Hijack(func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
}

func TestHTTPCheckerStatuses(t *testing.T) {
	f := func(status int, expect, want string) {
		t.Helper()
		b := testkit.StartBackend(t, func(ctx *fasthttp.RequestCtx) {
			ctx.SetStatusCode(status)
			ctx.Response.Header.Set("Location", "http://127.0.0.1:1/elsewhere")
		})
		s := spec("http", ample)
		s.Expect, s.Retries = expect, 3
		wantProbe(t, b.Addr, s, want)
		if got := b.Requests(); got != 1 {
			t.Fatalf("%d requests for an answer of %d, want 1", got, status)
		}
	}
	f(200, "200-399", "status 200")
	f(204, "200-399", "status 204")
	f(302, "200-399", "status 302") // an answer, and not followed
	f(302, "200-299", "status 302, expected 200-299")
	f(503, "200-399", "status 503, expected 200-399")
	f(503, "200-399,503", "status 503")
	f(429, "200-399", "status 429, expected 200-399")
	f(418, "200-399,418", "status 418")
}

func TestHTTPCheckerRequest(t *testing.T) {
	requests := make(chan string, 1)
	b := testkit.StartBackend(t, func(ctx *fasthttp.RequestCtx) {
		requests <- fmt.Sprintf("%s %s %s %s", ctx.Method(), ctx.RequestURI(), ctx.Host(), ctx.UserAgent())
	})
	s := spec("http", ample)
	s.Path = "/health?deep=1"
	wantProbe(t, b.Addr, s, "status 200")
	if got, want := <-requests, "GET /health?deep=1 "+b.Addr+" holdfast-health"; got != want {
		t.Fatalf("request %q, want %q", got, want)
	}
}

func TestHTTPCheckerRetriesConnectionErrorsOnly(t *testing.T) {
	// serve gets the number of the connection, from 1.
	f := func(serve func(n int32, c *net.TCPConn), retries int, wantConns int32, want string) {
		t.Helper()
		var conns atomic.Int32
		addr := testkit.ServeTCP(t, func(c *net.TCPConn) {
			n := conns.Add(1)
			if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
				serve(n, c)
			}
		})
		s := spec("http", ample)
		s.Retries = retries
		wantProbe(t, addr, s, want)
		if got := conns.Load(); got != wantConns {
			t.Fatalf("%d connections, want %d", got, wantConns)
		}
	}
	thirdTime := func(n int32, c *net.TCPConn) {
		if n == 3 {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
	}
	f(thirdTime, 0, 1, "connection closed without an answer")
	f(thirdTime, 1, 2, "connection closed without an answer")
	f(thirdTime, 2, 3, "status 200")
	f(thirdTime, 5, 3, "status 200")
	f(func(_ int32, c *net.TCPConn) { _ = c.SetLinger(0) }, 2, 3, "connection reset")
	// Nonsense is an answer too.
	f(func(_ int32, c *net.TCPConn) { _, _ = io.WriteString(c, "SSH-2.0\r\n\r\n") }, 2, 1, `malformed HTTP response "SSH-2.0"`)
}

func TestHTTPCheckerRetriesRefusedWithinTheDeadline(t *testing.T) {
	s := spec("http", brief)
	s.Retries = 1000
	got, _ := probe(testkit.FreeAddr(t), s)
	if got != "timeout after 1s" && got != "connection refused" {
		t.Fatalf("got %q", got)
	}
	s.Timeout, s.Retries = ample, 1
	wantProbe(t, testkit.FreeAddr(t), s, "connection refused")
}

func TestHTTPCheckerBoundsWhatItReads(t *testing.T) {
	f := func(answer string, endless byte, want string) {
		t.Helper()
		addr := testkit.ServeTCP(t, func(c *net.TCPConn) {
			if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
				return
			}
			_, err := io.WriteString(c, answer)
			if endless == 0 {
				_, _ = io.Copy(io.Discard, c)
			}
			more := strings.Repeat(string(endless), 4096)
			for err == nil {
				_, err = io.WriteString(c, more)
			}
		})
		timeout := ample
		if strings.HasPrefix(want, "timeout") {
			timeout = brief
		}
		wantProbe(t, addr, spec("http", timeout), want)
	}
	f("HTTP/1.1 200 OK\r\n\r\n", 'x', "status 200") // a body without an end
	f("HTTP/1.1 200 OK\r\nX: ", 'x', "net/http: server response headers exceeded 65536 bytes; aborted")
	f("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", 0, "timeout after 1s")
	f("HTTP/1.1 200 OK\r\n", 0, "timeout after 1s")
}

func TestHTTPCheckerTimeout(t *testing.T) {
	b := testkit.StartBackend(t, hangOnAll)
	s := spec("http", brief)
	s.Retries = 3
	wantProbe(t, b.Addr, s, "timeout after 1s")
	if got := b.Requests(); got != 1 {
		t.Fatalf("%d requests, want 1: a timeout is not a connection error", got)
	}
}

func TestHTTPCheckerLeavesNoConnection(t *testing.T) {
	b := testkit.StartBackend(t, nil)
	c := newChecker(Target{Scheme: "http", Address: b.Addr, Spec: spec("http", ample)})
	for range 20 {
		ctx, cancel := context.WithTimeout(context.Background(), ample)
		if a := c.check(ctx); a.err != nil {
			t.Fatal(a.err)
		}
		cancel()
	}
	if got := b.Accepted(); got != 20 {
		t.Fatalf("%d connections for 20 probes, want one each", got)
	}
	testkit.Eventually(t, ample, func() bool { return b.Conns() == 0 }, "no connection left")
}
