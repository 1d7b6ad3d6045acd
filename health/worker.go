package health

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/holdfast-lb/holdfast/internal/cause"
	"github.com/holdfast-lb/holdfast/internal/explain"
)

const (
	// jitterShare is how far an interval may be off, up or down, as a share of
	// it. It keeps the probes of many backends, and of many balancers, from
	// falling into step.
	jitterShare = 0.1
	// minInterval keeps an interval that nobody validated from becoming a spin.
	minInterval = 10 * time.Millisecond
)

// worker probes one target on one goroutine.
type worker struct {
	log     *slog.Logger
	checker checker
	target  atomic.Pointer[Target] // replaced by an equal one with other names and Report
	cancel  context.CancelFunc
	done    chan struct{} // closed when run has returned

	// Owned by run until done is closed, then by whoever stopped it.
	machine Machine
	last    time.Time // start of the last probe that counted; zero: none yet
	hears   hears
}

// adopt takes over t if that changes nothing in how the backend is probed.
func (w *worker) adopt(t Target) bool {
	current := w.target.Load()
	if !sameBackend(*current, t) || current.Spec != t.Spec || current.Trust.ID() != t.Trust.ID() || current.SendProxy != t.SendProxy {
		return false
	}
	w.target.Store(&t)
	return true
}

// run probes until ctx ends.
func (w *worker) run(ctx context.Context) {
	defer close(w.done)
	timer := time.NewTimer(w.pause())
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		if !w.probe(ctx) {
			return
		}
		timer.Reset(w.pause())
	}
}

// pause is the time until the next probe is due: one jittered interval after
// the start of the last one, however long that took.
func (w *worker) pause() time.Duration {
	if w.last.IsZero() {
		return 0
	}
	return time.Until(w.last.Add(jitter(w.target.Load().Spec.Interval)))
}

// probe asks once and passes the verdict on. It is false if ctx ended
// meanwhile: what such a probe found does not count.
func (w *worker) probe(ctx context.Context) bool {
	started := time.Now()
	spec := w.target.Load().Spec
	deadline, cancel := context.WithTimeout(ctx, spec.Timeout)
	a := w.checker.check(deadline)
	cancel()
	if ctx.Err() != nil {
		return false
	}
	w.last = started

	ok := a.err == nil
	words := a.what
	if !ok {
		words = why(a.err, spec.Timeout)
	}
	probes := w.machine.Against() + 1
	changed := false
	if !cause.Local(a.err) { // what this machine lacks says nothing of the backend
		changed = w.machine.Observe(ok)
	}
	v := Verdict{
		Up:      w.machine.Up(),
		Changed: changed,
		OK:      ok,
		Why:     words,
		At:      a.at,
		Latency: a.at.Sub(started),
	}
	t := w.target.Load()
	if spec.LoadReports {
		if changed, value := w.hears.hear(a, spec.Interval); changed {
			w.logGarble(t, value)
		}
		v.Report = w.hears.report
	}
	t.Report(v)
	if changed {
		w.logFlip(t, v, probes)
	}
	return true
}

// logFlip says what, why, and after how many probes in a row.
func (w *worker) logFlip(t *Target, v Verdict, probes int) {
	level, message := slog.LevelWarn, "backend down"
	var page []slog.Attr
	if v.Up {
		level, message = slog.LevelInfo, "backend up"
	} else {
		page = explain.Named("backend_down").Page().Attrs()
	}
	w.log.LogAttrs(context.Background(), level, message, append([]slog.Attr{
		slog.String("pool", t.Pool),
		slog.String("backend", t.Backend),
		slog.String("address", t.Address),
		slog.String("check", t.Spec.Type),
		slog.String("why", v.Why),
		slog.Int("probes", probes),
	}, page...)...)
}

// logGarble says that the backend's reports make no sense, or do so again.
func (w *worker) logGarble(t *Target, value string) {
	level, message := slog.LevelInfo, "load report makes sense again"
	attrs := []slog.Attr{
		slog.String("pool", t.Pool),
		slog.String("backend", t.Backend),
		slog.String("address", t.Address),
	}
	if wrong := w.hears.wrong; wrong != (garble{}) {
		level, message = slog.LevelWarn, "load report makes no sense and is ignored"
		attrs = append(attrs, slog.String("header", wrong.header), slog.String("value", value), slog.String("expected", wrong.expected))
		attrs = append(attrs, explain.Named("load_report_wrong").Page().Attrs()...)
	}
	w.log.LogAttrs(context.Background(), level, message, attrs...)
}

// jitter returns a duration around interval, at most jitterShare off.
func jitter(interval time.Duration) time.Duration {
	interval = max(interval, minInterval)
	return time.Duration(float64(interval) * (1 - jitterShare + 2*jitterShare*rand.Float64()))
}
