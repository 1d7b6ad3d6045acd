package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-lb/holdfast/bench/fill"
	"github.com/holdfast-lb/holdfast/bench/load"
	"github.com/holdfast-lb/holdfast/bench/peers"
	"github.com/holdfast-lb/holdfast/bench/report"
	"github.com/holdfast-lb/holdfast/bench/usage"
	"github.com/holdfast-lb/holdfast/bench/wrk"
)

const (
	balancerThreads = 2
	backendCount    = 3
	maxBackends     = 200
	enoughFiles     = 65536                  // nginx reserves memory for each, used or not
	calm            = 300 * time.Millisecond // between two runs, to see who else is at work
)

// runner goes through scenarios, rounds and peers. One at a time: whatever
// runs beside what is measured would be measured too.
type runner struct {
	options
	scenarios []scenario
	peers     []string
	programs  map[string]string // paths by name; wrk's too
	backends  *backends
	progress  io.Writer
	done      int           // runs
	spent     time.Duration // by them
}

// measure does all runs and returns what it has, also after an error. A
// balancer that fails is a Run with a Failure, no error.
func (r *runner) measure(ctx context.Context) (rep *report.Report, err error) {
	rep = &report.Report{
		Started: time.Now(), Machine: describe(r.programs), Threads: balancerThreads, Peers: r.peers, Reference: r.reference(),
		Rounds: r.rounds, Seconds: r.duration.Seconds(),
	}
	count := backendCount
	for _, s := range r.scenarios {
		count = max(count, s.backends)
	}
	if r.backends, err = startBackends(ctx, count, r.threads); err != nil {
		return rep, err
	}
	defer func() { err = errors.Join(err, r.backends.stop()) }()
	for _, s := range r.scenarios {
		rep.Scenarios = append(rep.Scenarios, s.Scenario)
		for round := 1; round <= r.rounds; round++ {
			for i := range r.peers {
				// Another one begins each round, so that none always
				// follows the same neighbour.
				name := r.peers[(i+round-1)%len(r.peers)]
				begun := time.Now()
				run := r.one(ctx, s, name)
				r.spent += time.Since(begun)
				r.done++
				if ctx.Err() != nil {
					return rep, fmt.Errorf("measure: %w", context.Cause(ctx))
				}
				run.Round = round
				rep.Runs = append(rep.Runs, run)
				r.show(s, run)
			}
		}
	}
	return rep, nil
}

// reference is the peer that ratios refer to: the first that is a balancer.
func (r *runner) reference() string {
	for _, name := range r.peers {
		if name != peers.None && name != peers.Holdfast {
			return name
		}
	}
	return ""
}

// one starts the balancer, measures, and stops it. The result is named, since
// a crash is found out on the way out.
func (r *runner) one(ctx context.Context, s scenario, name string) (run report.Run) {
	run = report.Run{Scenario: s.Name, Peer: name}
	if run.Skipped = r.skip(s, name); run.Skipped != "" {
		return run
	}
	var p *peers.Process
	targets, pid := r.backendsFor(s), 0
	if name != peers.None {
		dir, err := os.MkdirTemp("", "bench-"+name+"-")
		if err != nil {
			run.Failure = err.Error()
			return run
		}
		defer func() { _ = os.RemoveAll(dir) }()
		var listen string
		if p, listen, err = r.start(ctx, name, dir, s); err != nil {
			run.Failure = err.Error()
			return run
		}
		defer p.Stop()
		// After the measurement, before Stop: a crash explains the errors.
		defer func() {
			if err := p.Alive(); err != nil {
				run.Failure = err.Error()
			}
		}()
		targets, pid = []string{listen}, p.PID()
	}
	var err error
	if run.Background, err = background(ctx); err == nil {
		run.Result, err = r.driven(ctx, s, p, targets, pid)
	}
	if s.plan.Scenario == load.Draining {
		run.Means, run.Ends = peers.Means(name)
	}
	if p != nil && s.reload {
		run.Processes = p.Processes()
	}
	switch {
	case err != nil:
		run.Failure = err.Error()
	case run.Result.Errors > 0:
		run.Failure = fmt.Sprintf("%d errors, the first: %s", run.Result.Errors, run.Result.FirstError)
	case run.Result.Ops == 0 && run.Result.Transfer == 0:
		run.Failure = "not one operation ended in the measured time"
	}
	return run
}

// skip says why a peer is not measured in a scenario; "": it is.
func (r *runner) skip(s scenario, name string) string {
	switch {
	case s.web != nil && r.programs["wrk"] == "":
		return wrk.ErrMissing.Error()
	case s.reload && name == peers.None:
		return "there is nothing to reload"
	case s.plan.Scenario == load.Draining && name == peers.None:
		return "there is nobody to take a backend away"
	case s.plan.TLS != "" && name == peers.None:
		return "the backends speak no TLS, which is the balancer's work here"
	case s.plan.Scenario == load.Push && r.threads > 1:
		return "the backend pushes within one loop, so --load-threads must be 1"
	case len(s.only) > 0 && !slices.Contains(s.only, name):
		return "only " + strings.Join(s.only, ", ") + " have a configuration for it"
	}
	return ""
}

// backendsFor are the addresses of the backends of a scenario.
func (r *runner) backendsFor(s scenario) []string {
	n := backendCount
	if s.backends > 0 {
		n = s.backends
	}
	return r.backends.addresses[:n]
}

