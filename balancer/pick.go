package balancer

import "time"

// Query is what a pick may depend on. The caller fills in what the pool's
// configuration asks for and leaves the rest zero.
type Query struct {
	// Kind is what the lease is for.
	Kind Kind
	// Hash is the [HashKey] of the request's hash_key, for `balance: hash`. 0
	// means that the request has none; least_conn then decides.
	Hash uint64
	// StickyKey is what stickiness by query, header or source_ip goes by.
	// Empty means that the request has none. It is not kept.
	StickyKey []byte
	// StickyBackend is what [Sticky.Decode] found in the cookie or token; 0: nothing.
	StickyBackend uint64
	// Patient: rather than to another backend than that of its key, the request
	// comes again later. It matters only while handshakes are bounded by a rate.
	Patient bool
}

// Pick takes a lease on one backend: the sticky one if there is one and it is
// usable, otherwise the one that the pool's algorithm chooses. Backends in
// tried, which may be nil, are passed over. The error is [ErrNoneUsable],
// [ErrAllFull] or [ErrPaced].
//
// Pick does not block, allocate or lock. It keeps neither q nor tried.
func (p *Pool) Pick(q *Query, tried *Tried) (Lease, error) {
	a := ask{unit: q.Kind.unit(), bar: p.bar(), now: p.rampClock(), hash: q.Hash, tried: tried, patient: q.Patient,
		reports: p.reports, weighs: p.weighs}
	if q.Kind == Socket && (p.rate.interval|p.each.interval) != 0 {
		a.each, a.at = p.each, p.clock.now()
		if !p.rate.take(p.begun, a.at) {
			return Lease{}, ErrPaced
		}
		l, err := p.pick(&a, q)
		if err != nil && p.rate.interval != 0 {
			p.rate.putBack(p.begun)
		}
		return l, err
	}
	return p.pick(&a, q)
}

// bar is the rule by which backends are ruled out now.
func (p *Pool) bar() uint64 {
	if p.panics.Load() {
		return barPanic
	}
	return barUnusable
}

func (p *Pool) pick(a *ask, q *Query) (Lease, error) {
	m := p.stickyOrChosen(a, q)
	if m == nil && p.tryAny && p.noneUsable() {
		a.bar = barMode
		m = p.stickyOrChosen(a, q)
	}
	if m == nil {
		return Lease{}, p.refusal(a)
	}
	if a.unit == oneHandshake {
		m.state.given.Add(1)
	}
	return Lease{backend: m.backend, unit: a.unit}, nil
}

// ask is one pick on its way through the pool.
type ask struct {
	unit  uint64 // what the lease adds to a State's word
	bar   uint64 // status bits that rule a backend out
	now   int64  // see rampClock; 0: nobody is on the ramp
	hash  uint64 // Query.Hash
	tried *Tried

	reports, weighs bool // Pool's
	skipsLate       bool // see lightestOnRamp

	each    rate  // of handshakes, if this is one
	at      int64 // the time, if each is set
	patient bool
}

// admits reports whether m, whose State's word is w, may get one more lease.
func (m *member) admits(a *ask, w uint64) bool {
	return m.hasPlace(a, w) && (!a.reports || m.state.holds(w)) && a.each.wait(&m.state.begun, a.at) == 0
}

// hasRoom is admits whatever the rate of handshakes.
func (m *member) hasRoom(a *ask, w uint64) bool {
	return m.hasPlace(a, w) && (!a.reports || m.state.holds(w))
}

// hasPlace is hasRoom as far as the configuration knows.
func (m *member) hasPlace(a *ask, w uint64) bool {
	return usable(w, a.bar) && active(w) < uint64(m.limit) && !a.tried.Has(m.backend)
}

// swap takes a lease on m if its State's word is still w. After a true, all
// that was concluded from w held at the moment the lease was counted.
func (m *member) swap(a *ask, w uint64) bool {
	if a.each.interval == 0 {
		return m.state.word.CompareAndSwap(w, w+a.unit)
	}
	if !a.each.take(&m.state.begun, a.at) {
		return false // somebody else was quicker; m does not admit a any more
	}
	if m.state.word.CompareAndSwap(w, w+a.unit) {
		return true
	}
	a.each.putBack(&m.state.begun)
	return false
}

// take takes a lease on m, whatever its load, unless it does not admit one.
func (m *member) take(a *ask) bool {
	for {
		w := m.state.word.Load()
		if !m.admits(a, w) {
			return false
		}
		if m.swap(a, w) {
			return true
		}
	}
}

// isFull reports whether the limit is all that keeps m from being picked.
func (m *member) isFull(a *ask) bool {
	w := m.state.word.Load()
	return usable(w, a.bar) && !a.tried.Has(m.backend) &&
		(active(w) >= uint64(m.limit) || a.reports && !m.state.holds(w))
}

// isPaced reports whether the rate of handshakes is all that keeps m from being
// picked.
func (m *member) isPaced(a *ask) bool {
	return a.each.interval != 0 && m.hasRoom(a, m.state.word.Load()) && a.each.wait(&m.state.begun, a.at) > 0
}

// noneUsable reports whether the pool has no backend that is up and ready,
// tried or not.
func (p *Pool) noneUsable() bool {
	for i := range p.members {
		if usable(p.members[i].state.word.Load(), p.bar()) {
			return false
		}
	}
	return true
}

// refusal says why no member admitted a lease.
func (p *Pool) refusal(a *ask) error {
	err := ErrNoneUsable
	for i := range p.members {
		switch m := &p.members[i]; {
		case a.each.interval != 0 && m.hasRoom(a, m.state.word.Load()):
			return ErrPaced // it may have become ready since
		case m.isFull(a):
			err = ErrAllFull
		}
	}
	return err
}

// HandshakeRate is how many handshakes a second the rates allow with the
// backends that are usable now; 0: they set no bound.
func (p *Pool) HandshakeRate() float64 {
	usableOnes := 0
	for i := range p.members {
		if usable(p.members[i].state.word.Load(), p.bar()) {
			usableOnes++
		}
	}
	inAll, each := p.rate.perSecond(), p.each.perSecond()*float64(usableOnes)
	if inAll == 0 || each > 0 && each < inAll {
		return each
	}
	return inAll
}

// Wait is how long it takes until the rates allow another handshake at some
// usable backend that has room; 0: they do, or none is and has.
func (p *Pool) Wait() time.Duration {
	a := ask{bar: p.bar(), each: p.each, at: p.clock.now(), reports: p.reports}
	least := time.Duration(-1)
	for i := range p.members {
		m := &p.members[i]
		if !m.hasRoom(&a, m.state.word.Load()) {
			continue
		}
		if wait := p.each.wait(&m.state.begun, a.at); least < 0 || wait < least {
			least = wait
		}
	}
	return max(0, least, p.rate.wait(p.begun, a.at))
}
