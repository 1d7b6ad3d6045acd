package report

import (
	"fmt"
	"strings"

	"github.com/holdfast-lb/holdfast/bench/load"
)

// drains writes the table of a drain: medians over the rounds, and below it how
// each balancer was told.
func (r *Report) drains(b *strings.Builder, s Scenario) {
	lines := [][]string{{"balancer", "its sockets", "told by Close", "cut", "left on it", "empty after s",
		"others told", "others cut", "messages unanswered", "p99 of others µs", "old processes linger s"}}
	var notes []string
	for _, peer := range r.Peers {
		runs := r.runs(s.Name, peer)
		if len(runs) == 0 {
			continue
		}
		if why := problem(runs); why != "" {
			word, _, _ := strings.Cut(why, ":")
			lines = append(lines, []string{peer, word, "", "", "", "", "", "", "", "", ""})
			notes = append(notes, peer+" "+why)
			continue
		}
		lines = append(lines, drainCells(peer, runs))
		notes = append(notes, fmt.Sprintf("%s: %s", peer, runs[0].Means))
	}
	align(b, lines)
	for _, n := range notes {
		fmt.Fprintf(b, "\n> %s\n", strings.ReplaceAll(n, "\n", "\n> "))
	}
}

func drainCells(peer string, runs []Run) []string {
	of := func(value func(load.Drain) float64) float64 {
		return Median(collect(runs, func(l load.Result) float64 {
			if l.Drain == nil {
				return 0
			}
			return value(*l.Drain)
		}))
	}
	count := func(value func(load.Drain) int) string {
		return fmt.Sprintf("%.0f", of(func(d load.Drain) float64 { return float64(value(d)) }))
	}
	told := count(func(d load.Drain) int { return d.Told })
	if code := of(func(d load.Drain) float64 { return float64(d.Code) }); code > 0 {
		told += fmt.Sprintf(" (%.0f)", code)
	}
	empty := "never"
	if s := of(func(d load.Drain) float64 { return d.Emptied }); s > 0 {
		empty = fmt.Sprintf("%.1f", s)
	}
	if !runs[0].Ends {
		told, empty = "not offered", "not offered"
	}
	linger := fmt.Sprintf("%.1f", of(func(d load.Drain) float64 { return d.Linger }))
	for _, run := range runs {
		if run.Result.Drain != nil && run.Result.Drain.LingerOn {
			linger = "on"
		}
	}
	return []string{
		peer, count(func(d load.Drain) int { return d.Sockets }), told,
		count(func(d load.Drain) int { return d.Cut }), count(func(d load.Drain) int { return d.Left }), empty,
		count(func(d load.Drain) int { return d.OthersTold }), count(func(d load.Drain) int { return d.OthersCut }),
		count(func(d load.Drain) int { return d.Unanswered }),
		number(Median(collect(runs, func(l load.Result) float64 { return l.Latency.P99 }))), linger,
	}
}
