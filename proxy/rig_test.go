package proxy

import (
	"io"
	"log/slog"
	"math"
	"net"
	"regexp"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/balancer"
	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/internal/explain"
	"github.com/holdfast-lb/holdfast/internal/testkit"
	"github.com/holdfast-lb/holdfast/metrics"
)

// patience ends whatever in these tests should have happened long before.
const patience = 10 * time.Second

// rig is a Proxy behind a fasthttp server.
type rig struct {
	proxy    *Proxy
	metrics  *metrics.Metrics
	registry *balancer.Registry
	addr     string
	there    atomic.Int32 // what its next clients' connections say of themselves
}

// What a client's connection says when it is asked to read only what is there.
const (
	cannotTell     = iota // that it cannot
	allIsThere            // waits all the same: as if whatever the client will send had come
	nothingIsThere        // that nothing is, but for what fasthttp has read
)

// configOf is a configuration of one route to one pool of these backends.
func configOf(backends ...string) *config.Config {
	pool := config.Pool{Balance: "first"}
	for _, b := range backends {
		pool.Backends = append(pool.Backends, config.Backend{URL: "http://" + b, Weight: 1})
	}
	return &config.Config{
		Listeners: []config.Listener{{Name: "web"}},
		Routes: []config.Route{{
			Name: "all", Path: "/", Pool: "pool", PreserveHost: true, Retries: 2,
			Timeouts: config.RouteTimeouts{Connect: patience, Response: patience, Body: patience},
		}},
		Pools: map[string]config.Pool{"pool": pool},
	}
}

// start runs a proxy with cfg until the test ends.
func start(t testing.TB, cfg *config.Config) *rig {
	t.Helper()
	return startImpatient(t, cfg, patience)
}

// startImpatient is start with a limit to how long a client may be silent.
func startImpatient(t testing.TB, cfg *config.Config, silence time.Duration) *rig {
	t.Helper()
	return startWith(t, cfg, silence, slog.DiscardHandler)
}

// startLogged is start with a log that can be read.
func startLogged(t testing.TB, cfg *config.Config) (*rig, *testkit.Log) {
	t.Helper()
	text := new(testkit.Log)
	return startWith(t, cfg, patience, slog.NewTextHandler(text, nil)), text
}

func startWith(t testing.TB, cfg *config.Config, silence time.Duration, log slog.Handler) *rig {
	t.Helper()
	m := metrics.New()
	reports := explain.NewReporter(slog.New(log), time.Hour)
	r := &rig{
		proxy:    New(Options{Metrics: m, Log: slog.New(log), Reports: reports}),
		metrics:  m,
		registry: balancer.NewRegistry(),
	}
	r.swap(t, cfg)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.addr = l.Addr().String()
	s := newServer(r.proxy.Handler("web"))
	served := make(chan error, 1)
	go func() { served <- s.Serve(listener{l, silence, &r.there}) }()
	t.Cleanup(func() {
		if err := s.Shutdown(); err != nil {
			t.Errorf("shut down: %v", err)
		}
		<-served
		r.proxy.Close()
		reports.Close()
	})
	return r
}

// newServer is a server as package listener sets it up.
func newServer(h fasthttp.RequestHandler) *fasthttp.Server {
	return &fasthttp.Server{
		Handler: h, ReadBufferSize: 16 << 10, MaxRequestBodySize: math.MaxInt, Concurrency: math.MaxInt32,
		StreamRequestBody: true, DisablePreParseMultipartForm: true,
		NoDefaultServerHeader: true, NoDefaultDate: true, NoDefaultContentType: true,
		SecureErrorLogMessage: true, LazyRequestTime: true, CloseOnShutdown: true,
		Logger: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
	}
}

// listener and clientConn do what package listener does for a proxy: they limit
// silences and know when a client has ended.
type listener struct {
	net.Listener
	silence time.Duration
	there   *atomic.Int32
}

func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &clientConn{Conn: c, silence: l.silence, there: l.there.Load()}, nil
}

type clientConn struct {
	net.Conn
	silence time.Duration
	there   int32
	hasty   bool
	ended   bool
	before  func() error // of the upload that reads; nil: none
	taken   atomic.Bool  // fasthttp has given the connection up
}

func (c *clientConn) ReadOnlyWhatIsThere(on bool) bool {
	c.hasty = on
	return c.there != cannotTell
}

func (c *clientConn) Read(p []byte) (int, error) {
	if c.hasty && c.there == nothingIsThere {
		return 0, nil
	}
	if c.before != nil {
		if err := c.before(); err != nil {
			return 0, err
		}
	}
	if !c.taken.Load() {
		_ = c.Conn.SetReadDeadline(time.Now().Add(c.silence))
	}
	n, err := c.Conn.Read(p)
	c.ended = c.ended || err == io.EOF
	return n, err
}

func (c *clientConn) BeginUpload(before func() error) { c.before = before }

func (c *clientConn) TookBody(int) {}

func (c *clientConn) EndUpload() { c.before = nil }

func (c *clientConn) ReadEnded() bool { return c.ended }

func (c *clientConn) SetDeadline(t time.Time) error {
	c.taken.Store(true)
	return c.Conn.SetDeadline(t)
}

// swap compiles and commits cfg.
func (r *rig) swap(t testing.TB, cfg *config.Config) {
	t.Helper()
	pools, rt := compile(t, r.registry, cfg)
	r.proxy.Swap(rt)
	r.registry.Commit(pools)
}

// compile makes a configuration's pools and Runtime, and commits neither.
func compile(t testing.TB, registry *balancer.Registry, cfg *config.Config) (*balancer.Pools, *Runtime) {
	t.Helper()
	pools, err := registry.Compile(cfg.Pools)
	if err != nil {
		t.Fatal(err)
	}
	rt, err := Compile(cfg, pools)
	if err != nil {
		t.Fatal(err)
	}
	return pools, rt
}

// active is how many leases of the backend at addr are out.
func (r *rig) active(t testing.TB, addr string) int {
	t.Helper()
	for _, b := range r.registry.Snapshot() {
		if b.Address == addr {
			return b.Active()
		}
	}
	t.Fatalf("no backend %s", addr)
	return 0
}

// expectIdle waits until no lease is out.
func (r *rig) expectIdle(t testing.TB, addr string) {
	t.Helper()
	testkit.Eventually(t, patience, func() bool { return r.active(t, addr) == 0 }, "all leases are returned")
}

// exchange sends a whole request on a new connection and returns everything
// that comes until the other side closes it, so the request should ask for
// that; but for a Date of now.
func (r *rig) exchange(t testing.TB, request string) string {
	t.Helper()
	return dateOfNow.ReplaceAllString(r.exchangeAll(t, request), "")
}

// dateOfNow is a Date as fasthttp writes it.
var dateOfNow = regexp.MustCompile(`(?m)^Date: \w{3}, \d\d \w{3} 20\d\d \d\d:\d\d:\d\d GMT\r\n`)

// exchangeAll is exchange with the Date.
func (r *rig) exchangeAll(t testing.TB, request string) string {
	t.Helper()
	c := testkit.DialTCP(t, r.addr)
	c.Send(request)
	return c.ReadAll(patience)
}
