package listener

import (
	"context"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/internal/testkit"
)

func TestMain(m *testing.M) {
	// fasthttp's clock starts with the first answer and never ends: it must not
	// start within a synctest bubble, which waits for its goroutines.
	new(fasthttp.Response).Header.Header()
	testkit.Main(m)
}

// web is a listener's configuration with the defaults, on a port of the
// system's choice.
func web() config.Listener {
	return config.Listener{
		Name:     "web",
		Address:  "127.0.0.1:0",
		Limits:   config.Limits{MaxHeaderBytes: 16 << 10},
		Timeouts: config.ListenerTimeouts{Header: 10 * time.Second, Body: 30 * time.Second, Idle: 120 * time.Second},
	}
}

// options has h serve every listener.
func options(h fasthttp.RequestHandler) Options {
	return Options{Handler: func(string) fasthttp.RequestHandler { return h }}
}

// hello answers with the path.
func hello(ctx *fasthttp.RequestCtx) { ctx.WriteString("hello " + string(ctx.Path())) }

// change prepares and commits, and ends the test on error.
func change(t testing.TB, s *Set, ls ...config.Listener) {
	t.Helper()
	ch, err := s.Prepare(ls)
	if err != nil {
		t.Fatalf("prepare: %v", err)
	}
	ch.Commit()
}

// serve runs l until the test ends and returns its address.
func serve(t testing.TB, opts Options, l config.Listener) (*Set, string) {
	t.Helper()
	s := New(opts)
	t.Cleanup(func() { shutdown(t, s) })
	change(t, s, l)
	return s, s.Addr(l.Name).String()
}

func shutdown(t testing.TB, s *Set) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Errorf("shutdown: %v", err)
	}
}

// get sends a GET on a connection and checks that it is answered.
func get(t testing.TB, c *testkit.TCP, path string) {
	t.Helper()
	c.Send("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n")
	resp := c.ReadResponse(5 * time.Second)
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 || string(body) != "hello "+path {
		t.Fatalf("GET %s: status %d, body %q, error %v", path, resp.StatusCode, body, err)
	}
}

// meter records what a listener counts.
type meter struct {
	accepted, errors atomic.Int64
	refused          [6]atomic.Int64

	mu   sync.Mutex
	open func() int // guarded by mu
}

func (m *meter) Accepted()         { m.accepted.Add(1) }
func (m *meter) AcceptError()      { m.errors.Add(1) }
func (m *meter) Refused(r Refusal) { m.refused[r].Add(1) }
func (m *meter) SetOpen(f func() int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.open = f
}

// opened returns the gauge, -1 when there is none.
func (m *meter) opened() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.open == nil {
		return -1
	}
	return m.open()
}

// metered is options with a meter for each name.
func metered(h fasthttp.RequestHandler) (Options, func(name string) *meter) {
	var byName sync.Map
	of := func(name string) *meter {
		m, _ := byName.LoadOrStore(name, new(meter))
		return m.(*meter)
	}
	opts := options(h)
	opts.Meter = func(name string) Meter { return of(name) }
	return opts, of
}

// pipes is a net.Listener of in-memory connections, for tests in a synctest
// bubble.
type pipes struct {
	conns  chan net.Conn
	errs   chan error
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes {
	return &pipes{conns: make(chan net.Conn), errs: make(chan error), closed: make(chan struct{})}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case err := <-p.errs:
		return nil, err
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes", Net: "unix"} }

func (p *pipes) dial() net.Conn {
	here, there := net.Pipe()
	p.conns <- there
	return here
}

// servePipes runs l's settings on in-memory connections within a bubble. end
// stops it.
func servePipes(t testing.TB, opts Options, l config.Listener) (ln *pipes, sk *socket, end func()) {
	t.Helper()
	s := New(opts)
	st, err := s.compile(l)
	if err != nil {
		t.Fatal(err)
	}
	ln = newPipes()
	sk = newSocket(l.Address, ln, st, s.opts)
	sk.start()
	return ln, sk, func() {
		sk.stop()
		sk.serving.Wait()
	}
}

func addr(text string) netip.Addr { return netip.MustParseAddr(text) }
