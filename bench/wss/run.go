package wss

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-lb/holdfast/bench/load"
	"github.com/holdfast-lb/holdfast/bench/usage"
)

const (
	opening  = 64                    // sockets that are opened at the same time
	hopeless = 100                   // failures in a row that end a churn run: the server is gone
	watching = 20 * time.Millisecond // how often the generator sees whether it stands still
)

// Run does what the plan says and returns what it found; see load.Run, whose
// rules are the same. p.Threads is ignored: there is one goroutine a socket.
func Run(ctx context.Context, p load.Plan) (load.Result, error) {
	if err := validate(p); err != nil {
		return load.Result{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, p.Limit())
	defer cancel()
	r := &run{plan: p, base: time.Now()}
	res := load.Result{Scenario: p.Scenario, Sockets: p.Sockets, Size: p.Size, Seconds: p.Duration.Seconds()}
	var err error
	switch p.Scenario {
	case load.Idle:
		err = r.idle(ctx, &res)
	case load.Churn:
		err = r.timed(ctx, &res, make([]*socket, p.Sockets), r.churn)
	default:
		var sockets []*socket
		sockets, err = r.openAll(ctx)
		if err == nil {
			err = r.timed(ctx, &res, sockets, r.pingpong)
		}
		closeAll(sockets)
	}
	res.Errors, res.Stall = r.errs, float64(r.stall.Nanoseconds())/1e3
	if r.firstErr != nil {
		res.FirstError = r.firstErr.Error()
	}
	if err == nil && r.stall > p.Duration/2 {
		err = fmt.Errorf("%w: the generator itself stood still for %s of %s", load.ErrBusy, r.stall.Round(time.Millisecond), p.Duration)
	}
	if err != nil {
		return load.Result{}, fmt.Errorf("run %s over TLS: %w", p.Scenario, errors.Join(err, r.firstErr))
	}
	return res, nil
}

// validate returns what is wrong with a plan for this package.
func validate(p load.Plan) error {
	err := p.Validate()
	if !slices.Contains([]string{load.PingPong, load.Churn, load.Idle}, p.Scenario) {
		err = errors.Join(err, fmt.Errorf("check plan: %s over TLS; only pingpong, churn and idle are", p.Scenario))
	}
	if p.TLS != load.TLSFull && p.TLS != load.TLSResume {
		err = errors.Join(err, fmt.Errorf("check plan: tls %q; %s or %s", p.TLS, load.TLSFull, load.TLSResume))
	}
	return err
}

// run is one call of Run.
type run struct {
	plan        load.Plan
	base        time.Time     // zero of the run's time
	from, until time.Duration // measured, in the run's time; set before workers start
	stall       time.Duration // longest lateness of the watch while measuring

	mu       sync.Mutex
	errs     uint64         // guarded by mu
	firstErr error          // guarded by mu
	latency  load.Histogram // guarded by mu: of workers that have ended
}

func (r *run) now() time.Duration { return time.Since(r.base) }

// fail counts an error of the measurement.
func (r *run) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.errs++
	if r.firstErr == nil {
		r.firstErr = err
	}
}

// openAll opens the sockets, a few at a time, and has one message echoed on
// each. A socket that fails is an error of the measurement, and absent.
func (r *run) openAll(ctx context.Context) ([]*socket, error) {
	ctx, cancel := context.WithTimeout(ctx, r.plan.Grace)
	defer cancel()
	all := make([]*socket, r.plan.Sockets)
	slots := make(chan struct{}, opening)
	var group sync.WaitGroup
	for i := range all {
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			s, err := dial(ctx, r.plan, i, config(r.plan))
			if err != nil {
				r.fail(err)
				return
			}
			defer s.endWith(ctx)()
			if err := s.trip(); err != nil {
				r.fail(err)
				_ = s.NetConn().Close()
				return
			}
			all[i] = s
		})
	}
	group.Wait()
	all = slices.DeleteFunc(all, func(s *socket) bool { return s == nil })
	if len(all) == 0 || ctx.Err() != nil {
		closeAll(all)
		return nil, errors.Join(fmt.Errorf("open sockets: %d of %d open", len(all), r.plan.Sockets), ctx.Err())
	}
	return all, nil
}

// timed runs a worker for each socket through warm-up and measured time, and
// reads the usage at both ends of the latter.
func (r *run) timed(ctx context.Context, res *load.Result, sockets []*socket, work func(context.Context, int, *socket, *load.Histogram)) error {
	r.from = r.now() + r.plan.Warmup
	r.until = r.from + r.plan.Duration
	ctx, cancel := context.WithDeadline(ctx, r.base.Add(r.until+r.plan.Grace))
	defer cancel()
	var workers sync.WaitGroup
	for i, s := range sockets {
		workers.Go(func() {
			var own load.Histogram
			work(ctx, i, s, &own)
			r.mu.Lock()
			defer r.mu.Unlock()
			r.latency.Merge(&own)
		})
	}
	before, err := r.readAt(ctx, r.from)
	var after usage.Usage
	if err == nil {
		if err = r.watch(ctx); err == nil {
			after, err = r.readAt(ctx, r.until)
		}
	}
	if err != nil {
		cancel()
	}
	workers.Wait()
	if err != nil {
		return err
	}
	res.Latency, res.Ops = r.latency.Latency(), r.latency.Count()
	res.Rate = float64(res.Ops) / res.Seconds
	res.Spend(before, after)
	return nil
}

// watch returns at the end of the measured time, and sees how late its own
// wakings are: other work has the cores then.
func (r *run) watch(ctx context.Context) error {
	for last := r.now(); last < r.until; {
		if err := sleep(ctx, min(watching, r.until-last)); err != nil {
			return err
		}
		now := r.now()
		r.stall = max(r.stall, now-last-watching)
		last = now
	}
	return nil
}

// readAt waits for a moment of the run's time and reads the usage.
func (r *run) readAt(ctx context.Context, at time.Duration) (usage.Usage, error) {
	if err := sleep(ctx, at-r.now()); err != nil {
		return usage.Usage{}, err
	}
	return usage.Read(r.plan.Watch)
}

// record counts an operation that ended at now, if that is measured time.
func (r *run) record(h *load.Histogram, begun, now time.Duration) {
	if now >= r.from && now < r.until {
		h.Record(now - begun)
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
