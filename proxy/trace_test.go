//go:build unix

package proxy

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/internal/testkit"
	"github.com/holdfast-lb/holdfast/tracing"
)

const (
	remoteTrace = "4bf92f3577b34da6a3ce929d0e0e4736"
	traced      = "Traceparent: 00-" + remoteTrace + "-00f067aa0ba902b7-01\r\nTraceState: a=1\r\ntracestate: b=2\r\n"
)

// trace has r make spans, and returns what ends that and returns them all.
func (r *rig) trace(t testing.TB, sample float64) (spans func() []testkit.CollectedSpan) {
	t.Helper()
	c := testkit.StartCollector(t)
	tracer, err := tracing.New(config.Tracing{Endpoint: c.URL + "/v1/traces", Sample: sample, ServiceName: "test"},
		tracing.Options{Log: slog.New(slog.DiscardHandler), Count: func(tracing.Result, int) {}})
	if err != nil {
		t.Fatal(err)
	}
	r.proxy.SetTracer(tracer)
	end := sync.OnceFunc(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		tracer.Close(ctx)
	})
	t.Cleanup(end)
	return func() []testkit.CollectedSpan {
		end()
		return c.Spans()
	}
}

// keeper is a backend's handler that keeps the trace context of requests.
type keeper struct {
	mu   sync.Mutex
	seen []string
}

func (k *keeper) note(ctx *fasthttp.RequestCtx) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var fields []string
	for name, value := range ctx.Request.Header.All() {
		if n := strings.ToLower(string(name)); n == "traceparent" || n == "tracestate" {
			fields = append(fields, n+": "+string(value))
		}
	}
	k.seen = append(k.seen, strings.Join(fields, ", "))
}

func (k *keeper) last(t *testing.T) string {
	t.Helper()
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.seen) == 0 {
		t.Fatal("no backend was asked")
	}
	return k.seen[len(k.seen)-1]
}

