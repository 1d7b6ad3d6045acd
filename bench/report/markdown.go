package report

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/holdfast-lb/holdfast/bench/load"
)

// noisy is the busy share before a run from which the report warns.
const noisy = 0.1

// WriteMarkdown writes the whole report; verdicts are about the peer named by
// subject, if it ran.
func (r *Report) WriteMarkdown(w io.Writer, subject string) error {
	var b strings.Builder
	m := r.Machine
	fmt.Fprintf(&b, "# Side by side, %s\n\n", r.Started.UTC().Format("2006-01-02 15:04 UTC"))
	fmt.Fprintf(&b, "%s: %d cores (%s), %d MB, Linux %s, %d descriptors a process; %d threads each.\n",
		m.Host, m.Cores, m.CPU, m.MemoryMB, m.Kernel, m.Files, r.Threads)
	if r.Rounds > 0 {
		fmt.Fprintf(&b, "Rounds: %d, of %s each.\n", r.Rounds, time.Duration(r.Seconds*float64(time.Second)))
	}
	for _, name := range slices.Sorted(maps.Keys(m.Versions)) {
		fmt.Fprintf(&b, "- %s: %s\n", name, m.Versions[name])
	}
	if n, share := r.background(); n > 0 {
		fmt.Fprintf(&b, "\n**Noisy:** before %d of %d runs the machine was busy with something else (up to %.0f %%).\n", n, len(r.Runs), share*100)
	}
	for _, s := range r.Scenarios {
		if s.Sweep == "" {
			fmt.Fprintf(&b, "\n## %s\n\n%s\n\n", s.Name, s.About)
			if s.Metric == Lost {
				r.drains(&b, s)
				continue
			}
			r.table(&b, s)
			if r.Plots {
				fmt.Fprintf(&b, "\n![%s](%s.svg)\n", s.Name, s.Name)
			}
		}
	}
	for _, sweep := range r.Sweeps() {
		fmt.Fprintf(&b, "\n## As %s grows\n\n%s\n\n", sweep.Name, sweep.Scenarios[0].About)
		r.curve(&b, sweep)
		if r.Plots {
			fmt.Fprintf(&b, "\n![%s](sweep-%s.svg)\n", sweep.Name, sweep.Name)
		}
	}
	if verdicts := r.Verdicts(subject); len(verdicts) > 0 {
		fmt.Fprintf(&b, "\n## Criteria for %s\n\n", subject)
		for _, v := range verdicts {
			fmt.Fprintf(&b, "- %s: %s\n", v.Word(), v.Text)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// curve writes a sweep: a line for each size, a column for each balancer.
func (r *Report) curve(b *strings.Builder, sweep Sweep) {
	metric := sweep.Scenarios[0].Metric
	head := []string{sweep.Name}
	for _, peer := range r.Peers {
		head = append(head, peer+" "+string(metric))
	}
	remembered := r.remembered(sweep)
	for _, peer := range remembered {
		head = append(head, peer+" B/entry")
	}
	lines := [][]string{head}
	for _, s := range sweep.Scenarios {
		cells := []string{fmt.Sprintf("%.0f", s.X)}
		for _, row := range r.Rows(s) {
			cell := number(row.Value)
			if row.Problem != "" {
				cell, _, _ = strings.Cut(row.Problem, ":")
			}
			cells = append(cells, cell)
		}
		for _, peer := range remembered {
			cells = append(cells, number(Median(collect(r.runs(s.Name, peer), func(l load.Result) float64 {
				if l.Memory == nil {
					return 0
				}
				return l.Memory.PerSocket
			}))))
		}
		lines = append(lines, cells)
	}
	align(b, lines)
}

// remembered are the balancers whose memory was read in the sweep.
func (r *Report) remembered(sweep Sweep) []string {
	var names []string
	for _, peer := range r.Peers {
		for _, s := range sweep.Scenarios {
			if slices.ContainsFunc(r.runs(s.Name, peer), func(run Run) bool { return run.Result.Memory != nil }) && !slices.Contains(names, peer) {
				names = append(names, peer)
			}
		}
	}
	return names
}

// background returns before how many runs the machine was noisy, and the
// worst share.
func (r *Report) background() (n int, worst float64) {
	for _, run := range r.Runs {
		if run.Background > noisy {
			n++
			worst = max(worst, run.Background)
		}
	}
	return n, worst
}

// table writes one scenario's rows, aligned for a terminal.
func (r *Report) table(b *strings.Builder, s Scenario) {
	head := []string{"balancer", "median " + string(s.Metric), "spread", "p50 µs", "p99 µs", "its CPU µs/op", "machine CPU µs/op"}
	compared := []string{"to " + Best, "to " + Limit}
	if r.Reference != "" {
		compared = append([]string{"ratio to " + r.Reference}, compared...)
	}
	head = append(head, compared...)
	lines := [][]string{head}
	var problems, notes []string
	for _, row := range r.Rows(s) {
		cells := []string{row.Peer, number(row.Value), percent(row), number(row.P50), number(row.P99), number(row.BalancerCPU), number(row.MachineCPU)}
		if row.Problem != "" {
			word, _, _ := strings.Cut(row.Problem, ":")
			cells = []string{row.Peer, word, "", "", "", "", ""}
			problems = append(problems, row.Peer+" "+row.Problem)
		}
		if r.Reference != "" {
			cells = append(cells, ratioOf(row.Ratio))
		}
		cells = append(cells, ratioOf(row.ToBest), ratioOf(row.ToLimit))
		if row.Processes > 1 {
			notes = append(notes, fmt.Sprintf("%s was %d processes at the end", row.Peer, row.Processes))
		}
		lines = append(lines, cells)
	}
	align(b, lines)
	if len(notes) > 0 {
		fmt.Fprintf(b, "\n%s.\n", strings.Join(notes, "; "))
	}
	for _, p := range problems {
		fmt.Fprintf(b, "\n> %s\n", strings.ReplaceAll(p, "\n", "\n> "))
	}
}

// ratioOf writes a ratio, none as a dash.
func ratioOf(v float64) string {
	if v == 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f", v)
}

// align writes a Markdown table whose columns line up: the first to the left,
// the others to the right.
func align(b *strings.Builder, lines [][]string) {
	width := make([]int, len(lines[0]))
	for _, cells := range lines {
		for i, cell := range cells {
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	for n, cells := range lines {
		for i, cell := range cells {
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell))
			if i == 0 {
				fmt.Fprintf(b, "| %s%s ", cell, pad)
			} else {
				fmt.Fprintf(b, "| %s%s ", pad, cell)
			}
		}
		b.WriteString("|\n")
		if n == 0 {
			for i, w := range width {
				if i == 0 {
					fmt.Fprintf(b, "|%s", strings.Repeat("-", w+2))
				} else {
					fmt.Fprintf(b, "|%s:", strings.Repeat("-", w+1))
				}
			}
			b.WriteString("|\n")
		}
	}
}

// percent writes the spread of a row that has a figure.
func percent(row Row) string {
	if row.Value == 0 {
		return "–"
	}
	return fmt.Sprintf("%.0f %%", row.Spread*100)
}

// number writes a figure with what precision it deserves; nothing as a dash.
func number(v float64) string {
	switch {
	case v == 0:
		return "–"
	case v < 100:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.0f", v)
	}
}