// driven is drive, with reloads all the while or a drain if the scenario is
// about them.
func (r *runner) driven(ctx context.Context, s scenario, p *peers.Process, targets []string, pid int) (load.Result, error) {
	if s.plan.Scenario == load.Draining {
		return r.drained(ctx, s, p, targets, pid)
	}
	if !s.reload {
		return r.drive(ctx, s, targets, pid)
	}
	reloading, stop := context.WithCancel(ctx)
	reloaded := make(chan error, 1)
	go func() {
		for sleep(reloading, reloadEvery) == nil {
			if err := p.Reload(reloading); err != nil && reloading.Err() == nil {
				reloaded <- err
				return
			}
		}
		reloaded <- nil
	}()
	result, err := r.drive(ctx, s, targets, pid)
	stop()
	return result, errors.Join(err, <-reloaded)
}

// start starts a balancer on a free port.
func (r *runner) start(ctx context.Context, name, dir string, s scenario) (p *peers.Process, listen string, err error) {
	if listen, err = peers.FreeAddress(); err != nil {
		return nil, "", err
	}
	setup := peers.Setup{
		Dir: dir, Listen: listen, Backends: r.backendsFor(s), Routes: s.routes, Reloads: s.reload, Sticky: stickyFor(s), TLS: s.plan.TLS != "",
		Threads: balancerThreads, Files: int(min(descriptors(), enoughFiles)),
	}
	if s.plan.Scenario == load.Draining {
		setup.Drains = true
		if setup.Admin, err = peers.FreeAddress(); err != nil {
			return nil, "", err
		}
	}
	p, err = peers.Start(ctx, name, r.programs[name], setup)
	return p, listen, err
}

// drive runs the scenario's generator.
func (r *runner) drive(ctx context.Context, s scenario, targets []string, pid int) (load.Result, error) {
	if w := s.web; w != nil {
		memory, err := r.fill(ctx, s, targets[0], pid)
		if err != nil {
			return load.Result{}, err
		}
		result, err := wrk.Run(ctx, wrk.Plan{
			Program: r.programs["wrk"], URL: "http://" + targets[0] + w.path, Threads: 2, Connections: s.plan.Sockets,
			Close: w.close, Body: w.body, Keys: w.keys, Warmup: s.plan.Warmup, Duration: s.plan.Duration, Watch: pid,
		})
		result.Memory = memory
		return result, err
	}
	p := s.plan
	if p.Scenario == load.Storm {
		victim, err := netip.ParseAddrPort(r.backends.addresses[0])
		if err != nil {
			return load.Result{}, fmt.Errorf("read address of the first backend: %w", err)
		}
		p.Victim = victim
	}
	p.Watch = pid
	for _, t := range targets {
		at, err := netip.ParseAddrPort(t)
		if err != nil {
			return load.Result{}, fmt.Errorf("read address %q: %w", t, err)
		}
		p.Targets = append(p.Targets, at)
	}
	return runLoad(ctx, p)
}

// stickyFor is how many keys a balancer is set up to remember.
func stickyFor(s scenario) int {
	if s.sticky {
		return stickyEntries
	}
	return 0
}

// fill has the balancer remember the scenario's keys and returns the memory
// that this took; nil if it is to remember none.
func (r *runner) fill(ctx context.Context, s scenario, target string, pid int) (*load.Memory, error) {
	if !s.sticky || pid == 0 {
		return nil, nil
	}
	before, err := usage.Read(pid)
	if err != nil {
		return nil, err
	}
	if err := fill.Fill(ctx, target, s.web.keys); err != nil {
		return nil, err
	}
	after, err := usage.Read(pid)
	if err != nil {
		return nil, err
	}
	each := func(before, after int64) float64 { return float64(after-before) / float64(s.web.keys) }
	return &load.Memory{
		Before: before.Memory, After: after.Memory,
		PerSocket: each(before.Memory, after.Memory), MachinePerSocket: each(before.MachineMem, after.MachineMem),
	}, nil
}

// background waits a moment and returns the share of it for which the
// machine's cores were busy: with what is not ours.
func background(ctx context.Context) (float64, error) {
	before, err := usage.Read(0)
	if err != nil {
		return 0, err
	}
	if err := sleep(ctx, calm); err != nil {
		return 0, err
	}
	after, err := usage.Read(0)
	if err != nil {
		return 0, err
	}
	busy := (after.Machine - before.Machine).Seconds() / after.At.Sub(before.At).Seconds() / float64(runtime.NumCPU())
	return min(busy, 1), nil // clock ticks are coarse
}

// show prints a line of progress.
func (r *runner) show(s scenario, run report.Run) {
	what := fmt.Sprintf("%.0f/s", run.Result.Rate)
	switch m := run.Result.Memory; {
	case run.Failure != "":
		what, _, _ = strings.Cut("failed: "+run.Failure, "\n")
	case run.Skipped != "":
		what = "skipped: " + run.Skipped
	case run.Result.Transfer > 0 && s.Metric == report.MBs:
		what = fmt.Sprintf("%.0f MB/s", run.Result.Transfer/1e6)
	case s.Metric == report.P99:
		what = fmt.Sprintf("%.0f µs at p99", run.Result.Latency.P99)
	case run.Result.Drain != nil:
		what = fmt.Sprintf("%d told, %d cut, %d left", run.Result.Drain.Told, run.Result.Drain.Cut, run.Result.Drain.Left)
	case m != nil && s.Metric == report.Memory:
		what = fmt.Sprintf("%.0f B/socket", m.PerSocket)
	}
	all := len(r.scenarios) * r.rounds * len(r.peers)
	left := r.spent / time.Duration(r.done) * time.Duration(all-r.done)
	_, _ = fmt.Fprintf(r.progress, "%4d/%d, %4.1f min left  %-17s round %d  %-9s %s\n",
		r.done, all, left.Minutes(), run.Scenario, run.Round, run.Peer, what)
}
