package wss

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast-lb/holdfast/bench/backend"
	"github.com/holdfast-lb/holdfast/bench/internal/wire"
	"github.com/holdfast-lb/holdfast/bench/load"
	"github.com/holdfast-lb/holdfast/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// echoes answers a handshake and then lets package backend's Echo answer.
func echoes(w http.ResponseWriter, _ *http.Request) {
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer func() { _ = c.Close() }()
	if _, err := c.Write([]byte("HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: " + wire.Accept + "\r\n\r\n")); err != nil {
		return
	}
	var e backend.Echo
	for buf := make([]byte, backend.Headroom+4096); !e.Closed(); {
		n, err := c.Read(buf[backend.Headroom:])
		if err != nil {
			return
		}
		out, err := e.Feed(buf, n)
		if err != nil {
			return
		}
		if _, err := c.Write(out); err != nil {
			return
		}
	}
}

// serve starts a TLS server for as long as t and returns a short plan for it.
func serve(t *testing.T, c *tls.Config) load.Plan {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("usage is read from /proc")
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(echoes))
	c.Certificates = []tls.Certificate{testkit.SelfSigned()} // cheaper than the RSA one of httptest
	server.TLS, server.Config.ErrorLog = c, log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	p := load.Default()
	p.Targets = []netip.AddrPort{server.Listener.Addr().(*net.TCPAddr).AddrPort()}
	p.Sockets, p.TLS, p.Watch = 4, load.TLSFull, os.Getpid()
	p.Warmup, p.Duration, p.Grace = 50*time.Millisecond, 300*time.Millisecond, 20*time.Second
	return p
}

// patient runs p until the machine lets the generator measure, longer each time.
func patient(t *testing.T, p load.Plan) (r load.Result, err error) {
	t.Helper()
	for range 6 {
		r, err = Run(t.Context(), p)
		if !errors.Is(err, load.ErrBusy) && (err != nil || r.Ops+r.Errors > 0) {
			break
		}
		t.Logf("again: %v, %+v", err, r)
		p.Duration *= 2
	}
	return r, err
}

func TestRun(t *testing.T) {
	plan := serve(t, &tls.Config{})
	f := func(scenario, kind string, check func(load.Result) bool) {
		t.Helper()
		p := plan
		p.Scenario, p.TLS = scenario, kind
		r, err := patient(t, p)
		if err != nil {
			t.Fatalf("%s, %s: %v", scenario, kind, err)
		}
		if r.Errors != 0 || r.Ops == 0 || r.Rate == 0 || !check(r) {
			t.Errorf("%s, %s: unexpected result %+v", scenario, kind, r)
		}
	}
	measured := func(r load.Result) bool {
		return r.Latency.P50 > 0 && r.Latency.P50 <= r.Latency.P99 && r.MachineCPU > 0
	}
	f(load.PingPong, load.TLSFull, measured)
	f(load.Churn, load.TLSFull, measured)
	f(load.Churn, load.TLSResume, measured)
	f(load.Idle, load.TLSFull, func(r load.Result) bool { return r.Ops == 4 && r.Memory != nil })
}

// What would not compare is an error, not a figure.
func TestRunRefuses(t *testing.T) {
	f := func(c *tls.Config, change func(*load.Plan), want string) {
		t.Helper()
		p := serve(t, c)
		change(&p)
		r, err := patient(t, p)
		if err == nil && r.Errors > 0 {
			err = errors.New(r.FirstError)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got %v", want, err)
		}
	}
	f(&tls.Config{MaxVersion: tls.VersionTLS12}, func(*load.Plan) {}, "agreed on TLS 1.2")
	f(&tls.Config{SessionTicketsDisabled: true}, func(p *load.Plan) { p.Scenario, p.TLS = load.Churn, load.TLSResume }, "session resumed: false")
	f(&tls.Config{}, func(p *load.Plan) { p.Scenario = load.Paced }, "paced over TLS")
	f(&tls.Config{}, func(p *load.Plan) { p.TLS = "half" }, `tls "half"`)
	f(&tls.Config{}, func(p *load.Plan) { p.Targets[0] = netip.MustParseAddrPort("127.0.0.1:1") }, "refused")
}

func TestRunCancelled(t *testing.T) {
	p := serve(t, &tls.Config{})
	p.Duration = time.Minute
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, cancel)
	if _, err := Run(ctx, p); err == nil || !strings.Contains(err.Error(), "context canceled") {
		t.Errorf("want a cancelled run, got error %v", err)
	}
}
