package metrics

import (
	"fmt"
	"testing"
	"time"
)

func TestRequestIsCountedByStatusClass(t *testing.T) {
	f := func(status int, class string) {
		t.Helper()
		m := New()
		m.Route("r").Request(status, time.Millisecond)
		if got := value(t, m, fmt.Sprintf(`holdfast_requests_total{code=%q,route="r"}`, class)); got != "1" {
			t.Errorf("status %d: class %s counts %q, want 1", status, class, got)
		}
	}

	f(100, "1xx")
	f(200, "2xx")
	f(308, "3xx")
	f(404, "4xx")
	f(499, "4xx")
	f(599, "5xx")
	f(0, "other")
	f(-1, "other")
	f(99, "other")
	f(600, "other")
}

func TestHandshakeResults(t *testing.T) {
	seen := make(map[string]bool)
	for r := range handshakeResults {
		name := r.String()
		if name == "" || name == "unknown" || seen[name] {
			t.Errorf("result %d is called %q, want a word of its own", r, name)
		}
		seen[name] = true

		m := New()
		m.Route("r").Handshake(r, time.Millisecond)
		if got := value(t, m, fmt.Sprintf(`holdfast_handshakes_total{result=%q,route="r"}`, name)); got != "1" {
			t.Errorf("%s counts %q, want 1", name, got)
		}
		want := "0"
		if r == HandshakeAccepted {
			want = "1"
		}
		if got := value(t, m, `holdfast_handshake_duration_seconds_count{route="r"}`); got != want {
			t.Errorf("%s: %s durations recorded, want %s", name, got, want)
		}
	}

	if got := handshakeResults.String(); got != "unknown" {
		t.Errorf("a result out of range is called %q, want unknown", got)
	}
	New().Route("r").Handshake(handshakeResults, 0) // counts nothing and does not panic
}

func TestRouteIsTheSameForTheSameName(t *testing.T) {
	m := New()
	if m.Route("a") != m.Route("a") {
		t.Error("two calls for one name gave two routes")
	}
	if m.Route("a") == m.Route("b") {
		t.Error("two names share one route")
	}
	if m.Listener("a") != m.Listener("a") {
		t.Error("two calls for one name gave two listeners")
	}
}

func TestHotPathDoesNotAllocate(t *testing.T) {
	m := New()
	r, l := m.Route("arena"), m.Listener("web")
	f := func(name string, op func()) {
		t.Helper()
		if n := testing.AllocsPerRun(100, op); n != 0 {
			t.Errorf("%s allocates %v times a call, want 0", name, n)
		}
	}

	f("Request", func() { r.Request(200, time.Millisecond) })
	f("Retry", r.Retry)
	f("Handshake", func() { r.Handshake(HandshakeAccepted, time.Millisecond) })
	f("SocketOpened", r.SocketOpened)
	f("SocketClosed", func() { r.SocketClosed(time.Minute) })
	f("Accepted", l.Accepted)
	f("Refused", func() { l.Refused(RefusedMaxConnections) })
}

func BenchmarkRequest(b *testing.B) {
	r := New().Route("arena")
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r.Request(200, 3*time.Millisecond)
		}
	})
}

func BenchmarkSocket(b *testing.B) {
	r := New().Route("arena")
	b.ReportAllocs()
	for b.Loop() {
		r.Handshake(HandshakeAccepted, time.Millisecond)
		r.SocketOpened()
		r.SocketClosed(time.Minute)
	}
}
