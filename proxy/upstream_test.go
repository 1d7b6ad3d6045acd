package proxy

import (
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-lb/holdfast/internal/cause"
	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// piped is a connection to a backend, and the backend's end of it.
func piped(t *testing.T) (*backendConn, net.Conn) {
	t.Helper()
	near, far := net.Pipe()
	t.Cleanup(func() { near.Close(); far.Close() })
	return newBackendConn(near), far
}

// isClosed tells whether the backend sees its connection's end.
func isClosed(far net.Conn) bool {
	_ = far.SetReadDeadline(time.Now().Add(time.Millisecond))
	_, err := far.Read(make([]byte, 1))
	return err == io.EOF
}

func TestIdleConnectionsGrowOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := newUpstream(upstreamKey{scheme: "http", address: "127.0.0.1:1"}, nil)
		defer u.close()
		old, oldFar := piped(t)
		young, youngFar := piped(t)
		u.release(old, time.Now())
		time.Sleep(idleTime / 2)
		u.release(young, time.Now())

		// The one used last comes first.
		c, err := u.acquire(0, nil)
		if c != young || err != nil {
			t.Errorf("acquire = %p, %v, want the young one, %p", c, err, young)
		}
		u.release(young, time.Now())
		time.Sleep(idleTime/2 + time.Second)
		synctest.Wait()
		if !isClosed(oldFar) || isClosed(youngFar) {
			t.Errorf("closed: old %t, young %t, want only the old one", isClosed(oldFar), isClosed(youngFar))
		}
		time.Sleep(idleTime / 2)
		synctest.Wait()
		if !isClosed(youngFar) || u.sweep != nil {
			t.Errorf("young one closed %t, timer runs %t", isClosed(youngFar), u.sweep != nil)
		}
	})
}

func TestClosedUpstreamKeepsNothing(t *testing.T) {
	u := newUpstream(upstreamKey{scheme: "http", address: "127.0.0.1:1"}, nil)
	idle, idleFar := piped(t)
	busy, busyFar := piped(t)
	u.release(idle, time.Now())
	u.close()
	if !isClosed(idleFar) || isClosed(busyFar) {
		t.Errorf("closed: idle %t, busy %t", isClosed(idleFar), isClosed(busyFar))
	}
	u.release(busy, time.Now())
	if !isClosed(busyFar) {
		t.Error("a connection released afterwards is open")
	}
}

