package explain

import (
	"cmp"
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"time"
)

// maxSubjects bounds the failures that a Reporter tells apart at a time. Those
// beyond it are in metrics and the access log only.
const maxSubjects = 4096

// Event is one failure.
type Event struct {
	Code Code
	// Failures of one code are told apart by these names; empty: none.
	Listener, Route, Pool, Backend string

	// What follows is of this one, and logged with the first of its kind.
	Client    netip.Addr
	RequestID []byte // not kept
	Err       error  // the system's own words; nil: none
	// Cause and Remedy are closer than those of the page; empty: they are not.
	Cause, Remedy string
}

// subject is what makes two events the same trouble.
type subject struct {
	code                     Code
	listener, route, backend string
}

// trouble is a subject within its period.
type trouble struct {
	subject
	pool     string
	since    time.Time
	repeated uint64 // since then, the first not counted
	took     time.Duration
}

// Reporter writes failures to the log for operators: the first of its kind at
// once, with cause and remedy, and those that follow as a count at the end of
// each period. So a flood of failures is a trickle of lines. Nil reports
// nothing. Its methods may be called from any goroutine.
type Reporter struct {
	log    *slog.Logger
	period time.Duration

	mu       sync.Mutex
	troubles map[subject]*trouble
	fresh    []entry // to be written
	closed   bool

	wake chan struct{}
	done chan struct{}
}

// entry is a first event, as it is to be logged.
type entry struct {
	Event
	id string
}

// NewReporter returns a Reporter that writes to log, and counts what repeats
// within a period. Close ends it.
func NewReporter(log *slog.Logger, period time.Duration) *Reporter {
	r := &Reporter{
		log: log, period: period, troubles: make(map[subject]*trouble),
		wake: make(chan struct{}, 1), done: make(chan struct{}),
	}
	go r.run()
	return r
}

// Report takes note of e. It never waits for the log, and allocates nothing
// for what is only counted.
func (r *Reporter) Report(e *Event) {
	if r == nil || e.Code.Page() == nil {
		return
	}
	s := subject{e.Code, e.Listener, e.Route, e.Backend}
	r.mu.Lock()
	defer r.mu.Unlock()
	if t := r.troubles[s]; t != nil {
		t.repeated++
		return
	}
	if r.closed || len(r.troubles) >= maxSubjects {
		return
	}
	r.troubles[s] = &trouble{subject: s, pool: e.Pool, since: time.Now()}
	r.fresh = append(r.fresh, entry{*e, string(e.RequestID)})
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Close writes what is left and returns when that is done. Events that come
// later are dropped.
func (r *Reporter) Close() {
	if r == nil {
		return
	}
	r.mu.Lock()
	was := r.closed
	r.closed = true
	r.mu.Unlock()
	if !was {
		close(r.wake)
	}
	<-r.done
}

func (r *Reporter) run() {
	defer close(r.done)
	tick := time.NewTicker(max(r.period/8, time.Millisecond))
	defer tick.Stop()
	for open := true; open; {
		select {
		case _, open = <-r.wake:
		case <-tick.C:
		}
		fresh, over := r.take(time.Now(), !open)
		for i := range fresh {
			r.writeFirst(&fresh[i])
		}
		for i := range over {
			r.writeRepeated(&over[i])
		}
	}
}

// take returns what is to be written now: first events, and the counts of
// periods that are over, or of all periods.
func (r *Reporter) take(now time.Time, all bool) (fresh []entry, over []trouble) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fresh, r.fresh = r.fresh, nil
	for s, t := range r.troubles {
		switch {
		case !all && now.Sub(t.since) < r.period:
		case t.repeated == 0:
			delete(r.troubles, s)
		default:
			over = append(over, *t)
			over[len(over)-1].took = now.Sub(t.since)
			t.since, t.repeated = now, 0
		}
	}
	return fresh, over
}

// Attrs are what a line of the log has of the page: code, cause and remedy.
func (p *Page) Attrs() []slog.Attr {
	return []slog.Attr{slog.String("code", p.Code.String()), slog.String("cause", p.Cause), slog.String("remedy", p.Remedy)}
}

// writeFirst explains.
func (r *Reporter) writeFirst(e *entry) {
	p := e.Code.Page()
	attrs := e.attrs()
	if e.Client.IsValid() {
		attrs = append(attrs, slog.String("client", e.Client.String()))
	}
	if e.id != "" {
		attrs = append(attrs, slog.String("request_id", e.id))
	}
	if e.Err != nil {
		attrs = append(attrs, slog.String("error", e.Err.Error()))
	}
	attrs = append(attrs, slog.String("cause", cmp.Or(e.Cause, p.Cause)), slog.String("remedy", cmp.Or(e.Remedy, p.Remedy)))
	r.log.LogAttrs(context.Background(), p.Level(), p.Title, attrs...)
}

// writeRepeated counts.
func (r *Reporter) writeRepeated(t *trouble) {
	p := t.code.Page()
	e := Event{Code: t.code, Listener: t.listener, Route: t.route, Pool: t.pool, Backend: t.backend}
	r.log.LogAttrs(context.Background(), p.Level(), p.Title, append(e.attrs(),
		slog.Uint64("repeated", t.repeated), slog.String("within", t.took.Round(time.Second).String()))...)
}

// attrs name the failure and what it is about.
func (e *Event) attrs() []slog.Attr {
	attrs := []slog.Attr{slog.String("code", e.Code.String()), slog.String("reason", e.Code.Page().Name)}
	for _, a := range [...]slog.Attr{
		slog.String("listener", e.Listener), slog.String("route", e.Route),
		slog.String("pool", e.Pool), slog.String("backend", e.Backend),
	} {
		if a.Value.String() != "" {
			attrs = append(attrs, a)
		}
	}
	return attrs
}
