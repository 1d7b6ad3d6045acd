package report

import (
	"fmt"
	"io"
	"strings"
)

// Tolerance is how far two runs of the same comparison may differ in a ratio,
// as a share of the smaller one.
const Tolerance = 0.10

// Agreement is what two runs say about one ratio.
type Agreement struct {
	Scenario string
	Peer     string
	Against  string // the reference, Best or Limit
	A, B     float64
}

// Difference is how much larger the larger ratio is, as a share of the smaller.
func (a Agreement) Difference() float64 { return max(a.A, a.B)/min(a.A, a.B) - 1 }

// Agree compares every ratio that both reports have.
func Agree(a, b *Report) (all []Agreement) {
	against := []string{Best, Limit}
	if a.Reference != "" && a.Reference == b.Reference {
		against = append([]string{a.Reference}, against...)
	}
	for _, s := range a.Scenarios {
		for _, peer := range a.Peers {
			for _, other := range against {
				if peer == other {
					continue
				}
				x := Agreement{Scenario: s.Name, Peer: peer, Against: other, A: a.ratio(s, peer, other), B: b.ratio(s, peer, other)}
				if x.A > 0 && x.B > 0 {
					all = append(all, x)
				}
			}
		}
	}
	return all
}

// extent says which scenarios and balancers a report has.
func (r *Report) extent() string {
	var names []string
	for _, s := range r.Scenarios {
		names = append(names, s.Name)
	}
	if len(names) == 0 {
		return "no scenario"
	}
	return strings.Join(names, " ") + " by " + strings.Join(r.Peers, " ")
}

// WriteAgreement writes how two runs compare: how many ratios agree, those that
// do not, and all of them. Two runs that have none in common cannot be compared.
func WriteAgreement(w io.Writer, a, b *Report) error {
	all := Agree(a, b)
	if len(all) == 0 {
		return fmt.Errorf("compare runs: no ratio is in both, the first has %s, the second %s; measure the same scenarios with the same balancers", a.extent(), b.extent())
	}
	var out strings.Builder
	const minute = "2006-01-02 15:04 UTC"
	fmt.Fprintf(&out, "# Two runs compared\n\n%s and %s.\n\n", a.Started.UTC().Format(minute), b.Started.UTC().Format(minute))
	head := []string{"scenario", "balancer", "ratio to", "first", "second", "differ by"}
	lines, apart := [][]string{head}, [][]string{head}
	for _, x := range all {
		cells := []string{x.Scenario, x.Peer, x.Against, fmt.Sprintf("%.2f", x.A), fmt.Sprintf("%.2f", x.B), fmt.Sprintf("%.0f %%", x.Difference()*100)}
		lines = append(lines, cells)
		if x.Difference() > Tolerance {
			apart = append(apart, cells)
		}
	}
	fmt.Fprintf(&out, "%d of %d ratios agree within %.0f %%.\n", len(all)-len(apart)+1, len(all), Tolerance*100)
	if len(apart) > 1 {
		out.WriteString("\n## Those that do not\n\n")
		align(&out, apart)
	}
	out.WriteString("\n## All\n\n")
	align(&out, lines)
	_, err := io.WriteString(w, out.String())
	return err
}
