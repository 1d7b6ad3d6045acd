package proxy

import (
	"strings"
	"testing"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// TestCountsByRoute: every answered request is counted once, under its route.
func TestCountsByRoute(t *testing.T) {
	b := testkit.StartBackend(t, nil)
	cfg := configOf(testkit.FreeAddr(t), b.Addr)
	cfg.Routes[0].Path = "/in"
	r := start(t, cfg)
	in := strings.Replace(get, "/", "/in", 1)
	for _, request := range []string{in, in, get} {
		r.exchange(t, request)
	}
	families, err := r.metrics.Gatherer().Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			labels := f.GetName()
			for _, l := range m.GetLabel() {
				labels += " " + l.GetValue()
			}
			got[labels] = m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	f := func(labels string, want float64) {
		t.Helper()
		if got[labels] != want {
			t.Errorf("%s = %v, want %v", labels, got[labels], want)
		}
	}
	f("holdfast_requests_total 2xx all", 2)
	f("holdfast_requests_total 4xx all", 0)
	f("holdfast_requests_total 4xx -", 1)
	f("holdfast_request_duration_seconds all", 2)
	f("holdfast_retries_total all", 2) // the first backend refuses each time
}
