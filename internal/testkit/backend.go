package testkit

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// Backend is an HTTP server for one test. Its zero value answers every request
// with 200 and "ok". It may be started again after Stop or Kill, on the address
// that it had, as a server that comes back does. Its methods may be called from
// any goroutine, but Start, Stop and Kill not at the same time.
type Backend struct {
	// Addr is host:port to listen on. Start fills it in when it is empty.
	Addr string
	// Configure, if set, changes the server before it starts.
	Configure func(*fasthttp.Server)
	// TLS, if set, makes the server speak TLS.
	TLS *tls.Config

	handler  atomic.Pointer[fasthttp.RequestHandler]
	requests atomic.Int64
	accepted atomic.Int64
	run      atomic.Pointer[backendRun] // nil while stopped
}

// backendRun is what lives from a Start to its Stop.
type backendRun struct {
	server  *fasthttp.Server
	serving chan struct{} // closed when Serve has returned
	stopped chan struct{} // closed when Stop begins
	reset   atomic.Bool   // from now on connections end with a reset

	mu    sync.Mutex
	conns map[*backendConn]struct{}
	open  sync.WaitGroup // one for each of conns
}

// backendConn tells its run when the server is done with it, also if a handler
// took it over.
type backendConn struct {
	*net.TCPConn
	run  *backendRun
	once sync.Once
}

type backendListener struct {
	net.Listener
	b   *Backend
	run *backendRun
}

// StartBackend starts a Backend that serves h, or 200 "ok" if h is nil.
func StartBackend(t testing.TB, h fasthttp.RequestHandler) *Backend {
	t.Helper()
	b := &Backend{}
	if h != nil {
		b.SetHandler(h)
	}
	b.Start(t)
	return b
}

// Start listens on Addr, or on a free port of 127.0.0.1 if that is empty, and
// returns the address. The test's end stops it.
func (b *Backend) Start(t testing.TB) string {
	t.Helper()
	if b.run.Load() != nil {
		t.Fatalf("start backend %s: already started", b.Addr)
	}
	addr := b.Addr
	if addr == "" {
		addr = FreeAddr(t) // which nobody else gets while the server is stopped
	}
	var l net.Listener
	var err error
	Eventually(t, ioPatience, func() bool {
		// What was forked while it listened before may have its listener for a
		// moment more: see isFree.
		l, err = net.Listen("tcp", addr)
		return !errors.Is(err, syscall.EADDRINUSE)
	}, "start backend: "+addr+" is free")
	if err != nil {
		t.Fatalf("start backend: %v", err)
	}
	b.Addr = l.Addr().String()

	run := &backendRun{
		serving: make(chan struct{}),
		stopped: make(chan struct{}),
		conns:   make(map[*backendConn]struct{}),
	}
	run.server = &fasthttp.Server{
		Handler:               func(ctx *fasthttp.RequestCtx) { b.serve(ctx, run) },
		StreamRequestBody:     true,
		CloseOnShutdown:       true,
		MaxIdleWorkerDuration: 100 * time.Millisecond,
		Logger:                log.New(io.Discard, "", 0),
	}
	if b.Configure != nil {
		b.Configure(run.server)
	}
	b.run.Store(run)
	go func() {
		defer close(run.serving)
		var from net.Listener = &backendListener{Listener: l, b: b, run: run}
		if b.TLS != nil {
			from = tls.NewListener(from, b.TLS)
		}
		_ = run.server.Serve(from)
	}()
	t.Cleanup(func() {
		if b.run.Load() == run {
			b.Stop(t)
		}
	})
	return b.Addr
}

// Stop closes the listener and every connection, upgraded ones too, and returns
// when all handlers have returned. A stopped Backend stays stopped.
func (b *Backend) Stop(t testing.TB) {
	t.Helper()
	b.stop(t, false)
}

// Kill is Stop with a TCP reset on every connection, as when the machine's
// kernel throws away a process that had not read everything.
func (b *Backend) Kill(t testing.TB) {
	t.Helper()
	b.stop(t, true)
}

func (b *Backend) stop(t testing.TB, reset bool) {
	t.Helper()
	run := b.run.Swap(nil)
	if run == nil {
		return
	}
	// First, because handlers that wait for the end close their connection.
	run.reset.Store(reset)
	close(run.stopped)
	// With an ended context this closes the listener and the handlers' Done
	// channel and waits for nothing.
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	_ = run.server.ShutdownWithContext(ended)
	<-run.serving
	run.closeAll(reset)

	gone := make(chan struct{})
	go func() {
		run.open.Wait()
		close(gone)
	}()
	select {
	case <-gone:
	case <-time.After(leakPatience):
		t.Errorf("stop backend %s: handlers still run after %v", b.Addr, leakPatience)
	}
}

// DropConns closes every open connection, or resets them, and goes on serving.
func (b *Backend) DropConns(reset bool) {
	if run := b.run.Load(); run != nil {
		run.closeAll(reset)
	}
}

// SetHandler changes what later requests get.
func (b *Backend) SetHandler(h fasthttp.RequestHandler) { b.handler.Store(&h) }

// Requests counts the requests seen since the Backend was made, handshakes
// included.
func (b *Backend) Requests() int64 { return b.requests.Load() }

// Accepted counts the connections accepted since the Backend was made.
func (b *Backend) Accepted() int64 { return b.accepted.Load() }

// Conns is the number of connections open now, upgraded ones included.
func (b *Backend) Conns() int {
	run := b.run.Load()
	if run == nil {
		return 0
	}
	run.mu.Lock()
	defer run.mu.Unlock()
	return len(run.conns)
}

// stoppedKey is the request's user value that holds backendRun.stopped.
const stoppedKey = "testkit-stopped"

func (b *Backend) serve(ctx *fasthttp.RequestCtx, run *backendRun) {
	b.requests.Add(1)
	ctx.SetUserValue(stoppedKey, run.stopped)
	if h := b.handler.Load(); h != nil {
		(*h)(ctx)
		return
	}
	ctx.SetBodyString("ok")
}

func (l *backendListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.b.accepted.Add(1)
	tracked := &backendConn{TCPConn: c.(*net.TCPConn), run: l.run}
	l.run.mu.Lock()
	l.run.conns[tracked] = struct{}{}
	l.run.open.Add(1)
	l.run.mu.Unlock()
	return tracked, nil
}

func (c *backendConn) Close() error {
	if c.run.reset.Load() {
		_ = c.SetLinger(0)
	}
	err := c.TCPConn.Close()
	c.once.Do(func() {
		c.run.mu.Lock()
		delete(c.run.conns, c)
		c.run.mu.Unlock()
		c.run.open.Done()
	})
	return err
}

// closeAll closes the sockets only: the server finds out and calls Close, which
// is how stop knows that the server let go of them.
func (run *backendRun) closeAll(reset bool) {
	run.mu.Lock()
	defer run.mu.Unlock()
	for c := range run.conns {
		if reset {
			_ = c.TCPConn.SetLinger(0)
		}
		_ = c.TCPConn.Close()
	}
}
