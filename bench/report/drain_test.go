package report

import (
	"strings"
	"testing"

	"github.com/holdfast-lb/holdfast/bench/load"
)

func TestDrains(t *testing.T) {
	r := &Report{Peers: []string{"holdfast", "nginx", "apache", "none"}, Scenarios: []Scenario{{Name: "drain", Metric: Lost}}}
	add := func(peer, means string, d load.Drain) {
		r.Runs = append(r.Runs, Run{
			Scenario: "drain", Peer: peer, Means: means, Ends: peer != "apache", Round: len(r.Runs),
			Result: load.Result{Ops: 1, Latency: load.Latency{P99: 500}, Drain: &d},
		})
	}
	add("holdfast", "an order", load.Drain{Sockets: 100, Told: 100, Code: 1012, Emptied: 1.1})
	add("nginx", "a reload", load.Drain{Sockets: 100, Cut: 98, OthersCut: 200, Unanswered: 7, Emptied: 2.04, Linger: 2.1})
	add("nginx", "a reload", load.Drain{Sockets: 100, Cut: 100, OthersCut: 200, Unanswered: 9, Emptied: 2.06, Linger: 2.3})
	add("apache", "hope", load.Drain{Sockets: 100, Left: 100, Linger: 4, LingerOn: true})
	r.Runs = append(r.Runs, Run{Scenario: "drain", Peer: "none", Skipped: "nobody to ask"})
	var b strings.Builder
	if err := r.WriteMarkdown(&b, "holdfast"); err != nil {
		t.Fatal(err)
	}
	f := func(want ...string) {
		t.Helper()
		for line := range strings.Lines(b.String()) {
			if strings.Join(strings.Fields(strings.ReplaceAll(line, "|", " ")), " ") == strings.Join(want, " ") {
				return
			}
		}
		t.Errorf("no line with %v in:\n%s", want, b.String())
	}
	// sockets, told, cut, left, empty, others told, others cut, unanswered, p99, linger
	f("holdfast", "100", "100 (1012)", "0", "0", "1.1", "0", "0", "0", "500", "0.0")
	f("nginx", "100", "0", "99", "0", "2.0", "0", "200", "8", "500", "2.2")
	f("apache", "100", "not", "offered", "0", "100", "not", "offered", "0", "0", "0", "500", "on")
	f("none", "skipped")
	f("> apache: hope")
	f("> none skipped: nobody to ask")
}
