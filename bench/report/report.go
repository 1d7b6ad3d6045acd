package report

import (
	"slices"
	"time"

	"github.com/holdfast-lb/holdfast/bench/load"
)

// Metric is the figure that a scenario is about.
type Metric string

// Metrics, with their units.
const (
	Rate   Metric = "op/s"      // higher is better
	Memory Metric = "B/socket"  // lower is better
	P99    Metric = "µs at p99" // lower is better
	MBs    Metric = "MB/s"      // higher is better

	// Lost is how many sockets ended without a Close frame, or were not ended
	// at all, in a drain. Lower is better; it has no ratios and no chart, since
	// none is what everybody wants.
	Lost Metric = "sockets lost"
)

// Subject is the balancer that all this is about; it is nobody's peer.
const Subject = "holdfast"

// Best and Limit stand where the name of a peer could: the best of the peers
// in each round, and no balancer at all.
const (
	Best  = "the best peer"
	Limit = "none"
)

// lower tells whether a lower figure is the better one.
func (m Metric) lower() bool { return m == Memory || m == P99 }

// better tells whether v is a better figure than w.
func (m Metric) better(v, w float64) bool { return (v < w) == m.lower() }

// Scenario is one heading of the report.
type Scenario struct {
	Name   string `json:"name"`
	About  string `json:"about"` // what is done, in a few words
	Metric Metric `json:"metric"`

	// Of a sweep: what grows, and how large it is here.
	Sweep string  `json:"sweep,omitempty"`
	X     float64 `json:"x,omitempty"`
}

// Run is one measurement: one scenario, one balancer, one round.
type Run struct {
	Scenario   string      `json:"scenario"`
	Peer       string      `json:"peer"`
	Round      int         `json:"round"`               // from 1
	Background float64     `json:"background"`          // busy share of the machine right before, 0 to 1
	Failure    string      `json:"failure,omitempty"`   // why there is no figure
	Skipped    string      `json:"skipped,omitempty"`   // why it was not tried
	Processes  int         `json:"processes,omitempty"` // of the balancer, at the end
	Means      string      `json:"means,omitempty"`     // how a backend was taken away
	Ends       bool        `json:"ends,omitempty"`      // these means end sockets
	Result     load.Result `json:"result"`
}

// Machine describes where it ran.
type Machine struct {
	Host     string            `json:"host"`
	Kernel   string            `json:"kernel"`
	CPU      string            `json:"cpu"`
	Cores    int               `json:"cores"`
	MemoryMB int64             `json:"memory_mb"`
	Files    uint64            `json:"files"` // descriptors a process may have
	Versions map[string]string `json:"versions"`
}

// Report is everything that raw.json holds.
type Report struct {
	Started   time.Time  `json:"started"`
	Machine   Machine    `json:"machine"`
	Threads   int        `json:"threads"`           // of each balancer
	Rounds    int        `json:"rounds,omitempty"`  // that were asked for; 0: an older file, which does not say
	Seconds   float64    `json:"seconds,omitempty"` // measured time of one run; 0: the same
	Peers     []string   `json:"peers"`
	Reference string     `json:"reference"` // the peer that ratios refer to; "" for none
	Scenarios []Scenario `json:"scenarios"`
	Runs      []Run      `json:"runs"`
	Plots     bool       `json:"-"` // files that package plot writes lie beside report.md
}

// Sweep is one thing that grows, with its scenarios by size.
type Sweep struct {
	Name      string
	Scenarios []Scenario
}

// Sweeps returns the sweeps in the order of their first scenarios.
func (r *Report) Sweeps() (all []Sweep) {
	for _, s := range r.Scenarios {
		if s.Sweep == "" {
			continue
		}
		i := slices.IndexFunc(all, func(w Sweep) bool { return w.Name == s.Sweep })
		if i < 0 {
			i, all = len(all), append(all, Sweep{Name: s.Sweep})
		}
		all[i].Scenarios = append(all[i].Scenarios, s)
	}
	return all
}

