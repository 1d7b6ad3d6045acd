package metrics

import (
	"testing"
	"time"
)

// Histograms of sockets stand under their backend, and go with it.
func TestSocketsOfABackend(t *testing.T) {
	m := New()
	names := []string{"a", "b"}
	exportNamed(m, &names)
	f := func(sample, want string) {
		t.Helper()
		if got := value(t, m, sample); got != want {
			t.Errorf("%s = %q, want %q", sample, got, want)
		}
	}
	const opened, closed = `holdfast_backend_handshake_duration_seconds`, `holdfast_backend_socket_duration_seconds`
	for _, name := range names {
		m.SocketOpened("p", name, 2*time.Millisecond)
		m.SocketOpened("p", name, 2*time.Second)
		m.SocketClosed("p", name, time.Minute)
		m.RoundTrip("p", name, true, time.Millisecond)
	}
	f(opened+`_count{backend="a",pool="p"}`, "2")
	f(opened+`_bucket{backend="a",pool="p",le="0.0025"}`, "1")
	f(closed+`_count{backend="b",pool="p"}`, "1")
	f(closed+`_sum{backend="b",pool="p"}`, "60")

	names = names[:1]
	for _, of := range []string{opened, closed} {
		f(of+`_count{backend="b",pool="p"}`, "")
	}
	f(`holdfast_socket_round_trip_seconds_count{backend="b",pool="p",side="backend"}`, "")
	f(opened+`_count{backend="a",pool="p"}`, "2")
	m.SocketClosed("p", "b", time.Minute) // one that was left there
	f(closed+`_count{backend="b",pool="p"}`, "")
	names = []string{"a", "b"}
	m.SocketOpened("p", "b", time.Millisecond)
	f(opened+`_count{backend="b",pool="p"}`, "1")
}

func TestSocketsDoNotAllocate(t *testing.T) {
	m := New()
	if n := testing.AllocsPerRun(100, func() {
		m.SocketOpened("p", "a", time.Millisecond)
		m.SocketClosed("p", "a", time.Second)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkSocketOfABackend(b *testing.B) {
	m := New()
	for range 100 {
		m.SocketOpened("pool", "another", time.Second)
	}
	b.ReportAllocs()
	for b.Loop() {
		m.SocketOpened("pool", "backend", time.Millisecond)
	}
}