func deadAddr(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// only returns the span of that kind and backend.
func onlySpan(t *testing.T, spans []testkit.CollectedSpan, backend any) testkit.CollectedSpan {
	t.Helper()
	var found []testkit.CollectedSpan
	for _, s := range spans {
		if s.Attributes["holdfast.backend"] == backend {
			found = append(found, s)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d spans of backend %v among %+v", len(found), backend, spans)
	}
	return found[0]
}

// Nobody traces: the client's context passes, byte by byte.
func TestTraceContextPasses(t *testing.T) {
	var k keeper
	r := start(t, configOf(testkit.StartBackend(t, k.note).Addr))
	r.exchange(t, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"+traced+"\r\n")
	if want := "traceparent: 00-" + remoteTrace + "-00f067aa0ba902b7-01, tracestate: a=1, tracestate: b=2"; k.last(t) != want {
		t.Errorf("the backend got %q, want %q", k.last(t), want)
	}
}

// A request that is tried twice: each backend gets the context of its attempt.
func TestRequestIsTraced(t *testing.T) {
	var k keeper
	b := testkit.StartBackend(t, k.note)
	cfg := configOf(deadAddr(t), b.Addr)
	r := start(t, cfg)
	spans := r.trace(t, 1)
	r.exchange(t, "GET /x?token=hush HTTP/1.1\r\nHost: game:80\r\nConnection: close\r\n"+traced+"\r\n")
	all := spans()
	whole, attempt := onlySpan(t, all, nil), onlySpan(t, all, b.Addr)
	if len(all) != 3 || whole.Name != "GET /" || whole.Attributes["url.path"] != "/x" || whole.Attributes["server.address"] != "game" ||
		whole.Attributes["http.response.status_code"] != 200 || whole.Attributes["holdfast.route"] != "all" || whole.Failed {
		t.Errorf("spans %+v", all)
	}
	if dead := onlySpan(t, all, cfg.Pools["pool"].Backends[0].URL[len("http://"):]); !dead.Failed || dead.Attributes["error.type"] != "connect_failed" || dead.Attributes["holdfast.code"] != "HF-2003" {
		t.Errorf("the first attempt is %+v", dead)
	}
	if attempt.Parent != whole.ID || attempt.Attributes["http.response.status_code"] != 200 || attempt.Attributes["http.request.resend_count"] != 1 {
		t.Errorf("the second attempt is %+v", attempt)
	}
	// The client is a stranger: its trace is linked, not gone on with.
	if want := fmt.Sprintf("traceparent: 00-%s-%s-01", whole.TraceID, attempt.ID); k.last(t) != want {
		t.Errorf("the backend got %q, want %q", k.last(t), want)
	}
	if len(whole.Links) != 1 || whole.TraceID == remoteTrace {
		t.Errorf("the stranger's context is a link: %+v", whole)
	}
	if text := fmt.Sprintf("%+v", all); strings.Contains(text, "hush") {
		t.Errorf("a query is in a span: %s", text)
	}
}

// A trusted proxy's trace goes on, and so does its state; a request that nobody
// can answer has a span too.
func TestTrustedTraceGoesOn(t *testing.T) {
	var k keeper
	cfg := configOf(testkit.StartBackend(t, k.note).Addr)
	cfg.Listeners[0].TrustedProxies = []string{"127.0.0.0/8"}
	r := start(t, cfg)
	spans := r.trace(t, 0)
	r.exchange(t, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"+traced+"\r\n")
	got := k.last(t)
	r.exchange(t, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") // nobody asks for it to be kept
	if fresh := k.last(t); !strings.HasSuffix(fresh, "-00") || strings.Contains(fresh, remoteTrace) {
		t.Errorf("without a context the backend got %q", fresh)
	}
	cfg.Routes[0].Path = "/elsewhere"
	r.swap(t, cfg)
	r.exchange(t, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"+traced+"\r\n")
	all := spans()
	if len(all) != 3 {
		t.Fatalf("spans %+v", all)
	}
	i := slices.IndexFunc(all, func(s testkit.CollectedSpan) bool { return s.Attributes["holdfast.backend"] != nil })
	if want := fmt.Sprintf("traceparent: 00-%s-%s-01, tracestate: a=1,b=2", remoteTrace, all[i].ID); got != want {
		t.Errorf("the backend got %q, want %q", got, want)
	}
	i = slices.IndexFunc(all, func(s testkit.CollectedSpan) bool { return s.Attributes["error.type"] == "no_route" })
	if i < 0 || all[i].Parent != "00f067aa0ba902b7" || all[i].Failed || all[i].Attributes["http.response.status_code"] != 404 {
		t.Errorf("the request without a route: %+v", all)
	}
}

// Handshakes: one that is tried twice and comes about, one that a backend
// refuses, one that is malformed.
func TestHandshakeIsTraced(t *testing.T) {
	var k keeper
	echo := testkit.Echo()
	b := testkit.StartBackend(t, func(ctx *fasthttp.RequestCtx) {
		k.note(ctx)
		if string(ctx.Path()) == "/no" {
			ctx.SetStatusCode(403)
			return
		}
		echo(ctx)
	})
	dead := deadAddr(t)
	r, _ := startSockets(t, configOf(dead, b.Addr), nil)
	spans := r.trace(t, 1)
	conn := testkit.Dial(t, r.addr, "/yes", http.Header{"Traceparent": {"00-" + remoteTrace + "-00f067aa0ba902b7-01"}})
	yes := k.last(t)
	if _, resp, err := testkit.TryDial(r.addr, "/no", nil); err == nil || resp == nil || resp.StatusCode != 403 {
		t.Errorf("refused: %v, %v", resp, err)
	}
	no := k.last(t)
	r.exchange(t, "GET /bad HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n\r\n")
	conn.Close()

	// The 403 is accounted for behind its delivery.
	testkit.Eventually(t, patience, func() bool { return r.active(t, b.Addr) == 0 }, "the leases are returned")
	all := spans()
	if len(all) != 7 {
		t.Errorf("%d spans, want 7: %+v", len(all), all)
	}
	of := func(path string) (whole testkit.CollectedSpan, attempts []testkit.CollectedSpan) {
		for _, s := range all {
			if s.Attributes["url.path"] == path {
				whole = s
			}
		}
		for _, s := range all {
			if s.Parent == whole.ID && whole.ID != "" {
				attempts = append(attempts, s)
			}
		}
		return whole, attempts
	}
	for path, want := range map[string]struct {
		status int
		sent   string
	}{"/yes": {101, yes}, "/no": {403, no}} {
		whole, attempts := of(path)
		if whole.Attributes["http.response.status_code"] != want.status || len(attempts) != 2 || whole.Failed {
			t.Errorf("%s: %+v, %+v", path, whole, attempts)
			continue
		}
		first, last := onlySpan(t, attempts, dead), onlySpan(t, attempts, b.Addr)
		if first.Attributes["error.type"] != "connect_failed" || last.Attributes["http.response.status_code"] != want.status || last.Attributes["http.request.resend_count"] != 1 {
			t.Errorf("%s: attempts %+v, %+v", path, first, last)
		}
		if sent := fmt.Sprintf("traceparent: 00-%s-%s-01", whole.TraceID, last.ID); want.sent != sent {
			t.Errorf("%s: the backend got %q, want %q", path, want.sent, sent)
		}
	}
	if whole, attempts := of("/bad"); whole.Attributes["error.type"] != "bad_websocket_version" || whole.Attributes["http.response.status_code"] != 426 || len(attempts) != 0 {
		t.Errorf("a malformed handshake: %+v", whole)
	}
}

// A handshake that waits says so, and its backend gets the attempt's context.
func TestWaitingHandshakeIsTraced(t *testing.T) {
	var k keeper
	echo := testkit.Echo()
	b := testkit.StartBackend(t, func(ctx *fasthttp.RequestCtx) { k.note(ctx); echo(ctx) })
	cfg := configOf(b.Addr)
	pool := cfg.Pools["pool"]
	pool.Backends[0].MaxConnections = 1
	pool.Queue = config.Queue{Size: 5, Timeout: patience}
	cfg.Pools["pool"] = pool
	r, _ := startSockets(t, cfg, nil)
	spans := r.trace(t, 1)
	first := testkit.Dial(t, r.addr, "/first", nil)
	came := make(chan error, 1)
	go func() {
		c, _, err := testkit.TryDial(r.addr, "/second", nil)
		if err == nil {
			c.Close()
		}
		came <- err
	}()
	testkit.Eventually(t, patience, func() bool { return r.proxy.queues["pool"].busy() }, "the second waits")
	first.Close()
	if err := <-came; err != nil {
		t.Fatal(err)
	}
	sent := k.last(t)
	r.expectIdle(t, b.Addr)
	all := spans()
	i := slices.IndexFunc(all, func(s testkit.CollectedSpan) bool { return s.Attributes["url.path"] == "/second" })
	if i < 0 || fmt.Sprint(all[i].Events) != "[waits for a backend]" {
		t.Fatalf("spans %+v", all)
	}
	j := slices.IndexFunc(all, func(s testkit.CollectedSpan) bool { return s.Parent == all[i].ID })
	if j < 0 || sent != fmt.Sprintf("traceparent: 00-%s-%s-01", all[i].TraceID, all[j].ID) {
		t.Errorf("the backend got %q; spans %+v", sent, all)
	}
}

// Rules of the route win.
func TestRulesOverTraceContext(t *testing.T) {
	var k keeper
	cfg := configOf(testkit.StartBackend(t, k.note).Addr)
	cfg.Routes[0].Headers.Request.Remove = []string{"traceparent"}
	r := start(t, cfg)
	r.trace(t, 1)
	r.exchange(t, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"+traced+"\r\n")
	if k.last(t) != "" {
		t.Errorf("the backend got %q", k.last(t))
	}
}

// What a span costs, beside BenchmarkHandler.
func BenchmarkTracedHandler(b *testing.B) {
	for _, sample := range []float64{0, 0.01, 1} {
		b.Run(fmt.Sprint(sample), func(b *testing.B) {
			r := start(b, configOf(testkit.StartBackend(b, nil).Addr))
			r.trace(b, sample)
			handle := r.proxy.Handler("web")
			ctx := requestOf(b, browser)
			b.ReportAllocs()
			for b.Loop() {
				handle(ctx)
			}
		})
	}
}
