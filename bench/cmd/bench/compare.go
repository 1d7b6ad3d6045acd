package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-lb/holdfast/bench/chart"
	"github.com/holdfast-lb/holdfast/bench/peers"
	"github.com/holdfast-lb/holdfast/bench/report"
	"github.com/holdfast-lb/holdfast/bench/wrk"
)

// errMissed makes the command fail when --check was given.
var errMissed = errors.New("check criteria: at least one is missed; see the end of the report")

// options are the flags of the comparison.
type options struct {
	holdfast string
	against  []string
	only     []string
	rounds   int
	duration time.Duration
	quick    bool
	sweep    bool
	check    bool
	threads  int
	out      string
}

// compareCommand is the root: it compares.
func compareCommand() *cobra.Command {
	var o options
	c := &cobra.Command{
		Use:   "bench",
		Short: "measure Holdfast and other balancers side by side",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.quick {
				o.rounds, o.duration = 1, 2*time.Second
			}
			return o.run(cmd)
		},
	}
	f := c.Flags()
	f.StringVar(&o.holdfast, "holdfast", "", "the holdfast program to measure; empty: only the others")
	f.StringSliceVar(&o.against, "against", []string{"haproxy", "nginx", "apache", "caddy", "none"}, "balancers to compare with; none: no balancer, the limit")
	f.StringSliceVar(&o.only, "only", nil, "scenarios to run; empty: all")
	f.IntVar(&o.rounds, "rounds", 5, "rounds; the balancers take turns in each")
	f.DurationVar(&o.duration, "duration", 5*time.Second, "measured time of one run")
	f.BoolVar(&o.quick, "quick", false, "one round of two seconds: to see that everything works, not to quote")
	f.BoolVar(&o.sweep, "sweep", false, "how cost grows with sockets, bytes, backends, routes and sticky keys, in place of the scenarios")
	f.BoolVar(&o.check, "check", false, "exit with an error when a criterion is missed or a balancer fails")
	f.IntVar(&o.threads, "load-threads", 1, "loops of the generator and of the backends, each; more on a machine with many cores")
	f.StringVar(&o.out, "out", "", "directory for report.md and raw.json; empty: bench/results/DATE-HOST")
	return quiet(c)
}

// run measures, prints the report and writes it down.
func (o options) run(cmd *cobra.Command) error {
	if o.rounds < 1 || o.duration < time.Second {
		return fmt.Errorf("read flags: %d rounds of %s; at least one, of a second or more", o.rounds, o.duration)
	}
	r, err := o.prepare()
	if err != nil {
		return err
	}
	rep, runErr := r.measure(cmd.Context())
	if len(rep.Runs) == 0 {
		return runErr
	}
	if err := rep.WriteMarkdown(cmd.OutOrStdout(), peers.Holdfast); err != nil {
		return errors.Join(runErr, err)
	}
	dir, err := o.save(rep)
	if err != nil {
		return errors.Join(runErr, err)
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "\nwritten to %s\n", dir)
	if runErr == nil && o.check && missed(rep) {
		return errMissed
	}
	return runErr
}

// prepare finds the programs and fails before anything has started if one is
// missing.
func (o options) prepare() (*runner, error) {
	list := scenarios(o.duration, o.threads)
	if o.sweep {
		list = sweeps(o.duration, o.threads)
	}
	all, err := choose(list, o.only)
	if err != nil {
		return nil, err
	}
	r := &runner{options: o, scenarios: all, programs: map[string]string{}, progress: os.Stderr}
	var errs []error
	for _, name := range o.against {
		if name != peers.None {
			path, err := peers.Find(name)
			errs = append(errs, err)
			r.programs[name] = path
		}
		if name == peers.Holdfast || slices.Contains(r.peers, name) {
			errs = append(errs, fmt.Errorf("read --against: %q is there twice, or belongs to --holdfast", name))
		}
		r.peers = append(r.peers, name)
	}
	if o.holdfast != "" {
		path, err := filepath.Abs(o.holdfast)
		if err == nil {
			_, err = os.Stat(path)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("find holdfast: %w (go build -o holdfast ./cmd/holdfast)", err))
		}
		r.programs[peers.Holdfast] = path
		r.peers = append([]string{peers.Holdfast}, r.peers...)
	}
	if len(r.peers) == 0 {
		errs = append(errs, errors.New("read flags: nothing to measure; give --holdfast or --against"))
	}
	if path, err := wrk.Find(); err == nil {
		r.programs["wrk"] = path
	}
	return r, errors.Join(errs...)
}

// save writes report.md and raw.json and returns their directory.
func (o options) save(rep *report.Report) (string, error) {
	dir := o.out
	if dir == "" {
		dir = filepath.Join("bench", "results", rep.Started.UTC().Format("2006-01-02T1504")+"-"+rep.Machine.Host)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("save report: %w", err)
	}
	raw, err := json.MarshalIndent(rep, "", "  ")
	if err != nil {
		return "", fmt.Errorf("save report: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "raw.json"), append(raw, '\n'), 0o644); err != nil {
		return "", fmt.Errorf("save report: %w", err)
	}
	if err := chart.Write(dir, rep); err != nil {
		return "", fmt.Errorf("save report: %w", err)
	}
	rep.Plots = true
	f, err := os.Create(filepath.Join(dir, "report.md"))
	if err != nil {
		return "", fmt.Errorf("save report: %w", err)
	}
	if err := errors.Join(rep.WriteMarkdown(f, peers.Holdfast), f.Close()); err != nil {
		return "", fmt.Errorf("save report: %w", err)
	}
	return dir, nil
}

// missed says whether Holdfast missed a criterion or anything failed.
func missed(rep *report.Report) bool {
	for _, run := range rep.Runs {
		if run.Failure != "" {
			return true
		}
	}
	for _, v := range rep.Verdicts(peers.Holdfast) {
		if !v.Met {
			return true
		}
	}
	return false
}

// sleep waits for d or until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
