package health

import (
	"context"
	"log/slog"
	"sync"
)

// Prober probes a changing set of targets. Its methods may be called from any
// goroutine.
type Prober struct {
	log        *slog.Logger
	newChecker func(Target) checker // a seam for tests of the rhythm

	mu      sync.Mutex         // held while targets change, also while waiting for probes to stop
	workers map[string]*worker // by ID
	closed  bool
}

// NewProber returns a Prober without targets. It writes one line to log for
// every flip. The caller calls Close.
func NewProber(log *slog.Logger) *Prober {
	return &Prober{log: log, newChecker: newChecker, workers: map[string]*worker{}}
}

// Reconcile makes targets the whole set. Targets that are new are probed at
// once. Those that are equal but for names and Report keep their state and
// their rhythm, and later verdicts go to the new Report. Those whose Spec,
// Trust or SendProxy differs keep their state and count, and the next probe
// comes one new interval after the last one. Those that are gone, or have another Scheme or Address,
// are stopped: Reconcile waits for a probe under way to end, which is at once,
// and their Report is not called after it returns. Targets without a Spec.Type
// are not probed. After Close it does nothing.
func (p *Prober) Reconcile(targets []Target) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	wanted := make(map[string]Target, len(targets))
	for _, t := range targets {
		if t.Spec.Type != "" {
			wanted[t.ID] = t
		}
	}

	// All are told to stop before any is waited for.
	stopping := map[string]*worker{}
	for id, w := range p.workers {
		t, ok := wanted[id]
		if ok && w.adopt(t) {
			continue
		}
		w.cancel()
		stopping[id] = w
		delete(p.workers, id)
	}
	for _, w := range stopping {
		<-w.done
	}
	for id, t := range wanted {
		if p.workers[id] == nil {
			p.workers[id] = p.start(t, stopping[id])
		}
	}
}

// Close stops all probes and returns when they have ended. No Report is called
// after that. Closing again does nothing.
func (p *Prober) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, w := range p.workers {
		w.cancel()
	}
	for _, w := range p.workers {
		<-w.done
	}
	clear(p.workers)
}

// start runs a worker for t. before, if not nil, is the stopped worker with the
// same ID, from which the state is taken over if it was the same backend.
func (p *Prober) start(t Target, before *worker) *worker {
	w := &worker{
		log:     p.log,
		checker: p.newChecker(t),
		machine: NewMachine(t.Spec.Rise, t.Spec.Fall, t.InitialUp),
		done:    make(chan struct{}),
	}
	if before != nil && sameBackend(*before.target.Load(), t) {
		w.last = before.last
		w.hears = before.hears
		w.machine = before.machine
		w.machine.SetThresholds(t.Spec.Rise, t.Spec.Fall)
	}
	w.target.Store(&t)
	var ctx context.Context
	ctx, w.cancel = context.WithCancel(context.Background())
	go w.run(ctx)
	return w
}

func sameBackend(a, b Target) bool { return a.Scheme == b.Scheme && a.Address == b.Address }
