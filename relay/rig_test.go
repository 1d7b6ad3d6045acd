package relay

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/sys"
	"github.com/holdfast-lb/holdfast/internal/testkit"
	"github.com/holdfast-lb/holdfast/internal/tlsconn"
)

// rig is a relay, and whether the ends of its pairs speak TLS.
type rig struct {
	*Relay
	tls [2]bool
}

// spliceAll has the loops of a relay splice every payload, however small.
var spliceAll = func(*Relay) { panic("no loops, so nothing is spliced") }

// engines runs a test on every engine that this system has, with TLS on none,
// either and both ends; on a loop that splices every payload; and on two that are
// helped.
func engines(t *testing.T, f func(t *testing.T, r rig)) {
	t.Helper()
	g := func(name string, portable, client, backend bool) {
		t.Run(name, func(t *testing.T) {
			r, err := New(Options{Loops: 2, Portable: portable})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			switch name {
			case "loop, spliced":
				spliceAll(r)
				helped(t, r)
			case "loop, wss client":
				helped(t, r)
			}
			f(t, rig{r, [2]bool{client, backend}})
		})
	}
	if sys.HasPoller {
		g("loop", false, false, false)
		g("loop, spliced", false, false, false)
		g("loop, wss client", false, true, false)
		g("loop, wss backend", false, false, true)
		g("loop, wss both", false, true, true)
	}
	g("portable", true, false, false)
	g("portable, wss both", true, true, true)
}

// loops is engines for what only the loop promises.
func loops(t *testing.T, f func(t *testing.T, r rig)) {
	t.Helper()
	if !sys.HasPoller {
		t.Skip("the portable engine does not promise this")
	}
	for _, name := range []string{"plain", "spliced", "wss both"} {
		t.Run(name, func(t *testing.T) {
			r, err := New(Options{Loops: 1})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if name == "spliced" {
				spliceAll(r)
				helped(t, r)
			}
			secure := name == "wss both"
			f(t, rig{r, [2]bool{secure, secure}})
		})
	}
}

// helped has a goroutine help the loops of r until stop is called or the test
// ends.
func helped(t *testing.T, r *Relay) (stop func()) {
	over := make(chan struct{})
	var helper sync.WaitGroup
	helper.Go(func() {
		for {
			select {
			case <-over:
				return
			case <-time.After(200 * time.Microsecond):
				r.Help()
			}
		}
	})
	stop = sync.OnceFunc(func() {
		close(over)
		helper.Wait()
	})
	t.Cleanup(stop)
	return stop
}

// peer is what a player or a game server holds.
type peer struct {
	net.Conn // *tls.Conn or tcp
	tcp      *net.TCPConn
	drips    *atomic.Bool // nil for backends
}

// drip is a connection that writes one byte at a time once it is told to.
type drip struct {
	net.Conn
	on atomic.Bool
}

