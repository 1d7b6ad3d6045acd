package metrics

import (
	"testing"
	"time"
)

func TestRetiredBackendKeepsOnlyItsCounts(t *testing.T) {
	m := New()
	m.SetBackends(func() []BackendSample {
		return []BackendSample{
			// arena-1 moved to another address while sockets live on at the old one.
			{Pool: "arena", Backend: "arena-1", Up: false, Mode: "drain", Weight: 9, Sockets: 5, Retired: true},
			{Pool: "arena", Backend: "arena-1", Up: true, Mode: "ready", Weight: 1, Sockets: 2},
			{Pool: "arena", Backend: "arena-2", Up: true, Mode: "ready", Weight: 1, Sockets: 4, Retired: true},
		}
	})

	f := func(sample, want string) {
		t.Helper()
		if got := value(t, m, sample); got != want {
			t.Errorf("%s = %q, want %q", sample, got, want)
		}
	}
	f(`holdfast_backend_active{backend="arena-1",kind="socket",pool="arena"}`, "7")
	f(`holdfast_backend_up{backend="arena-1",pool="arena"}`, "1")
	f(`holdfast_backend_weight{backend="arena-1",pool="arena"}`, "1")
	f(`holdfast_backend_mode{backend="arena-1",mode="ready",pool="arena"}`, "1")
	f(`holdfast_backend_mode{backend="arena-1",mode="drain",pool="arena"}`, "")
	f(`holdfast_backend_active{backend="arena-2",kind="socket",pool="arena"}`, "4")
	f(`holdfast_backend_up{backend="arena-2",pool="arena"}`, "")
	f(`holdfast_backend_last_change_timestamp_seconds{backend="arena-1",pool="arena"}`, "")
}

// What a backend does not say of itself has no series.
func TestReports(t *testing.T) {
	m := New()
	m.SetBackends(func() []BackendSample {
		return []BackendSample{
			{Pool: "p", Backend: "all", Mode: "ready", Report: &ReportSample{Load: 0.7, Capacity: 350}},
			{Pool: "p", Backend: "drain", Mode: "ready", Report: &ReportSample{Load: -1, Drain: true}},
			{Pool: "p", Backend: "none", Mode: "ready"},
		}
	})
	f := func(name, backend, want string) {
		t.Helper()
		if got := value(t, m, `holdfast_backend_reported_`+name+`{backend="`+backend+`",pool="p"}`); got != want {
			t.Errorf("%s of %s is %q, want %q", name, backend, got, want)
		}
	}
	f("load", "all", "0.7")
	f("capacity", "all", "350")
	f("drain", "all", "0")
	f("load", "drain", "")
	f("capacity", "drain", "")
	f("drain", "drain", "1")
	f("drain", "none", "")
}

// exportNamed has m export the backends of pool p that names holds at the scrape.
func exportNamed(m *Metrics, names *[]string) {
	m.SetBackends(func() []BackendSample {
		var samples []BackendSample
		for _, name := range *names {
			samples = append(samples, BackendSample{Pool: "p", Backend: name, Mode: "ready"})
		}
		return samples
	})
}

func TestProbesOfARemovedBackendAreForgotten(t *testing.T) {
	m := New()
	names := []string{"a", "b"}
	exportNamed(m, &names)
	m.Probe("p", "a", true, time.Millisecond)
	m.Probe("p", "b", true, time.Millisecond)

	const ofB = `holdfast_probes_total{backend="b",pool="p",result="success"}`
	if got := value(t, m, ofB); got != "1" {
		t.Fatalf("%s = %q, want 1", ofB, got)
	}
	names = names[:1]
	if got := value(t, m, ofB); got != "" {
		t.Errorf("%s = %q after its backend left, want no such series", ofB, got)
	}
	if got := value(t, m, `holdfast_probes_total{backend="a",pool="p",result="success"}`); got != "1" {
		t.Errorf("the probes of the backend that stayed are %q, want 1", got)
	}
	if n := len(m.backends.probes); n != 1 {
		t.Errorf("%d backends remembered, want 1", n)
	}
}

func TestNilSourcesTakeTheirSeriesAway(t *testing.T) {
	m := used()
	m.SetBackends(nil)
	m.SetRelay(nil)
	m.SetLogDropped(nil)
	m.Listener("web").SetOpen(nil)

	f := func(sample, want string) {
		t.Helper()
		if got := value(t, m, sample); got != want {
			t.Errorf("%s = %q, want %q", sample, got, want)
		}
	}
	f(`holdfast_backend_up{backend="arena-1",pool="arena"}`, "")
	f(`holdfast_relay_pairs_open`, "")
	f(`holdfast_access_log_dropped_total`, "0")
	f(`holdfast_listener_connections_open{listener="web"}`, "")
	f(`holdfast_listener_accepted_total{listener="web"}`, "1")
	f(`holdfast_probes_total{backend="arena-1",pool="arena",result="success"}`, "1")
}
