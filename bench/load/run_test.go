//go:build linux

package load

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast-lb/holdfast/bench/backend"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// startBackend returns the addresses of a backend that lives as long as t.
func startBackend(t *testing.T) []netip.AddrPort {
	t.Helper()
	b, err := backend.Start(3, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("close backend: %v", err)
		}
	})
	var targets []netip.AddrPort
	for _, a := range b.Addresses() {
		targets = append(targets, netip.MustParseAddrPort(a))
	}
	return targets
}

func shortPlan(scenario string, targets []netip.AddrPort) Plan {
	p := Default()
	p.Scenario, p.Targets, p.Sockets = scenario, targets, 20
	p.Warmup, p.Duration, p.Grace = 50*time.Millisecond, 300*time.Millisecond, 5*time.Second
	return p
}

// patient runs p until the machine lets the generator measure.
func patient(t *testing.T, p Plan) (r Result, err error) {
	t.Helper()
	for range 5 {
		if r, err = Run(context.Background(), p); !errors.Is(err, ErrBusy) {
			break
		}
		t.Logf("%s: again: %v", p.Scenario, err)
	}
	return r, err
}

func TestRun(t *testing.T) {
	targets := startBackend(t)
	f := func(name string, change func(*Plan), check func(Result) bool) {
		t.Helper()
		scenario, _, _ := strings.Cut(name, " ")
		p := shortPlan(scenario, targets)
		if change != nil {
			change(&p)
		}
		r, err := patient(t, p)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if r.Errors != 0 || r.Ops == 0 || r.Rate == 0 {
			t.Errorf("%s: want operations without errors, got %+v", name, r)
		}
		if !check(r) {
			t.Errorf("%s: unexpected result %+v", name, r)
		}
	}
	quantiles := func(r Result) bool {
		l := r.Latency
		return l.P50 > 0 && l.P50 <= l.P99 && l.P99 <= l.P999 && l.P999 <= l.Max
	}
	f("pingpong", nil, quantiles)
	f("pingpong threads", func(p *Plan) { p.Threads = 2 }, quantiles)
	f("push", func(p *Plan) { p.Path = "/push" }, quantiles)
	f("storm", func(p *Plan) { p.Victim = targets[1] }, func(r Result) bool {
		return r.Ops == 7 && quantiles(r) // sockets 1, 4, 7 and so on of 20, which are there at once
	})
	f("pingpong large", func(p *Plan) { p.Size, p.Sockets = 1<<20, 3 }, quantiles)
	f("pingpong watched", func(p *Plan) { p.Watch = os.Getpid() }, func(r Result) bool { return r.BalancerCPU > 0 && r.MachineCPU > 0 })
	f("churn", nil, quantiles)
	f("idle", func(p *Plan) { p.Watch = os.Getpid() }, func(r Result) bool { return r.Ops == 20 && r.Memory != nil })
	// 1,000 messages a second for 0.3 s, each counted once.
	f("paced", func(p *Plan) { p.Rate = 1000 }, func(r Result) bool { return quantiles(r) && r.Ops >= 299 && r.Ops <= 301 })
}

// A balancer that is not there is an error, not a result of zeros.
func TestRunWithoutServer(t *testing.T) {
	f := func(scenario string) {
		t.Helper()
		p := shortPlan(scenario, []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:1")})
		p.Order = "http://127.0.0.1:1/"
		r, err := Run(context.Background(), p)
		if err == nil && r.Errors == 0 {
			t.Errorf("%s: want an error, got %+v", scenario, r)
		}
	}
	for _, s := range Scenarios {
		f(s)
	}
}

func TestRunCancelled(t *testing.T) {
	targets := startBackend(t)
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(100*time.Millisecond, cancel)
	p := shortPlan(PingPong, targets)
	p.Duration = time.Minute
	if _, err := Run(ctx, p); err == nil || !strings.Contains(err.Error(), "context canceled") {
		t.Errorf("want a cancelled run, got error %v", err)
	}
}
