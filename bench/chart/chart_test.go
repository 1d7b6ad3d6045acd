package chart

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-lb/holdfast/bench/load"
	"github.com/holdfast-lb/holdfast/bench/report"
)

func sample() *report.Report {
	r := &report.Report{Peers: []string{report.Subject, "haproxy", report.Limit}}
	add := func(s report.Scenario, rates ...float64) {
		r.Scenarios = append(r.Scenarios, s)
		for i, peer := range r.Peers {
			for round := 1; round <= 2; round++ {
				run := report.Run{Scenario: s.Name, Peer: peer, Round: round, Result: load.Result{Rate: rates[i] * float64(round)}}
				if rates[i] == 0 {
					run.Failure = "it ended"
				}
				r.Runs = append(r.Runs, run)
			}
		}
	}
	add(report.Scenario{Name: "pingpong", Metric: report.Rate}, 100, 0, 300)
	add(report.Scenario{Name: "sockets-10", Metric: report.Rate, Sweep: "sockets", X: 10}, 100, 90, 300)
	add(report.Scenario{Name: "sockets-100", Metric: report.Rate, Sweep: "sockets", X: 100}, 120, 80, 0)
	add(report.Scenario{Name: "size-16", Metric: report.Rate, Sweep: "size", X: 16}, 0, 0, 0)
	return r
}

// Every scenario and every sweep has a picture, which is well-formed and says
// whose it is, also when nobody has a figure.
func TestWrite(t *testing.T) {
	dir := t.TempDir()
	if err := Write(dir, sample()); err != nil {
		t.Fatal(err)
	}
	f := func(name string, texts ...string) {
		t.Helper()
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		for d := xml.NewDecoder(strings.NewReader(string(data))); ; {
			_, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		for _, text := range texts {
			if !strings.Contains(string(data), text) {
				t.Errorf("%s has no %q", name, text)
			}
		}
	}
	f("pingpong.svg", "holdfast", "haproxy (no figure)", "none", "pingpong: op/s")
	f("sweep-sockets.svg", "holdfast", "haproxy", "as sockets grows")
	f("sweep-size.svg", "as size grows")
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 3 {
		t.Errorf("%d files, %v; want 3", len(entries), err)
	}
	if err := Write(filepath.Join(dir, "missing"), sample()); err == nil {
		t.Error("want an error for a directory that does not exist")
	}
}
