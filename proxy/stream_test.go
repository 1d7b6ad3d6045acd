package proxy

import (
	"bufio"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// TestAnswersReachClientAsProduced: a backend sends the next piece only when
// the client has got the one before.
func TestAnswersReachClientAsProduced(t *testing.T) {
	f := func(name, head, wantHead string, frame func(string) string) {
		t.Helper()
		next := make(chan string)
		addr := testkit.ServeTCP(t, func(c *net.TCPConn) {
			if _, err := bufio.NewReader(c).ReadString('\n'); err != nil {
				return
			}
			_, _ = io.WriteString(c, head)
			for piece := range next {
				_, _ = io.WriteString(c, piece)
			}
		})
		r := start(t, configOf(addr))
		c := testkit.DialTCP(t, r.addr)
		c.Send("GET /events HTTP/1.1\r\nHost: a\r\n\r\n")
		if got := c.ReadUntil("\r\n\r\n", patience); got != wantHead { // before any byte of the body
			t.Errorf("%s: %q, want %q", name, got, wantHead)
		}
		for range 3 {
			piece := frame("data: x\n\n")
			next <- piece
			if got := string(c.ReadN(len(piece), patience)); got != piece {
				t.Errorf("%s: %q, want %q", name, got, piece)
			}
		}
		close(next)
		c.ExpectClosed(patience) // none of them was complete
		r.expectIdle(t, addr)
	}
	chunk := func(s string) string { return "9\r\n" + s + "\r\n" }
	f("chunked", "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\nDate: today\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nDate: today\r\nTransfer-Encoding: chunked\r\n\r\n", chunk)
	f("known length", "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nDate: today\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nDate: today\r\n\r\n", func(s string) string { return s })
}

// TestAnswerTooSlowInBody: timeouts.body cuts the client off.
func TestAnswerTooSlowInBody(t *testing.T) {
	addr := testkit.ServeTCP(t, func(c *net.TCPConn) {
		_, _ = bufio.NewReader(c).ReadString('\n')
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
		_, _ = io.Copy(io.Discard, c)
	})
	cfg := configOf(addr)
	cfg.Routes[0].Timeouts.Body = 50 * time.Millisecond
	r := start(t, cfg)
	if got := r.exchange(t, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); !strings.HasSuffix(got, "\r\n\r\nhalf") {
		t.Errorf("got %q", got)
	}
	r.expectIdle(t, addr)
}

// TestClientLeavesDuringAnswer: the backend's connection ends, and the lease.
func TestClientLeavesDuringAnswer(t *testing.T) {
	gone := make(chan struct{})
	addr := testkit.ServeTCP(t, func(c *net.TCPConn) {
		defer close(gone)
		_, _ = bufio.NewReader(c).ReadString('\n')
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		for {
			if _, err := io.WriteString(c, "4\r\nping\r\n"); err != nil {
				return
			}
		}
	})
	r := start(t, configOf(addr))
	c := testkit.DialTCP(t, r.addr)
	c.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	c.ReadUntil("ping", patience)
	c.Reset()
	select {
	case <-gone:
	case <-time.After(patience):
		t.Fatal("the backend still sends")
	}
	r.expectIdle(t, addr)
}

// TestUnaskedBytesEndConnection: bytes behind an answer must not become the
// next one's.
func TestUnaskedBytesEndConnection(t *testing.T) {
	var accepted atomic.Int64
	addr := testkit.ServeTCP(t, func(c *net.TCPConn) {
		accepted.Add(1)
		_, _ = bufio.NewReader(c).ReadString('\n')
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
		_, _ = io.Copy(io.Discard, c)
	})
	r := start(t, configOf(addr))
	c := testkit.DialTCP(t, r.addr)
	for range 3 {
		c.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		if got := c.ReadUntil("\r\n\r\nok", patience); strings.Contains(got, "evil") {
			t.Errorf("got %q", got)
		}
	}
	c.ExpectSilence(50 * time.Millisecond)
	if n := accepted.Load(); n != 3 {
		t.Errorf("%d connections for 3 requests, want one each", n)
	}
}
