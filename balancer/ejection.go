package balancer

import (
	"fmt"
	"time"
)

// Live traffic is a probe that nobody has to send: a backend on which enough of
// it fails is ejected, which means that it is not picked for a time, longer
// each time, and then tried again along the ramp of slow start.
//
// Two bounds keep that from doing more harm than good. No more of a pool is
// ejected than max_ejected_percent. And when ejections leave less than half of
// the pool's ready backends (the panic floor), the failures are more likely
// everybody's than theirs: then ejections are ignored until that is over. What
// probes have found is never ignored here; `when_all_down` is for that.

// Outcome is how one use of a backend went.
type Outcome uint8

// Outcomes. All but Succeeded are failures. What is the client's doing, or
// Holdfast's own, is none: nothing is reported then.
const (
	Succeeded    Outcome = iota // an answer below 500, an open socket
	ConnectFail                 // refused, unreachable, timed out, not believed
	AnswerFail                  // no whole answer in time, or none that makes sense
	ServerError                 // an answer of 500 or more
	EarlyDeath                  // the backend ended a socket within seconds: 1006 or 1011
	Unresponsive                // Pings to the backend were not answered
)

var outcomeNames = [...]string{"succeeded", "connect failed", "no valid answer", "server error", "early death of a socket", "no answer to pings"}

func (o Outcome) String() string { return outcomeNames[o] }

const (
	// failingShare is the least share of failures among all uses that ejects,
	// one in so many: a busy backend has five failures in no time.
	failingShare = 5
	// maxEjection bounds how long an ejection may grow.
	maxEjection = 5 * time.Minute
)

// passive is a pool's rule of ejection.
type passive struct {
	failures uint64
	window   time.Duration
	eject    time.Duration
	percent  int
}

// traffic is what live traffic says of a backend.
type traffic struct {
	outcomes window
	ejection ejection // guarded by Registry.mu
}

// ejection is the record of a backend's ejections.
type ejection struct {
	times    int       // in a row
	until    time.Time // of the present or last one
	why      string
	timer    *time.Timer // ends the present one; nil: there is none
	withheld time.Time   // when a bound last kept it from being ejected
}

// Change is something that happened to a backend or a pool by itself, for logs
// and events.
type Change struct {
	Key     Key    // Address is empty if it is about the whole pool
	Backend string // its name
	Kind    ChangeKind
	Why     string
	Until   time.Time // of an ejection
	Times   int       // ejections in a row
}

// ChangeKind says what a [Change] is.
type ChangeKind uint8

// Kinds of changes.
const (
	Ejected    ChangeKind = iota // is not picked until Until
	Returned                     // an ejection is over
	Withheld                     // would have been ejected, but too many are: max_ejected_percent
	PanicBegan                   // ejections leave less than half: they are ignored
	PanicEnded
	DrainAsked     // the backend's own report asks for a drain
	DrainWithdrawn // it does so no longer
)

// OnChange names the function that hears of changes. It is called under the
// Registry's lock: it must be quick, and must not call the Registry. Set it
// before the first Commit.
func (r *Registry) OnChange(f func(Change)) { r.changed = f }

// Report tells how a use of b went. It takes no lock and allocates nothing,
// but for a failure that ejects, or would but for the bounds.
func (b *Backend) Report(o Outcome) {
	p := b.pool
	if p.passive == nil {
		return
	}
	now := p.clock.now()
	tick := tickOf(now, p.passive.window)
	w := &b.state.traffic.outcomes
	w.add(tick, o != Succeeded)
	if o == Succeeded || b.state.word.Load()&bitEjected != 0 {
		return
	}
	failures, all := w.sum(tick)
	if failures >= p.passive.failures && failures*failingShare >= all {
		p.registry.eject(b.key, fmt.Sprintf("%d of %d failed within %s, the last: %s", failures, all, p.passive.window, o))
	}
}

// eject takes a backend out for a time, if the bounds allow it.
func (r *Registry) eject(key Key, why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.livePool(key)
	if p == nil || p.passive == nil {
		return
	}
	s := r.known[key].state()
	if s.word.Load()&bitEjected != 0 {
		return
	}
	now := time.Now()
	e := &s.traffic.ejection
	ejected := 0
	for i := range p.members {
		if p.members[i].state.word.Load()&bitEjected != 0 {
			ejected++
		}
	}
	if (ejected+1)*100 > len(p.members)*p.passive.percent {
		if now.Sub(e.withheld) >= p.passive.window {
			e.withheld = now
			r.tell(Change{Key: key, Backend: r.known[key].name, Kind: Withheld, Why: why})
		}
		return
	}
	s.traffic.outcomes.clear()
	// Each whole time of good behaviour takes one off.
	e.times = max(0, e.times-int(now.Sub(e.until)/p.passive.eject)) + 1
	span := min(time.Duration(e.times)*p.passive.eject, max(maxEjection, p.passive.eject))
	e.until, e.why = now.Add(span), why
	e.timer = time.AfterFunc(span, func() { r.endEjection(key, s) })
	s.setStatus(bitEjected, bitEjected)
	r.tell(Change{Key: key, Backend: r.known[key].name, Kind: Ejected, Why: why, Until: e.until, Times: e.times})
	r.weighPanic(p)
}

// endEjection lets a backend take part again.
func (r *Registry) endEjection(key Key, s *State) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.traffic.ejection.timer == nil || time.Now().Before(s.traffic.ejection.until) {
		return // it was ended meanwhile
	}
	s.traffic.ejection.timer = nil
	s.traffic.outcomes.clear()
	p := r.livePool(key)
	if p != nil && s.Up() && s.word.Load()&modeBits == 0 {
		p.rise(s)
	}
	s.setStatus(bitEjected, 0)
	if p != nil {
		r.tell(Change{Key: key, Backend: r.known[key].name, Kind: Returned, Why: s.traffic.ejection.why})
		r.weighPanic(p)
	}
}

// pardon ends an ejection without a word, and forgets those before it. The
// caller holds r.mu.
func (s *State) pardon() {
	if t := s.traffic.ejection.timer; t != nil {
		t.Stop()
	}
	s.traffic.ejection = ejection{}
	s.traffic.outcomes.clear()
	s.setStatus(bitEjected, 0)
}

// weighPanic decides whether p is below its panic floor. The caller holds r.mu.
func (r *Registry) weighPanic(p *Pool) {
	ready, healthy, ejected := 0, 0, 0
	for i := range p.members {
		w := p.members[i].state.word.Load()
		if w&modeBits != 0 {
			continue
		}
		ready++
		if w&(bitDown|bitEjected) == 0 {
			healthy++
		}
		if w&bitEjected != 0 {
			ejected++
		}
	}
	panics := ejected > 0 && 2*healthy < ready
	if panics == p.panics.Load() {
		return
	}
	p.panics.Store(panics)
	c := Change{Key: Key{Pool: p.name}, Kind: PanicEnded, Why: fmt.Sprintf("%d of %d backends are healthy", healthy, ready)}
	if panics {
		c.Kind = PanicBegan
	}
	r.tell(c)
}

// tell passes a change on. The caller holds r.mu.
func (r *Registry) tell(c Change) {
	if r.changed != nil {
		r.changed(c)
	}
}