// Row is one line of a scenario's table. Figures are medians over the rounds.
type Row struct {
	Peer        string
	Value       float64 // of the scenario's metric
	Low, High   float64 // of all rounds
	Spread      float64
	Ratio       float64 // to the reference; 0: none
	ToBest      float64 // to the best peer; 0: none
	ToLimit     float64 // to no balancer; 0: not measured
	P50, P99    float64 // µs
	BalancerCPU float64 // µs for one op; 0: not known
	MachineCPU  float64 // µs for one op
	Processes   int     // the most of any round
	Problem     string  // "failed: …" or "skipped: …": the figures mean nothing
}

// Rows returns the table of one scenario, in the order of r.Peers.
func (r *Report) Rows(s Scenario) []Row {
	var rows []Row
	for _, peer := range r.Peers {
		runs := r.runs(s.Name, peer)
		if len(runs) == 0 {
			continue
		}
		row := Row{Peer: peer, Problem: problem(runs)}
		if row.Problem == "" {
			values := collect(runs, s.value)
			row.Value = Median(values)
			row.Low, row.High = slices.Min(values), slices.Max(values)
			if row.Value != 0 {
				row.Spread = (row.High - row.Low) / row.Value
			}
			row.Ratio = r.ratio(s, peer, r.Reference)
			row.ToBest = r.ratio(s, peer, Best)
			row.ToLimit = r.ratio(s, peer, Limit)
			for _, run := range runs {
				row.Processes = max(row.Processes, run.Processes)
			}
			row.P50 = Median(collect(runs, func(l load.Result) float64 { return l.Latency.P50 }))
			row.P99 = Median(collect(runs, func(l load.Result) float64 { return l.Latency.P99 }))
			row.BalancerCPU = Median(collect(runs, func(l load.Result) float64 { return l.BalancerCPU }))
			row.MachineCPU = Median(collect(runs, func(l load.Result) float64 { return l.MachineCPU }))
		}
		rows = append(rows, row)
	}
	return rows
}

// ratio is the median over rounds of peer's value through that of against,
// which is a peer, Best or Limit; 0 when there is no round with both.
func (r *Report) ratio(s Scenario, peer, against string) float64 {
	var ratios []float64
	for _, a := range r.runs(s.Name, peer) {
		if b := r.rival(s, against, a.Round); a.ok() && b > 0 {
			ratios = append(ratios, s.value(a.Result)/b)
		}
	}
	return Median(ratios)
}

// rival is the value of against in one round; 0: none.
func (r *Report) rival(s Scenario, against string, round int) (value float64) {
	for _, run := range r.Runs {
		if run.Scenario != s.Name || run.Round != round || !run.ok() {
			continue
		}
		v := s.value(run.Result)
		switch {
		case run.Peer == against:
			return v
		case against != Best || run.Peer == Limit || run.Peer == Subject:
		case value == 0 || s.Metric.better(v, value):
			value = v
		}
	}
	return value
}

func (r *Report) runs(scenario, peer string) []Run {
	var runs []Run
	for _, run := range r.Runs {
		if run.Scenario == scenario && run.Peer == peer {
			runs = append(runs, run)
		}
	}
	return runs
}

// ok says that the run has a figure.
func (r Run) ok() bool { return r.Failure == "" && r.Skipped == "" }

// value is the scenario's figure in a result.
func (s Scenario) value(r load.Result) float64 {
	switch s.Metric {
	case Memory:
		if r.Memory == nil {
			return 0 // nobody watched: no balancer
		}
		return r.Memory.PerSocket
	case P99:
		return r.Latency.P99
	case MBs:
		return r.Transfer / 1e6
	case Lost:
		return 0 // see drains
	default:
		return r.Rate
	}
}

func problem(runs []Run) string {
	for _, run := range runs {
		switch {
		case run.Failure != "":
			return "failed: " + run.Failure
		case run.Skipped != "":
			return "skipped: " + run.Skipped
		}
	}
	return ""
}

func collect(runs []Run, value func(load.Result) float64) []float64 {
	var values []float64
	for _, run := range runs {
		values = append(values, value(run.Result))
	}
	return values
}

// Median returns the middle value, the mean of the middle two, or 0 for none.
func Median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	mid := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[mid]
	}
	return (sorted[mid-1] + sorted[mid]) / 2
}