func (d *drip) Write(b []byte) (int, error) {
	if !d.on.Load() {
		return d.Conn.Write(b)
	}
	for i := range b {
		if _, err := d.Conn.Write(b[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(b), nil
}

// CloseWrite ends the sending direction.
func (c *peer) CloseWrite() error {
	var err error
	if s, ok := c.Conn.(*tls.Conn); ok {
		err = s.CloseWrite()
	}
	return errors.Join(err, c.tcp.CloseWrite())
}

// reset ends the connection as a crash does.
func (c *peer) reset() {
	_ = c.tcp.SetLinger(0)
	_ = c.tcp.Close()
}

// place is a client's connection as a listener would hand it to the relay.
type place struct {
	fd  int
	tls *tlsconn.Conn
}

// tell writes to a client that the relay gave back.
func (p place) tell(s string) error {
	fd, err := sys.Dup(p.fd)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), "client")
	c, err := net.FileConn(f)
	_ = f.Close()
	if err != nil {
		return err
	}
	defer c.Close()
	var w io.Writer = c
	if p.tls != nil {
		p.tls.Attach(c)
		defer p.tls.Detach()
		w = p.tls
	}
	_, err = io.WriteString(w, s)
	return err
}

// client returns the two ends of a connection: what a player holds, and what a
// listener would hand to the relay.
func (r rig) client(t *testing.T) (*peer, place) {
	t.Helper()
	l := listen(t)
	accepted := make(chan net.Conn, 1)
	go func() {
		if c, err := l.Accept(); err == nil {
			accepted <- c
		}
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	a := within(t, "accept", accepted)
	defer a.Close()
	d := &drip{Conn: c}
	p, at := &peer{d, c.(*net.TCPConn), &d.on}, place{fd: descriptor(a)}
	_ = l.Close()
	if r.tls[Client] {
		at.tls = tlsconn.Server(a, serverTLS())
		s := tls.Client(d, clientTLS())
		p.Conn = s
		done := make(chan error, 1)
		go func() { done <- s.Handshake() }()
		if err := errors.Join(at.tls.Shake(time.Now().Add(10*time.Second)), within(t, "handshake", done)); err != nil {
			t.Fatal(err)
		}
		at.tls.Detach()
	}
	return p, at
}

func (r rig) call(at place, backend netip.AddrPort, o Owner) *Call {
	k := &Call{
		Client: at.fd, ClientTLS: at.tls, Backend: backend, Request: []byte(handshake),
		Connect: 5 * time.Second, Answer: 10 * time.Second, Owner: o,
	}
	if r.tls[Backend] {
		k.BackendTLS = clientTLS()
	}
	return k
}

// backend accepts one connection, reads the handshake and returns it with the
// connection.
func (r rig) backend(t *testing.T, l net.Listener) <-chan *peer {
	out := make(chan *peer, 1)
	go func() {
		p, err := r.accept(l)
		if err != nil {
			return
		}
		b := make([]byte, len(handshake))
		if _, err := io.ReadFull(p, b); err != nil || string(b) != handshake {
			t.Errorf("handshake %q, error %v", b, err)
		}
		out <- p
	}()
	return out
}

// accept accepts one connection of a backend, of which TLS is not agreed on yet.
func (r rig) accept(l net.Listener) (*peer, error) {
	c, err := l.Accept()
	if err != nil {
		return nil, err
	}
	p := &peer{Conn: c, tcp: c.(*net.TCPConn)}
	if r.tls[Backend] {
		p.Conn = tls.Server(c, serverTLS())
	}
	return p, nil
}

// joined is an open pair between two connections of the test.
type joined struct {
	client, backend *peer
	owner           *owner
}

func (r rig) join(t *testing.T, edit func(*Call)) joined {
	t.Helper()
	l := listen(t)
	b := r.backend(t, l)
	c, at := r.client(t)
	o := newOwner()
	k := r.call(at, addr(l), o)
	if edit != nil {
		edit(k)
	}
	if err := r.Open(k); err != nil {
		t.Fatal(err)
	}
	bc := within(t, "connection to the backend", b)
	t.Cleanup(func() { _ = bc.Close() })
	if _, err := bc.Write([]byte(switching)); err != nil {
		t.Fatal(err)
	}
	expect(t, c, switching)
	within(t, "Opened", o.opened)
	return joined{c, bc, o}
}

// serverTLS is what the servers of the tests use, made once.
var serverTLS = sync.OnceValue(func() *tls.Config {
	return &tls.Config{
		Certificates:                []tls.Certificate{testkit.SelfSigned("game")},
		DynamicRecordSizingDisabled: true,
	}
})

// clientTLS is what their clients use: it trusts that certificate alone.
var clientTLS = sync.OnceValue(func() *tls.Config {
	pool := x509.NewCertPool()
	cert, err := x509.ParseCertificate(serverTLS().Certificates[0].Certificate[0])
	if err != nil {
		panic(err)
	}
	pool.AddCert(cert)
	return &tls.Config{RootCAs: pool, ServerName: "game", DynamicRecordSizingDisabled: true}
})

// told waits until every pair of the portable engine knows of the farewell;
// those of a loop learn of it one after another, in the order of their opening.
func (r rig) told(t *testing.T) {
	t.Helper()
	e, ok := r.engines[0].(*portable)
	if !ok {
		return
	}
	testkit.Eventually(t, 10*time.Second, func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		for _, j := range e.joints {
			if j.bye.Load() == nil {
				return false
			}
		}
		return true
	}, "news of the farewell")
}
