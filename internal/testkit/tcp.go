package testkit

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"
)

// ioPatience ends reads and writes that name no time of their own.
const ioPatience = 10 * time.Second

// TCP is a connection whose methods end the test on anything unexpected. Reads
// go through R, so mix them freely; only one goroutine may read at a time, and
// one may write.
type TCP struct {
	*net.TCPConn
	R *bufio.Reader
	t testing.TB
}

// DialTCP connects to addr. The test's end closes it.
func DialTCP(t testing.TB, addr string) *TCP {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, ioPatience)
	if err != nil {
		t.Fatalf("dial %s: %v", addr, err)
	}
	t.Cleanup(func() { c.Close() })
	return WrapTCP(t, c.(*net.TCPConn))
}

// WrapTCP makes a TCP of a connection that belongs to somebody else, such as
// one of [ServeTCP] that was handed to the test's goroutine.
func WrapTCP(t testing.TB, c *net.TCPConn) *TCP {
	return &TCP{TCPConn: c, R: bufio.NewReader(c), t: t}
}

// ServeTCP listens on a free port, runs f on a goroutine for every connection
// and closes that when f returns. The test's end closes the listener and all
// connections and waits for every f. f must not call t.Fatal.
func ServeTCP(t testing.TB, f func(*net.TCPConn)) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("listen: %v", err)
	}
	var (
		mu      sync.Mutex
		stopped bool
		conns   = map[net.Conn]struct{}{}
		running sync.WaitGroup
	)
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			if stopped {
				c.Close()
			} else {
				conns[c] = struct{}{}
				running.Go(func() {
					f(c.(*net.TCPConn))
					mu.Lock()
					delete(conns, c)
					mu.Unlock()
					c.Close()
				})
			}
			mu.Unlock()
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		stopped = true
		for c := range conns {
			c.Close()
		}
		mu.Unlock()
		running.Wait()
	})
	return l.Addr().String()
}

// Send writes b in one call.
func (c *TCP) Send(b string) {
	c.t.Helper()
	_ = c.SetWriteDeadline(time.Now().Add(ioPatience))
	if _, err := c.Write([]byte(b)); err != nil {
		c.t.Fatalf("send %d bytes: %v", len(b), err)
	}
}

// SendSplit writes b in pieces of size bytes with pause between them. Nagle's
// algorithm is off, so with a pause the peer is likely to read piece by piece;
// nothing can promise it.
func (c *TCP) SendSplit(b []byte, size int, pause time.Duration) {
	c.t.Helper()
	for len(b) > 0 {
		n := min(size, len(b))
		c.Send(string(b[:n]))
		if b = b[n:]; len(b) > 0 && pause > 0 {
			time.Sleep(pause)
		}
	}
}

// ReadUntil reads up to and including delim and returns all of it.
func (c *TCP) ReadUntil(delim string, within time.Duration) string {
	c.t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(within))
	var got []byte
	for !bytes.HasSuffix(got, []byte(delim)) {
		b, err := c.R.ReadByte()
		if err != nil {
			c.t.Fatalf("read until %q: %v after %q", delim, err, got)
		}
		got = append(got, b)
	}
	return string(got)
}

// ReadN reads exactly n bytes.
func (c *TCP) ReadN(n int, within time.Duration) []byte {
	c.t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(within))
	p := make([]byte, n)
	if got, err := io.ReadFull(c.R, p); err != nil {
		c.t.Fatalf("read %d bytes: %v after %q", n, err, p[:got])
	}
	return p
}

// ReadAll reads until the peer closes and returns what came.
func (c *TCP) ReadAll(within time.Duration) string {
	c.t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(within))
	p, err := io.ReadAll(c.R)
	if err != nil {
		c.t.Fatalf("read to the end: %v after %q", err, p)
	}
	return string(p)
}

// ExpectEOF ends the test unless the peer closes cleanly without another byte.
func (c *TCP) ExpectEOF(within time.Duration) {
	c.t.Helper()
	if err := c.next(within); err != io.EOF {
		c.t.Fatalf("want EOF within %v, got %v", within, err)
	}
}

// ExpectReset ends the test unless the peer resets the connection without
// another byte.
func (c *TCP) ExpectReset(within time.Duration) {
	c.t.Helper()
	if err := c.next(within); !errors.Is(err, syscall.ECONNRESET) {
		c.t.Fatalf("want a reset within %v, got %v", within, err)
	}
}

// ExpectClosed accepts both: EOF and reset.
func (c *TCP) ExpectClosed(within time.Duration) {
	c.t.Helper()
	if err := c.next(within); err != io.EOF && !errors.Is(err, syscall.ECONNRESET) {
		c.t.Fatalf("want EOF or a reset within %v, got %v", within, err)
	}
}

// ExpectSilence ends the test if a byte or the end comes within d.
func (c *TCP) ExpectSilence(d time.Duration) {
	c.t.Helper()
	var timeout net.Error
	if err := c.next(d); !errors.As(err, &timeout) || !timeout.Timeout() {
		c.t.Fatalf("want silence for %v, got %v", d, err)
	}
}

// next returns the error of the next read, or one that says which byte came.
func (c *TCP) next(within time.Duration) error {
	_ = c.SetReadDeadline(time.Now().Add(within))
	if _, err := c.R.Peek(1); err != nil {
		return err
	}
	came, _ := c.R.Peek(min(c.R.Buffered(), 64))
	return fmt.Errorf("bytes that start with %q", came)
}

// Reset closes the connection with a TCP reset.
func (c *TCP) Reset() {
	_ = c.SetLinger(0)
	_ = c.Close()
}
