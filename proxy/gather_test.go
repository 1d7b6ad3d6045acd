package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// TestEarlyAnswerToAWholeBody: a backend that answers before it has read a body
// ends neither connection when the body was sent as a whole.
func TestEarlyAnswerToAWholeBody(t *testing.T) {
	var conns, bytes atomic.Int64
	addr := testkit.ServeTCP(t, func(c *net.TCPConn) {
		conns.Add(1)
		r := bufio.NewReader(c)
		for readsHead(r) {
			says("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine")(c)
			n, _ := io.CopyN(io.Discard, r, gatherSize)
			bytes.Add(n)
		}
	})
	r := start(t, configOf(addr))
	r.there.Store(allIsThere)
	c := testkit.DialTCP(t, r.addr)
	const times = 3
	for range times {
		c.Send(fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", gatherSize) + strings.Repeat("x", gatherSize))
		resp := c.ReadResponse(patience)
		if body, err := io.ReadAll(resp.Body); resp.StatusCode != 200 || resp.Close || string(body) != "fine" {
			t.Fatalf("%d, close %v, %q, %v", resp.StatusCode, resp.Close, body, err)
		}
	}
	_ = c.CloseWrite()
	c.ExpectClosed(patience)
	r.expectIdle(t, addr)
	testkit.Eventually(t, patience, func() bool { return bytes.Load() == times*gatherSize }, "the backend reads all bodies")
	if n := conns.Load(); n != 1 {
		t.Errorf("%d connections to the backend, want 1", n)
	}
}

// readsHead reads a header, and is false at the connection's end.
func readsHead(r *bufio.Reader) bool {
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return false
		}
		if line == "\r\n" {
			return true
		}
	}
}

// TestLateAnswerToAWholeBody: the time for an answer goes on when the body was
// sent as a whole.
func TestLateAnswerToAWholeBody(t *testing.T) {
	addr := testkit.ServeTCP(t, func(c *net.TCPConn) { _, _ = io.Copy(io.Discard, struct{ io.Reader }{c}) })
	cfg := configOf(addr)
	cfg.Routes[0].Timeouts.Response = 50 * time.Millisecond
	r := start(t, cfg)
	r.there.Store(allIsThere)
	c := testkit.DialTCP(t, r.addr)
	c.Send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n" + strings.Repeat("x", 20000))
	expectRefusal(t, c.ReadUntil(")\n", patience), "504 Gateway Timeout", "answer_timeout")
	r.expectIdle(t, addr)
}

// TestGatheredGoesToAnother: what was gathered is not lost with an attempt that
// could send nothing.
func TestGatheredGoesToAnother(t *testing.T) {
	b := testkit.StartBackend(t, echoBody)
	r := start(t, configOf(b.Addr))
	r.there.Store(allIsThere)
	c := testkit.DialTCP(t, r.addr)
	body := strings.Repeat("0123456789abcdef", 2000)
	post := fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", len(body)) + body
	for range 2 {
		c.Send(post)
		if got, err := io.ReadAll(c.ReadResponse(patience).Body); err != nil || string(got) != body {
			t.Fatalf("got %d bytes, %v", len(got), err)
		}
		for _, u := range r.proxy.runtime.Load().upstreams {
			u.mu.Lock()
			for _, idle := range u.idle {
				idle.raw = &breaking{RawConn: idle.raw}
			}
			u.mu.Unlock()
		}
	}
	if n := b.Requests(); n != 2 {
		t.Errorf("the backend has seen %d requests, want 2", n)
	}
}

// breaking is a connection to a backend that breaks between the look at it and
// the first write.
type breaking struct {
	syscall.RawConn
	looked bool
}

func (b *breaking) Control(f func(fd uintptr)) error {
	if b.looked {
		return syscall.EPIPE
	}
	b.looked = true
	return b.RawConn.Control(f)
}

// TestWriteThere: as much is written as the other side's socket takes.
func TestWriteThere(t *testing.T) {
	read := make(chan struct{})
	got := make(chan int64, 1)
	addr := testkit.ServeTCP(t, func(c *net.TCPConn) {
		<-read
		n, _ := io.Copy(io.Discard, struct{ io.Reader }{c})
		got <- n
	})
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	c := newBackendConn(nc)
	large := make([]byte, 64<<20)
	n, err := c.writeThere(large)
	if err != nil || n == 0 || n == len(large) || c.out != int64(n) {
		t.Errorf("wrote %d of %d, %d counted, %v", n, len(large), c.out, err)
	}
	close(read)
	_ = c.Close()
	if read := <-got; read != int64(n) {
		t.Errorf("the other side read %d bytes, want %d", read, n)
	}
	if n, err := c.writeThere(large); n != 0 || err == nil {
		t.Errorf("wrote %d to a closed connection, %v", n, err)
	}
}
