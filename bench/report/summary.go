package report

import (
	"fmt"
	"io"
	"strings"
)

// join is one report of several runs of the same comparison: their rounds one
// after the other, so that medians are over all of them. What describes the run
// is the first one's. It panics without a report.
func join(reports ...*Report) *Report {
	all := *reports[0]
	all.Runs = nil
	rounds := 0
	for _, r := range reports {
		last := 0
		for _, run := range r.Runs {
			last = max(last, run.Round)
			run.Round += rounds
			all.Runs = append(all.Runs, run)
		}
		rounds += last
	}
	all.Rounds = rounds
	return &all
}

// WriteSummary writes a line for each scenario with a figure of subject: its
// median over the rounds of all runs, that of the peer with the best one and of
// the reference, and the ratios by rounds, over all and in each run.
func WriteSummary(w io.Writer, subject string, runs ...*Report) error {
	all := join(runs...)
	head := []string{"scenario", subject, "best peer", "to " + Best}
	if all.Reference != "" {
		head = append(head, all.Reference, "to "+all.Reference, "its CPU µs/op, "+subject+" : "+all.Reference)
	}
	lines := [][]string{append(head, "wanted")}
	for _, s := range all.Scenarios {
		rows := all.Rows(s)
		own, ok := find(rows, subject)
		if !ok || own.Problem != "" || s.Metric == Lost {
			continue
		}
		unit, _, _ := strings.Cut(string(s.Metric), " ")
		cells := []string{s.Name, number(own.Value) + " " + unit, champion(rows, s.Metric), each(s, subject, Best, all, runs)}
		if all.Reference != "" {
			reference, _ := find(rows, all.Reference)
			cells = append(cells, number(reference.Value), each(s, subject, all.Reference, all, runs),
				number(own.BalancerCPU)+" : "+number(reference.BalancerCPU))
		}
		lines = append(lines, append(cells, all.wanted(s, subject)))
	}
	var b strings.Builder
	align(&b, lines)
	_, err := io.WriteString(w, b.String())
	return err
}

// each is a ratio over all runs and, of several, in each of them.
func each(s Scenario, subject, against string, all *Report, runs []*Report) string {
	text := ratioOf(all.ratio(s, subject, against))
	if len(runs) == 1 {
		return text
	}
	var parts []string
	for _, r := range runs {
		parts = append(parts, ratioOf(r.ratio(s, subject, against)))
	}
	return fmt.Sprintf("%s (%s)", text, strings.Join(parts, ", "))
}

// champion names the peer with the best median, and the median.
func champion(rows []Row, metric Metric) string {
	var best Row
	for _, row := range rows {
		if row.Peer == Subject || row.Peer == Limit || row.Problem != "" || row.Value == 0 {
			continue
		}
		if best.Peer == "" || metric.better(row.Value, best.Value) {
			best = row
		}
	}
	if best.Peer == "" {
		return "–"
	}
	return number(best.Value) + " " + best.Peer
}

// wanted are the criteria about a scenario, and what became of them.
func (r *Report) wanted(s Scenario, subject string) string {
	var parts []string
	for _, c := range Criteria {
		if c.Scenario != s.Name {
			continue
		}
		format, against := "%.2f", " of "+c.Against
		if c.Against == "" {
			format, against = "%.0f", ""
		}
		_, bound := c.meets(0, format)
		parts = append(parts, bound+against+": "+r.judge(c, s, subject).Word())
	}
	if parts == nil {
		return "–"
	}
	return strings.Join(parts, "; ")
}

func find(rows []Row, peer string) (Row, bool) {
	for _, row := range rows {
		if row.Peer == peer {
			return row, true
		}
	}
	return Row{}, false
}
