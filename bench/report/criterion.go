package report

import "fmt"

// Criterion is something that Holdfast wants to reach. One of AtLeast and
// AtMost is set.
type Criterion struct {
	Scenario string
	Against  string // a peer, Best, or Floor; "": the figure itself
	AtLeast  float64
	AtMost   float64
}

// Floor compares CPU time of the whole machine for one operation with twice
// what it is without a balancer: each byte is handled a second time, so nothing
// that copies bytes in user space can be below 1.
const Floor = "floor"

// Criteria are what Holdfast is built for.
var Criteria = []Criterion{
	{Scenario: "pingpong", Against: Best, AtLeast: 1.0},
	{Scenario: "pingpong", Against: Floor, AtMost: 1.15},
	{Scenario: "churn", Against: Best, AtLeast: 0.95},
	{Scenario: "paced", Against: Best, AtMost: 1.1},
	{Scenario: "large-64k", Against: "haproxy", AtLeast: 3.0},
	{Scenario: "idle", AtMost: 3000},
	{Scenario: "idle", Against: "haproxy", AtMost: 0.4},
	{Scenario: "idle-wss", Against: "haproxy", AtMost: 0.7},
	{Scenario: "get", Against: "haproxy", AtLeast: 1.0},
}

// Verdict is what became of a criterion. Text names figure and bound.
type Verdict struct {
	Met  bool
	Open bool // not met, and not missed: this run has not measured it
	Text string
}

// Word is what became of it: met, missed or open.
func (v Verdict) Word() string {
	switch {
	case v.Met:
		return "met"
	case v.Open:
		return "open"
	}
	return "**missed**"
}

// Verdicts judges peer by the criteria whose scenario was run.
func (r *Report) Verdicts(peer string) []Verdict {
	var verdicts []Verdict
	for _, c := range Criteria {
		for _, s := range r.Scenarios {
			if s.Name == c.Scenario && len(r.runs(s.Name, peer)) > 0 {
				verdicts = append(verdicts, r.judge(c, s, peer))
			}
		}
	}
	return verdicts
}

func (r *Report) judge(c Criterion, s Scenario, peer string) Verdict {
	if why := problem(r.runs(s.Name, peer)); why != "" {
		return Verdict{Text: s.Name + ": " + why}
	}
	switch c.Against {
	case "":
		v := Median(collect(r.runs(s.Name, peer), s.value))
		met, bound := c.meets(v, "%.0f")
		return Verdict{Met: met, Text: fmt.Sprintf("%s: %.0f %s, %s", s.Name, v, s.Metric, bound)}
	case Floor:
		ratio := r.floor(s, peer)
		if ratio == 0 {
			return Verdict{Open: true, Text: s.Name + ": the machine's CPU time was not measured without a balancer in this run"}
		}
		met, bound := c.meets(ratio, "%.2f")
		return Verdict{Met: met, Text: fmt.Sprintf("%s: the machine's CPU time is %.2f of twice that without a balancer, %s", s.Name, ratio, bound)}
	}
	ratio := r.ratio(s, peer, c.Against)
	if ratio == 0 {
		return Verdict{Open: true, Text: fmt.Sprintf("%s: not measured against %s in this run", s.Name, c.Against)}
	}
	met, bound := c.meets(ratio, "%.2f")
	return Verdict{Met: met, Text: fmt.Sprintf("%s: %.2f of %s, %s", s.Name, ratio, c.Against, bound)}
}

// meets judges a figure, and says what the bound is.
func (c Criterion) meets(v float64, format string) (bool, string) {
	if c.AtLeast > 0 {
		return v >= c.AtLeast, "at least " + fmt.Sprintf(format, c.AtLeast)
	}
	return v <= c.AtMost, "at most " + fmt.Sprintf(format, c.AtMost)
}

// floor is the median over rounds of the machine's CPU time for one operation
// through twice that without a balancer; 0: not measured.
func (r *Report) floor(s Scenario, peer string) float64 {
	var ratios []float64
	for _, a := range r.runs(s.Name, peer) {
		for _, b := range r.runs(s.Name, Limit) {
			if a.Round == b.Round && a.ok() && b.ok() && b.Result.MachineCPU > 0 {
				ratios = append(ratios, a.Result.MachineCPU/(2*b.Result.MachineCPU))
			}
		}
	}
	return Median(ratios)
}
