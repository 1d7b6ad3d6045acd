package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-lb/holdfast/bench/load"
	"github.com/holdfast-lb/holdfast/bench/report"
)

// getScenario is the one that wrk drives instead of bench/load.
const getScenario = "get"

// scenario is what is measured and how.
type scenario struct {
	report.Scenario
	plan load.Plan // get: only Sockets, Warmup and Duration count
}

// scenarios returns all scenarios in the order of the report; each is measured
// for d.
func scenarios(d time.Duration, threads int) []scenario {
	base := load.Default()
	base.Duration, base.Threads = d, threads
	base.Warmup = min(time.Second, d/2)
	list := []scenario{
		{report.Scenario{Name: "pingpong", About: "200 sockets, each with one message of 64 B under way.", Metric: report.Rate}, base},
		{report.Scenario{Name: "churn", About: "64 at a time: connect, handshake, one message of 64 B echoed, Close both ways, end of stream.", Metric: report.Rate}, base},
		{report.Scenario{Name: getScenario, About: "Small GETs over 100 kept-alive connections, by wrk.", Metric: report.Rate}, base},
		{report.Scenario{Name: "idle", About: "9,000 sockets, used once, then held: the balancer's own memory (RssAnon + RssShmem) for each.", Metric: report.Memory}, base},
		{report.Scenario{Name: "large-64k", About: "50 sockets, messages of 64 KiB.", Metric: report.Rate}, base},
		{report.Scenario{Name: "large-1m", About: "8 sockets, messages of 1 MiB.", Metric: report.Rate}, base},
		{report.Scenario{Name: "paced", About: "5,000 messages of 64 B a second over 500 sockets, latency from when each was due.", Metric: report.P99}, base},
	}
	for i := range list {
		p := &list[i].plan
		switch list[i].Name {
		case "churn":
			p.Scenario, p.Sockets = load.Churn, 64
		case getScenario:
			p.Sockets = 100
		case "idle":
			p.Scenario, p.Sockets, p.Grace = load.Idle, 9000, 30*time.Second
			p.Warmup, p.Duration = 0, 3*time.Second // settles; nothing is counted
		case "large-64k":
			p.Sockets, p.Size = 50, 64<<10
		case "large-1m":
			p.Sockets, p.Size = 8, 1<<20
		case "paced":
			p.Scenario, p.Sockets, p.Rate = load.Paced, 500, 5000
		}
	}
	return list
}

// choose returns the named ones of all, in the order of all; all for no names.
func choose(all []scenario, names []string) ([]scenario, error) {
	if len(names) == 0 {
		return all, nil
	}
	var chosen []scenario
	var known []string
	for _, s := range all {
		known = append(known, s.Name)
		if slices.Contains(names, s.Name) {
			chosen = append(chosen, s)
		}
	}
	for _, n := range names {
		if !slices.Contains(known, n) {
			return nil, fmt.Errorf("choose scenario %q: it is none of %s", n, strings.Join(known, ", "))
		}
	}
	return chosen, nil
}
