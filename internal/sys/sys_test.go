//go:build linux && (amd64 || arm64)

package sys

import (
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

func listen(t *testing.T, network, address string) (net.Listener, netip.AddrPort) {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Skipf("listen on %s: %v", address, err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l, l.Addr().(*net.TCPAddr).AddrPort()
}

func TestDialTCPOnBothFamilies(t *testing.T) {
	f := func(network, address string) {
		t.Run(network, func(t *testing.T) {
			l, addr := listen(t, network, address)
			fd, err := DialTCP(addr)
			if err != nil {
				t.Fatal(err)
			}
			c, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if n, errno := Send(fd, []byte("hi")); n != 2 || errno != 0 {
				t.Fatalf("sent %d bytes, %v", n, errno)
			}
			b := make([]byte, 2)
			if _, err := io.ReadFull(c, b); err != nil || string(b) != "hi" {
				t.Fatalf("read %q, %v", b, err)
			}
			if n, errno := Recv(fd, b); n != 0 || errno != EAGAIN {
				t.Fatalf("received %d bytes, %v, want EAGAIN", n, errno)
			}
			ShutdownWrite(fd)
			if n, err := c.Read(b); n != 0 || err != io.EOF {
				t.Fatalf("read %d bytes, %v, want the end", n, err)
			}
			Close(fd)
		})
	}
	f("tcp4", "127.0.0.1:0")
	f("tcp6", "[::1]:0")
}

func TestCloseResetIsSeenAsReset(t *testing.T) {
	l, addr := listen(t, "tcp4", "127.0.0.1:0")
	fd, err := DialTCP(addr)
	if err != nil {
		t.Fatal(err)
	}
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	CloseReset(fd)
	if _, err := c.Read(make([]byte, 1)); err == nil || err == io.EOF {
		t.Fatalf("the peer sees %v, want a reset", err)
	}
}

func TestDupLivesOn(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	fd, err := Dup(int(w.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	dup := os.NewFile(uintptr(fd), "dup")
	if _, err := dup.WriteString("x"); err != nil {
		t.Fatal(err)
	}
	_ = dup.Close()
	if b, err := io.ReadAll(r); err != nil || string(b) != "x" {
		t.Fatalf("read %q, %v", b, err)
	}
	if _, err := Dup(-1); err == nil {
		t.Fatal("a descriptor that is none was duplicated")
	}
}

func TestPoller(t *testing.T) {
	p, err := NewPoller()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	events := make([]Event, 8)
	if n := p.Poll(events); n != 0 {
		t.Fatalf("%d events before anything happened", n)
	}
	// wait takes events; none: within d there are none.
	wait := func(d time.Duration) (n int) {
		p.Due(d)
		p.Wait(func(uintptr) bool {
			n = p.Poll(events)
			return n > 0
		})
		return n
	}
	began := time.Now()
	if n := wait(20 * time.Millisecond); n != 0 || time.Since(began) > 5*time.Second {
		t.Fatalf("%d events after %v", n, time.Since(began))
	}

	// A wake-up that comes before the wait is not lost.
	p.Wake()
	if n := wait(-1); n != 1 || events[0].Token() != WakeToken {
		t.Fatalf("%d events, token %x", n, events[0].Token())
	}
	p.Woken()

	// One that comes during it ends it.
	go p.Wake()
	if n := wait(time.Minute); n != 1 || events[0].Token() != WakeToken {
		t.Fatalf("%d events, token %x", n, events[0].Token())
	}
	p.Woken()

	l, addr := listen(t, "tcp4", "127.0.0.1:0")
	fd, err := DialTCP(addr)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Add(fd, 7, 42); err != nil {
		t.Fatal(err)
	}
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	until := func(bit uint32) {
		t.Helper()
		deadline := time.Now().Add(5 * time.Second)
		for time.Now().Before(deadline) {
			for _, e := range events[:wait(100*time.Millisecond)] {
				if e.Token() == 7 && e.Generation() == 42 && e.What()&bit != 0 {
					return
				}
			}
		}
		t.Fatalf("no event with bit %#x", bit)
	}
	until(Writable)
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	until(Readable)
	_ = c.Close()
	until(PeerShut)
	p.Remove(fd)
	Close(fd)
}

func TestHungUp(t *testing.T) {
	ln, addr := listen(t, "tcp", "127.0.0.1:0")
	var ends []net.Conn
	var fds []int
	for range 4 {
		fd, err := DialTCP(addr)
		if err != nil {
			t.Fatal(err)
		}
		defer Close(fd)
		c, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		ends, fds = append(ends, c), append(fds, fd)
	}
	_, _ = ends[0].Write([]byte("x"))
	ends[1].Close()
	_ = ends[2].(*net.TCPConn).SetLinger(0)
	ends[2].Close()
	testkit.Eventually(t, 10*time.Second, func() bool {
		var got []int
		HungUp(fds, func(i int) { got = append(got, i) })
		return slices.Equal(got, []int{1, 2})
	}, "exactly those that were closed have hung up")
}
