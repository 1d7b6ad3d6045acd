package main

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/bench/load"
	"github.com/holdfast-lb/holdfast/bench/report"
)

// Every criterion is about a scenario that exists, and every plan is valid.
func TestScenarios(t *testing.T) {
	var names []string
	for _, s := range slices.Concat(scenarios(2*time.Second, 1), sweeps(2*time.Second, 1)) {
		if slices.Contains(names, s.Name) {
			t.Errorf("two scenarios are called %s", s.Name)
		}
		names = append(names, s.Name)
		s.plan.Victim = netip.MustParseAddrPort("127.0.0.1:80")
		s.plan.Order = "http://127.0.0.1/"
		s.plan.Targets = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:80")}
		if err := s.plan.Validate(); err != nil {
			t.Errorf("%s: %v", s.Name, err)
		}
	}
	for _, c := range report.Criteria {
		if !slices.Contains(names, c.Scenario) {
			t.Errorf("criterion about scenario %q, which is none of %v", c.Scenario, names)
		}
	}
}

func TestChoose(t *testing.T) {
	all := scenarios(time.Second, 1)
	f := func(names []string, want int) {
		t.Helper()
		got, err := choose(all, names)
		if err != nil || len(got) != want {
			t.Errorf("choose %v: %d scenarios, %v; want %d", names, len(got), err, want)
		}
	}
	f(nil, len(all))
	f([]string{"idle", "pingpong"}, 2)
	if _, err := choose(all, []string{"pingpong", "pong"}); err == nil {
		t.Error("want an error for an unknown scenario")
	}
}

// The generator's process gets the plan that was made for it.
func TestLoadArgs(t *testing.T) {
	p := load.Default()
	p.Scenario, p.Sockets, p.Watch, p.TLS = load.Paced, 7, 42, load.TLSResume
	p.Targets = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:80"), netip.MustParseAddrPort("127.0.0.1:81")}
	c := loadCommand()
	if err := c.ParseFlags(loadArgs(p)); err != nil {
		t.Fatal(err)
	}
	if args := c.Flags().Args(); !slices.Equal(args, []string{"load", load.Paced}) {
		t.Errorf("arguments %v; want [load paced]", args)
	}
	f := func(flag, want string) {
		t.Helper()
		if got := c.Flags().Lookup(flag).Value.String(); got != want {
			t.Errorf("--%s is %s, want %s", flag, got, want)
		}
	}
	f("sockets", "7")
	f("watch", "42")
	f("tls", load.TLSResume)
	f("target", "[127.0.0.1:80,127.0.0.1:81]")
	f("duration", p.Duration.String())
}
