package tracing

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

const (
	patience = 15 * time.Second

	remoteTrace = "4bf92f3577b34da6a3ce929d0e0e4736"
	remoteSpan  = "00f067aa0ba902b7"
)

// parent is a traceparent of a trace that somebody else has begun.
func parent(kept string) string { return "00-" + remoteTrace + "-" + remoteSpan + "-" + kept }

// rig is a Tracer with a log and counts.
type rig struct {
	*Tracer
	log testkit.Log

	mu     sync.Mutex
	counts [3]int
}

func (r *rig) count(result Result) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.counts[result]
}

func newRig(t testing.TB, endpoint string, sample float64) *rig {
	r := &rig{}
	tracer, err := New(config.Tracing{Endpoint: endpoint, Sample: sample, ServiceName: "game", Headers: map[string]config.Secret{"X-Api-Key": "hush"}}, Options{
		Log: slog.New(slog.NewTextHandler(&r.log, nil)), Version: "test", Run: "run",
		Count: func(result Result, n int) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.counts[result] += n
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	r.Tracer = tracer
	t.Cleanup(func() { r.end(0) })
	return r
}

// end closes the Tracer within that time.
func (r *rig) end(within time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	r.Close(ctx)
}

// A request and its attempts are one trace; the collector has what was said.
func TestSpans(t *testing.T) {
	c := testkit.StartCollector(t)
	r := newRig(t, c.URL+"/v1/traces", 1)
	s := r.Begin(Remote{}, time.Now())
	s.Describe(&Request{Method: "GET", Scheme: "https", Host: "game.example", Path: "/ws/7", Protocol: "1.1", Client: "10.0.0.1",
		ID: "id-1", Listener: "web", Route: "arena", RoutePath: "/ws/", UserAgent: strings.Repeat("x", 5000)})
	first := s.Attempt("arena", "a1", "10.0.0.11:9000", "GET", 0)
	first.End(0, "connect_failed", "HF-2003")
	second := s.Attempt("arena", "a2", "10.0.0.12:9000", "GET", 1)
	second.End(200, "", "")
	s.Event("noted")
	s.End(503, "no_backend", "HF-2001")
	r.end(patience)

	spans := c.Spans()
	if len(spans) != 3 || r.count(Recorded) != 3 || r.count(Exported) != 3 || r.count(Failed) != 0 {
		t.Fatalf("%d spans came, counts %v", len(spans), r.counts)
	}
	byBackend := map[any]testkit.CollectedSpan{}
	for _, sp := range spans {
		byBackend[sp.Attributes["holdfast.backend"]] = sp
	}
	whole, a1, a2 := byBackend[nil], byBackend["a1"], byBackend["a2"]
	if whole.Name != "GET /ws/" || whole.Kind != tracepb.Span_SPAN_KIND_SERVER || whole.Parent != "" || !whole.Failed || whole.Service != "game" || len(whole.Events) != 1 {
		t.Errorf("the request's span is %+v", whole)
	}
	for key, want := range map[string]any{
		"http.request.method": "GET", "url.path": "/ws/7", "url.scheme": "https", "server.address": "game.example", "network.protocol.version": "1.1",
		"client.address": "10.0.0.1", "holdfast.request_id": "id-1", "holdfast.listener": "web", "holdfast.route": "arena", "http.route": "/ws/",
		"http.response.status_code": 503, "error.type": "no_backend", "holdfast.code": "HF-2001", "user_agent.original": strings.Repeat("x", maxAttribute),
	} {
		if whole.Attributes[key] != want {
			t.Errorf("%s is %v, want %v", key, whole.Attributes[key], want)
		}
	}
	if a1.Parent != whole.ID || a1.TraceID != whole.TraceID || !a1.Failed || a1.Attributes["error.type"] != "connect_failed" || a1.Kind != tracepb.Span_SPAN_KIND_CLIENT {
		t.Errorf("the first attempt's span is %+v", a1)
	}
	if a2.Parent != whole.ID || a2.Failed || a2.Attributes["http.request.resend_count"] != 1 || a2.Attributes["server.port"] != 9000 || a2.Attributes["server.address"] != "10.0.0.12" {
		t.Errorf("the second attempt's span is %+v", a2)
	}
	if h := c.Headers()[0]; h.Get("X-Api-Key") != "hush" {
		t.Errorf("the collector got %v", h)
	}
}

// Who decides what is kept, and whose trace a request belongs to.
func TestWhoDecides(t *testing.T) {
	f := func(name string, sample float64, from Remote, sameTrace, kept bool) {
		t.Helper()
		r := newRig(t, "http://127.0.0.1:1/v1/traces", sample)
		s := r.Begin(from, time.Now())
		a := s.Attempt("p", "b", "127.0.0.1:1", "GET", 0)
		fields := string(a.AppendFields(nil))
		trace, flags := fields[len("traceparent: 00-"):][:32], fields[len("traceparent: 00-")+32+1+16+1:][:2]
		if got := trace == remoteTrace; got != sameTrace {
			t.Errorf("%s: the trace goes on: %v, want %v: %q", name, got, sameTrace, fields)
		}
		if got := flags == "01"; got != kept || s.Kept() != kept {
			t.Errorf("%s: kept: %v, want %v: %q", name, got, kept, fields)
		}
		if strings.Contains(fields, remoteSpan) {
			t.Errorf("%s: the backend's parent is not the attempt: %q", name, fields)
		}
		if got := strings.Contains(fields, "\r\ntracestate: vendor=1\r\n"); got != (sameTrace && from.State == "vendor=1") {
			t.Errorf("%s: the state passes: %v: %q", name, got, fields)
		}
	}
	const state = "vendor=1"
	f("nobody's, none kept", 0, Remote{}, false, false)
	f("nobody's, all kept", 1, Remote{}, false, true)
	f("trusted and kept", 0, Remote{parent("01"), state, true}, true, true)
	f("trusted and not kept", 1, Remote{parent("00"), state, true}, true, false)
	f("a stranger's, who wants it kept", 0, Remote{parent("01"), state, false}, false, false)
	f("a stranger's, who does not", 1, Remote{parent("00"), state, false}, false, true)
	f("trusted and malformed", 0, Remote{"00-" + remoteTrace + "-xyz-01", state, true}, false, false)
	f("trusted, its id zero", 0, Remote{"00-" + strings.Repeat("0", 32) + "-" + remoteSpan + "-01", "", true}, false, false)
	f("trusted, its state malformed", 0, Remote{parent("01"), "=,=\r\nX: y", true}, true, true)
}

// A stranger who sends the same id, however chosen, is not kept more often.
func TestStrangersCannotChoose(t *testing.T) {
	r := newRig(t, "http://127.0.0.1:1/v1/traces", 0.5)
	low := Remote{Parent: "00-" + "00000000000000010000000000000001" + "-" + remoteSpan + "-01"}
	kept := 0
	for range 400 {
		s := r.Begin(low, time.Now())
		if s.Kept() {
			kept++
		}
		s.End(200, "", "")
	}
	if kept < 100 || kept > 300 { // ten standard deviations
		t.Errorf("%d of 400 were kept, want about half", kept)
	}
}

// A link leads to the trace of a stranger.
func TestStrangersAreLinked(t *testing.T) {
	c := testkit.StartCollector(t)
	r := newRig(t, c.URL+"/v1/traces", 1)
	r.Begin(Remote{Parent: parent("01")}, time.Now()).End(200, "", "")
	r.end(patience)
	if spans := c.Spans(); len(spans) != 1 || fmt.Sprint(spans[0].Links) != "["+remoteSpan+"]" || spans[0].TraceID == remoteTrace {
		t.Errorf("spans %+v", spans)
	}
}

// Methods that clients invent make no names of spans, and an answer below 500
// is no failure.
func TestNamesAreBounded(t *testing.T) {
	c := testkit.StartCollector(t)
	r := newRig(t, c.URL+"/v1/traces", 1)
	s := r.Begin(Remote{}, time.Now())
	s.Describe(&Request{Method: "EVIL", Path: "/x"})
	s.End(404, "", "")
	r.end(patience)
	if sp := c.Spans()[0]; sp.Name != "_OTHER" || sp.Attributes["http.request.method_original"] != "EVIL" || sp.Failed {
		t.Errorf("span %+v", sp)
	}
}

// A collector that is dead or refuses makes nobody wait, is logged once, and
// the end of it too; a full queue drops.
func TestDeadCollectorHarmsNobody(t *testing.T) {
	dead := testkit.ServeTCP(t, func(c *net.TCPConn) { _, _ = io.Copy(io.Discard, c) })
	r := newRig(t, "http://"+dead+"/v1/traces", 1)
	began := time.Now()
	for range 3 * queueSize {
		r.Begin(Remote{}, began).End(200, "", "")
	}
	if r.count(Recorded) != 3*queueSize {
		t.Errorf("%d spans were recorded, want %d", r.count(Recorded), 3*queueSize)
	}
	r.end(10 * time.Millisecond)
	if n := r.count(Failed); n == 0 || n > 2*queueSize || r.count(Exported) != 0 {
		t.Errorf("counts %v", r.counts)
	}

	c := testkit.StartCollector(t)
	c.Answer(401)
	r = newRig(t, c.URL+"/v1/traces?key=hush", 1)
	flush := func() {
		r.Begin(Remote{}, time.Now()).End(200, "", "")
		if err := r.provider.ForceFlush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	flush()
	flush()
	c.Answer(0)
	flush()
	log := r.log.String()
	if strings.Count(log, "code=HF-8003") != 1 || !strings.Contains(log, `error="status 401"`) || !strings.Contains(log, "lost=2") || strings.Contains(log, "hush") {
		t.Errorf("the log reads\n%s", log)
	}
	if r.count(Failed) != 2 || r.count(Exported) != 1 || len(c.Headers()) != 3 {
		t.Errorf("counts %v after %d requests", r.counts, len(c.Headers()))
	}
}

// As nil a span is none.
func TestNoSpan(t *testing.T) {
	var s *Span
	if s.Kept() || s.Attempt("p", "b", "a:1", "GET", 0) != nil {
		t.Error("nil is a span")
	}
	s.Describe(nil)
	s.Event("x")
	s.End(200, "", "")
}

func BenchmarkRequest(b *testing.B) {
	for _, sample := range []float64{0, 1} {
		b.Run(fmt.Sprint("sample ", sample), func(b *testing.B) {
			r := newRig(b, "http://127.0.0.1:1/v1/traces", sample)
			var buf []byte
			now := time.Now()
			b.ReportAllocs()
			for b.Loop() {
				s := r.Begin(Remote{}, now)
				a := s.Attempt("p", "b", "127.0.0.1:1", "GET", 0)
				buf = a.AppendFields(buf[:0])
				a.End(200, "", "")
				s.Describe(&Request{Method: "GET", Path: "/x", Route: "all", RoutePath: "/"})
				s.End(200, "", "")
			}
		})
	}
}