func TestAlive(t *testing.T) {
	f := func(name string, act func(*net.TCPConn), want bool) {
		t.Helper()
		dialed, acted := make(chan struct{}), make(chan struct{})
		addr := testkit.ServeTCP(t, func(c *net.TCPConn) {
			<-dialed
			act(c)
			close(acted)
			_, _ = io.Copy(io.Discard, c)
		})
		c, err := newUpstream(upstreamKey{scheme: "http", address: addr}, nil).dial(patience, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		close(dialed)
		<-acted
		testkit.Eventually(t, patience, func() bool { return c.alive() == want }, name)
		if want && !c.alive() {
			t.Errorf("%s: a look has ended the connection", name)
		}
	}
	f("an open connection is alive", func(*net.TCPConn) {}, true)
	f("an ended one is not", func(c *net.TCPConn) { _ = c.CloseWrite() }, false)
	f("a reset one is not", func(c *net.TCPConn) { _ = c.SetLinger(0); _ = c.Close() }, false)
	f("one that has bytes is not", says("HTTP/1.1 408 Request Timeout\r\n\r\n"), false)
}

// TestWriteThenRead holds the quick way of an exchange against the plain one.
func TestWriteThenRead(t *testing.T) {
	f := func(name string, plainly bool, size int) {
		t.Helper()
		addr := testkit.ServeTCP(t, func(c *net.TCPConn) {
			if _, err := io.CopyN(io.Discard, c, int64(size)); err == nil {
				says("answer")(c)
			}
		})
		c, err := newUpstream(upstreamKey{scheme: "http", address: addr}, nil).dial(patience, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if plainly {
			c.raw = nil
		}
		c.writeBeforeRead(make([]byte, size))
		p := make([]byte, 100)
		n, err := c.Read(p)
		if string(p[:n]) != "answer" || err != nil || c.out != int64(size) || c.in != 6 || c.ended {
			t.Errorf("%s: read %q, %v; out %d in %d", name, p[:n], err, c.out, c.in)
		}
		if n, err := c.Read(p); n != 0 || err != io.EOF || !c.ended {
			t.Errorf("%s: read %d, %v at the end", name, n, err)
		}
	}
	f("quick", false, 100)
	f("plain", true, 100)
	f("more than a socket buffer", false, 16<<20)
	f("plain, more than a socket buffer", true, 16<<20)
}

// An answer that had come before the request was written is read: it gives no
// event behind that.
func TestAnswerBeforeTheRequest(t *testing.T) {
	addr := testkit.ServeTCP(t, func(c *net.TCPConn) {
		_, _ = io.WriteString(c, "answer")
		_, _ = io.Copy(io.Discard, c)
	})
	c, err := newUpstream(upstreamKey{scheme: "http", address: addr}, nil).dial(patience, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	testkit.Eventually(t, patience, func() bool { return !c.alive() }, "the answer has come")
	if err := c.readWithin(time.Now(), patience); err != nil {
		t.Fatal(err)
	}
	c.writeBeforeRead([]byte("x"))
	p := make([]byte, 100)
	if n, err := c.Read(p); string(p[:n]) != "answer" || err != nil || c.out != 1 {
		t.Errorf("read %q, %v; out %d", p[:n], err, c.out)
	}
}

func TestWriteThenReadFails(t *testing.T) {
	addr := testkit.ServeTCP(t, silent)
	c, err := newUpstream(upstreamKey{scheme: "http", address: addr}, nil).dial(patience, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.readWithin(time.Now(), 20*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	c.writeBeforeRead([]byte("x"))
	if _, err := c.Read(make([]byte, 1)); !cause.Timeout(err) || c.out != 1 {
		t.Errorf("read: %v after %d bytes, want a timeout", err, c.out)
	}
	_ = c.CloseWrite()
	c.readBy = past
	if err := c.readWithin(time.Now(), patience); err != nil {
		t.Fatal(err)
	}
	c.writeBeforeRead([]byte("x"))
	if _, err := c.Read(make([]byte, 1)); err == nil || cause.Timeout(err) || c.out != 1 {
		t.Errorf("read: %v after %d bytes, want a broken pipe", err, c.out)
	}
}

// CloseWrite ends the sending direction of a TCP connection.
func (c *backendConn) CloseWrite() error { return c.Conn.(*net.TCPConn).CloseWrite() }

func TestCoarseDeadlines(t *testing.T) {
	now := time.Now()
	f := func(name string, set time.Time, d time.Duration, want time.Time, change bool) {
		t.Helper()
		if got, changed := coarse(set, now, d); !got.Equal(want) || changed != change {
			t.Errorf("%s: %v, %t, want %v, %t", name, got.Sub(now), changed, want.Sub(now), change)
		}
	}
	in := func(d time.Duration) time.Time { return now.Add(d * time.Second) }
	f("none wanted, none set", time.Time{}, 0, time.Time{}, false)
	f("none wanted, one set", in(1), 0, time.Time{}, true)
	f("first", time.Time{}, 8*time.Second, in(9), true)
	f("still late enough", in(8), 8*time.Second, in(8), false)
	f("just set", in(9), 8*time.Second, in(9), false)
	f("too early", now.Add(8*time.Second-1), 8*time.Second, in(9), true)
	f("too late", in(60), 8*time.Second, in(9), true)
	f("expired", in(-1), 8*time.Second, in(9), true)
	f("set by somebody else", past, 8*time.Second, in(9), true)
}

func TestAuthority(t *testing.T) {
	f := func(scheme, address, want string) {
		t.Helper()
		if got := string(upstreamKey{scheme: scheme, address: address}.authority()); got != want {
			t.Errorf("%s %s: %s, want %s", scheme, address, got, want)
		}
	}
	f("http", "a.example:80", "a.example")
	f("http", "a.example:443", "a.example:443")
	f("https", "a.example:443", "a.example")
	f("https", "[::1]:443", "[::1]")
	f("https", "[::1]:8080", "[::1]:8080")
}

func TestDialFailures(t *testing.T) {
	u := newUpstream(upstreamKey{scheme: "http", address: testkit.FreeAddr(t)}, nil)
	if _, err := u.acquire(patience, nil); err == nil || classOfDial(err) != refused {
		t.Errorf("%v, want a refusal", err)
	}
	if got := classOfDial(&net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}); got != connectTimeout {
		t.Errorf("timeout: %s", got)
	}
}
