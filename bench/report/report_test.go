package report

import (
	"errors"
	"strings"
	"testing"

	"github.com/holdfast-lb/holdfast/bench/load"
)

// sample is a report of two rounds over three balancers, of which one failed.
func sample() *Report {
	r := &Report{
		Peers: []string{"holdfast", "haproxy", "nginx"}, Reference: "haproxy",
		Scenarios: []Scenario{{Name: "pingpong", Metric: Rate}, {Name: "idle", Metric: Memory}},
	}
	add := func(scenario, peer string, round int, rate, memory float64, failure string) {
		r.Runs = append(r.Runs, Run{
			Scenario: scenario, Peer: peer, Round: round, Failure: failure,
			Result: load.Result{Rate: rate, Memory: &load.Memory{PerSocket: memory}},
		})
	}
	add("pingpong", "holdfast", 1, 110, 0, "")
	add("pingpong", "haproxy", 1, 100, 0, "")
	add("pingpong", "nginx", 1, 120, 0, "")
	add("pingpong", "holdfast", 2, 60, 0, "")
	add("pingpong", "haproxy", 2, 50, 0, "")
	add("pingpong", "nginx", 2, 0, 0, "it ended\nby itself")
	add("idle", "holdfast", 1, 0, 3500, "")
	return r
}

func TestRows(t *testing.T) {
	r := sample()
	rows := r.Rows(r.Scenarios[0])
	f := func(i int, value, spread, ratio float64, problem string) {
		t.Helper()
		const near = 1e-9
		got := rows[i]
		if got.Value != value || got.Ratio-ratio > near || ratio-got.Ratio > near || got.Spread-spread > near || spread-got.Spread > near || got.Problem != problem {
			t.Errorf("row %d is %+v; want %v, %v, %v, %q", i, got, value, spread, ratio, problem)
		}
	}
	// The rounds' ratios are 1.1 and 1.2: the second round was slow for both.
	f(0, 85, 50.0/85, 1.15, "")
	f(1, 75, 50.0/75, 1, "")
	f(2, 0, 0, 0, "failed: it ended\nby itself")
}

func TestVerdicts(t *testing.T) {
	r := sample()
	var got []string
	for _, v := range r.Verdicts("holdfast") {
		mark := "no "
		if v.Met {
			mark = "yes "
		}
		got = append(got, mark+v.Text)
	}
	want := "yes pingpong: 1.06 of the best peer, at least 1.00; " +
		"no pingpong: the machine's CPU time was not measured without a balancer in this run; " +
		"no idle: 3500 B/socket, at most 3000; no idle: not measured against haproxy in this run"
	if s := strings.Join(got, "; "); s != want {
		t.Errorf("got %q, want %q", s, want)
	}
	if v := r.Verdicts("caddy"); len(v) != 0 {
		t.Errorf("verdicts about a balancer that did not run: %v", v)
	}
}

func TestWriteMarkdown(t *testing.T) {
	var b strings.Builder
	if err := sample().WriteMarkdown(&b, "holdfast"); err != nil {
		t.Fatal(err)
	}
	f := func(want string) {
		t.Helper()
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in:\n%s", want, b.String())
		}
	}
	f("| holdfast |        85.0 |")
	f("| nginx    |      failed |")
	f("> nginx failed: it ended\n> by itself")
	f("- met: pingpong: 1.06 of the best peer")
	f("- **missed**: idle: 3500 B/socket")
	f("- open: idle: not measured against haproxy")
	if strings.Contains(b.String(), "Rounds:") {
		t.Errorf("an older file does not say how many rounds it has:\n%s", b.String())
	}
	newer := sample()
	newer.Rounds, newer.Seconds = 3, 2.5
	b.Reset()
	if err := newer.WriteMarkdown(&b, "holdfast"); err != nil {
		t.Fatal(err)
	}
	f("Rounds: 3, of 2.5s each.\n")
	if err := sample().WriteMarkdown(broken{}, ""); err == nil {
		t.Error("want the writer's error")
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestMedian(t *testing.T) {
	f := func(want float64, values ...float64) {
		t.Helper()
		if got := Median(values); got != want {
			t.Errorf("median of %v is %v, want %v", values, got, want)
		}
	}
	f(0)
	f(3, 3)
	f(2, 3, 1, 2)
	f(2.5, 4, 1, 3, 2)
}

// A sweep whose runs have read memory shows it for each entry.
func TestCurveWithMemory(t *testing.T) {
	r := &Report{Peers: []string{"holdfast", "none"}, Scenarios: []Scenario{{Name: "sticky-9", Metric: Rate, Sweep: "sticky", X: 9}}}
	for _, m := range []*load.Memory{{PerSocket: 17}, nil} {
		peer := r.Peers[len(r.Runs)]
		r.Runs = append(r.Runs, Run{Scenario: "sticky-9", Peer: peer, Round: 1, Result: load.Result{Rate: 500, Memory: m}})
	}
	var b strings.Builder
	if err := r.WriteMarkdown(&b, ""); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| sticky | holdfast op/s | none op/s | holdfast B/entry |",
		"| 9      |           500 |       500 |             17.0 |",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in:\n%s", want, b.String())
		}
	}
}
