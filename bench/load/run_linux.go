package load

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/holdfast-lb/holdfast/bench/internal/epoll"
	"github.com/holdfast-lb/holdfast/bench/usage"
)

// Run does what the plan says and returns what it found. It blocks for at most
// p.Limit() and leaves no socket and no goroutine. Failures of single sockets
// are in the result; the error is for what left nothing to measure: a bad
// plan, sockets that could not be opened in time, a cancelled ctx, a machine so
// busy that the generator itself stood still for half of the measured time.
func Run(ctx context.Context, p Plan) (Result, error) {
	if err := p.Validate(); err != nil {
		return Result{}, err
	}
	if p.TLS != "" {
		return Result{}, fmt.Errorf("run %s: tls %q; this generator speaks none, package wss does", p.Scenario, p.TLS)
	}
	ctx, cancel := context.WithTimeout(ctx, p.Limit())
	defer cancel()
	r := &run{plan: &p, base: time.Now(), opened: make(chan error, p.Threads), start: make(chan struct{}), sampled: make(chan struct{})}
	var err error
	if r.idleBefore, err = usage.Read(p.Watch); err != nil {
		return Result{}, err
	}
	if err := r.makeWorkers(); err != nil {
		return Result{}, err
	}
	for _, w := range r.workers {
		r.done.Go(func() { epoll.Thread(func() { r.work(ctx, cancel, w) }) })
	}
	err = r.conduct(ctx)
	if err != nil {
		cancel()
	}
	r.done.Wait()
	if err = errors.Join(r.err, err); err != nil {
		return Result{}, fmt.Errorf("run %s: %w", p.Scenario, err)
	}
	res := r.result()
	if stall := time.Duration(res.Stall * 1e3); stall > p.Duration/2 {
		return Result{}, fmt.Errorf("run %s: %w: the generator itself stood still for %s of %s", p.Scenario, ErrBusy, stall.Round(time.Millisecond), p.Duration)
	}
	return res, nil
}

// run is one call of Run: the conductor, which keeps the time and reads the
// usage, and the workers that it waits for.
type run struct {
	plan    *Plan
	base    time.Time
	workers []*worker

	opened  chan error    // one from each worker, when its sockets are open
	start   chan struct{} // closed when from and until are set
	sampled chan struct{} // closed when usage has been read at until
	done    sync.WaitGroup

	mu  sync.Mutex
	err error // guarded by mu: the first worker's failure

	idleBefore    usage.Usage // before the first socket
	before, after usage.Usage // at both ends of the measured time
}

// makeWorkers deals the sockets out.
func (r *run) makeWorkers() error {
	p := r.plan
	shares := make([][]*socket, p.Threads)
	for i := range p.Sockets {
		shares[i%p.Threads] = append(shares[i%p.Threads], &socket{index: i})
	}
	for _, share := range shares {
		w, err := newWorker(p, r.base, share)
		if err != nil {
			for _, w := range r.workers {
				w.close()
			}
			return err
		}
		r.workers = append(r.workers, w)
	}
	return nil
}

// scenario makes the worker's driver.
func (r *run) scenario(w *worker) scenario {
	switch r.plan.Scenario {
	case Churn:
		return &churn{w: w}
	case Idle:
		return &idle{w: w, sampled: r.sampled}
	case Paced:
		return &paced{timetable{w: w}}
	case Push:
		return &push{w: w}
	case Storm:
		return &storm{w: w}
	case Draining:
		return &drain{timetable: timetable{w: w}}
	}
	return &pingpong{w: w}
}

// work is a worker's thread.
func (r *run) work(ctx context.Context, cancel context.CancelFunc, w *worker) {
	defer w.close()
	var err error
	if r.plan.Scenario != Churn {
		err = w.openAll(ctx)
	}
	r.opened <- err
	if err != nil {
		return
	}
	select {
	case <-r.start:
	case <-ctx.Done():
		return
	}
	s := r.scenario(w)
	w.driver = s
	if err := s.measure(ctx); err != nil {
		r.mu.Lock()
		if r.err == nil {
			r.err = err
		}
		r.mu.Unlock()
		cancel()
	}
}

