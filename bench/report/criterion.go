package report

import "fmt"

// Criterion is something that Holdfast must reach.
type Criterion struct {
	Scenario string
	Against  string  // peer of the ratio; "": the figure itself
	Bound    float64 // lowest ratio or, without a peer, highest figure
}

// Criteria are the promises of the first release.
var Criteria = []Criterion{
	{Scenario: "pingpong", Against: "haproxy", Bound: 1.0},
	{Scenario: "churn", Against: "haproxy", Bound: 0.85},
	{Scenario: "get", Against: "haproxy", Bound: 0.8},
	{Scenario: "idle", Bound: 3000},
}

// Verdict is what became of a criterion. Text names figure and bound.
type Verdict struct {
	Met  bool
	Text string
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
	if c.Against == "" {
		v := Median(collect(r.runs(s.Name, peer), s.value))
		return Verdict{v <= c.Bound, fmt.Sprintf("%s: %.0f %s, at most %.0f", s.Name, v, s.Metric, c.Bound)}
	}
	against := *r
	against.Reference = c.Against
	ratio := against.ratio(s, peer)
	if ratio == 0 {
		return Verdict{Text: fmt.Sprintf("%s: not measured against %s in this run", s.Name, c.Against)}
	}
	return Verdict{ratio >= c.Bound, fmt.Sprintf("%s: %.2f of %s, at least %.2f", s.Name, ratio, c.Against, c.Bound)}
}
