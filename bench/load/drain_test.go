//go:build linux

package load

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/bench/backend"
	"github.com/holdfast-lb/holdfast/bench/internal/wire"
)

// arena is a balancer and its two backends in one: sockets are on number 0 or
// 1 in turn, until 0 is emptied.
type arena struct {
	listener net.Listener
	farewell []byte // to those on 0; nil: they are cut
	work     sync.WaitGroup

	mu    sync.Mutex
	empty bool       // guarded by mu
	next  int        // guarded by mu
	conns []net.Conn // guarded by mu: all
	zero  []net.Conn // guarded by mu: those on 0
}

// startArena returns an arena that lives as long as t.
func startArena(t *testing.T, farewell []byte) *arena {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a := &arena{listener: l, farewell: farewell}
	a.work.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			a.work.Go(func() { a.serve(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		a.mu.Lock()
		for _, c := range a.conns {
			_ = c.Close()
		}
		a.mu.Unlock()
		a.work.Wait()
	})
	return a
}

// admit deals a socket out and returns its number.
func (a *arena) admit(c net.Conn) byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.conns = append(a.conns, c)
	a.next++
	if a.empty || a.next%2 == 0 {
		return 1
	}
	a.zero = append(a.zero, c)
	return 0
}

// ServeHTTP is the order to empty number 0.
func (a *arena) ServeHTTP(http.ResponseWriter, *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.empty = true
	for _, c := range a.zero {
		if a.farewell == nil {
			_ = c.Close()
		} else {
			_, _ = c.Write(a.farewell)
		}
	}
}

func (a *arena) serve(c net.Conn) {
	defer func() { _ = c.Close() }()
	in := bufio.NewReader(c)
	if _, err := http.ReadRequest(in); err != nil {
		return
	}
	hello := []byte{wire.FinText, 1, '0' + a.admit(c)}
	if _, err := io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: "+wire.Accept+"\r\n\r\n"+string(hello)); err != nil {
		return
	}
	var e backend.Echo
	buf := make([]byte, backend.Headroom+4096)
	for !e.Closed() {
		n, err := in.Read(buf[backend.Headroom:])
		if err != nil {
			return
		}
		out, err := e.Feed(buf, n)
		if err != nil || e.Closed() {
			return
		}
		if _, err := c.Write(out); err != nil {
			return
		}
	}
}

// drainOnce drains a new arena.
func drainOnce(t *testing.T, farewell []byte, obeys bool) (Result, error) {
	t.Helper()
	a := startArena(t, farewell)
	order := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if obeys {
			a.ServeHTTP(w, r)
		}
	}))
	defer order.Close()
	p := shortPlan(Draining, []netip.AddrPort{netip.MustParseAddrPort(a.listener.Addr().String())})
	p.Rate, p.Order, p.Path = 1000, order.URL, "/hello"
	return Run(context.Background(), p)
}

// What clients see of a drain is told apart: a Close with its status, none,
// and a socket that stays.
func TestDrain(t *testing.T) {
	f := func(name string, farewell []byte, obeys bool, want Drain) {
		t.Helper()
		var r Result
		var err error
		for range 5 { // each time with an arena of its own
			if r, err = drainOnce(t, farewell, obeys); !errors.Is(err, ErrBusy) {
				break
			}
			t.Logf("%s: again: %v", name, err)
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if r.Errors > 0 || r.Ops == 0 || r.Drain == nil {
			t.Fatalf("%s: want a drain without errors, got %+v", name, r)
		}
		got := *r.Drain
		if obeys != (got.Emptied > 0) {
			t.Errorf("%s: empty after %v s", name, got.Emptied)
		}
		got.Emptied, got.Unanswered, got.Missed = 0, 0, 0 // as luck has it
		if got != want {
			t.Errorf("%s: got %+v, want %+v", name, got, want)
		}
	}
	f("Close 1012", []byte{wire.FinClose, 2, 0x03, 0xF4}, true, Drain{Sockets: 10, Told: 10, Code: 1012})
	f("Close twice", []byte{wire.FinClose, 0, wire.FinClose, 0}, true, Drain{Sockets: 10, Told: 10, Code: 1005})
	f("cut", nil, true, Drain{Sockets: 10, Cut: 10})
	f("deaf", nil, false, Drain{Sockets: 10, Left: 10})
}

func TestDrainWithoutOrder(t *testing.T) {
	a := startArena(t, nil)
	p := shortPlan(Draining, []netip.AddrPort{netip.MustParseAddrPort(a.listener.Addr().String())})
	p.Order, p.Path, p.Duration = "http://127.0.0.1:1/", "/hello", time.Minute
	if _, err := Run(context.Background(), p); err == nil {
		t.Error("nobody was there to take the order, and the run went on")
	}
}