// conduct sets the measured time once all sockets are open, and reads the
// usage at its ends.
func (r *run) conduct(ctx context.Context) error {
	for range r.workers {
		if err := <-r.opened; err != nil {
			return err
		}
	}
	runtime.GC() // what opening has left behind; measuring allocates nothing
	from := time.Since(r.base) + r.plan.Warmup
	until := from + r.plan.Duration
	for _, w := range r.workers {
		w.from, w.until = int64(from), int64(until)
		w.lastTurn, w.stall = w.now(), 0
	}
	close(r.start)
	var err error
	if r.before, err = r.readAt(ctx, from); err != nil {
		return err
	}
	if r.plan.Scenario == Storm {
		if err := kill(ctx, r.plan.Victim); err != nil {
			return err
		}
	}
	if r.plan.Scenario == Draining {
		if err := order(ctx, r.plan.Order); err != nil {
			return err
		}
	}
	if r.after, err = r.readAt(ctx, until); err != nil {
		return err
	}
	close(r.sampled)
	return nil
}

// readAt waits for a moment of the run's time and reads the usage.
func (r *run) readAt(ctx context.Context, at time.Duration) (usage.Usage, error) {
	select {
	case <-time.After(at - time.Since(r.base)):
		return usage.Read(r.plan.Watch)
	case <-ctx.Done():
		return usage.Usage{}, ctx.Err()
	}
}

// result sums the workers up; they have ended.
func (r *run) result() Result {
	p := r.plan
	res := Result{Scenario: p.Scenario, Sockets: p.Sockets, Size: p.Size, Seconds: p.Duration.Seconds()}
	var all Histogram
	var opening time.Duration
	for _, w := range r.workers {
		all.Merge(&w.latency)
		res.Errors += w.errs
		if res.FirstError == "" && w.firstErr != nil {
			res.FirstError = w.firstErr.Error()
		}
		opening = max(opening, w.openSpent)
		res.Stall = max(res.Stall, float64(w.stall)/1e3)
	}
	res.Latency = all.Latency()
	res.Ops = all.Count()
	res.Rate = float64(res.Ops) / res.Seconds
	if p.Scenario == Idle {
		res.Ops = uint64(p.Sockets)
		res.Rate = float64(p.Sockets) / opening.Seconds()
		r.memory(&res)
		return res
	}
	if p.Scenario == Draining {
		res.Drain = r.drained()
	}
	if p.Scenario == Storm {
		// The rate at which they came back: nothing happens after the last.
		var last int64
		for _, w := range r.workers {
			last = max(last, w.lastBack-w.from)
		}
		if last > 0 {
			res.Rate = float64(res.Ops) / time.Duration(last).Seconds()
		}
	}
	res.Spend(r.before, r.after)
	return res
}

// drained sums up what the workers saw of a drain.
func (r *run) drained() *Drain {
	var all Drain
	for _, w := range r.workers {
		d := w.driver.(*drain).found
		all.Sockets += d.Sockets
		all.Told += d.Told
		all.Cut += d.Cut
		all.Left += d.Left
		all.OthersTold += d.OthersTold
		all.OthersCut += d.OthersCut
		all.Unanswered += d.Unanswered
		all.Missed += d.Missed
		all.Code = max(all.Code, d.Code)
		all.Emptied = max(all.Emptied, d.Emptied)
	}
	if all.Left > 0 {
		all.Emptied = 0
	}
	return &all
}

// memory sets what the held sockets have cost.
func (r *run) memory(res *Result) {
	each := func(before, after int64) float64 { return float64(after-before) / float64(r.plan.Sockets) }
	m := &Memory{
		Before: r.idleBefore.Memory, After: r.after.Memory,
		PerSocket:        each(r.idleBefore.Memory, r.after.Memory),
		MachinePerSocket: each(r.idleBefore.MachineMem, r.after.MachineMem),
	}
	res.Memory = m
}
