package balancer

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
	// StickyBackend is what [Sticky.Decode] found in the cookie; 0: nothing.
	StickyBackend uint64
}

// Pick takes a lease on one backend: the sticky one if there is one and it is
// usable, otherwise the one that the pool's algorithm chooses. Backends in
// tried, which may be nil, are passed over. The error is [ErrNoneUsable] or
// [ErrAllFull].
//
// Pick does not block, allocate or lock. It keeps neither q nor tried.
func (p *Pool) Pick(q *Query, tried *Tried) (Lease, error) {
	a := ask{unit: q.Kind.unit(), bar: barUnusable, hash: q.Hash, tried: tried}
	m := p.stickyOrChosen(&a, q)
	if m == nil && p.tryAny && p.noneUsable() {
		a.bar = barMode
		m = p.stickyOrChosen(&a, q)
	}
	if m == nil {
		return Lease{}, p.refusal(&a)
	}
	return Lease{backend: m.backend, unit: a.unit}, nil
}

// ask is one pick on its way through the pool.
type ask struct {
	unit  uint64 // what the lease adds to a State's word
	bar   uint64 // status bits that rule a backend out
	hash  uint64 // Query.Hash
	tried *Tried
}

// admits reports whether m, whose State's word is w, may get one more lease.
func (m *member) admits(a *ask, w uint64) bool {
	return usable(w, a.bar) && active(w) < uint64(m.limit) && !a.tried.Has(m.backend)
}

// swap takes a lease on m if its State's word is still w. After a true, all
// that was concluded from w held at the moment the lease was counted.
func (m *member) swap(a *ask, w uint64) bool {
	return m.state.word.CompareAndSwap(w, w+a.unit)
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
	return usable(w, a.bar) && !a.tried.Has(m.backend) && active(w) >= uint64(m.limit)
}

// noneUsable reports whether the pool has no backend that is up and ready,
// tried or not.
func (p *Pool) noneUsable() bool {
	for i := range p.members {
		if usable(p.members[i].state.word.Load(), barUnusable) {
			return false
		}
	}
	return true
}

// refusal says why no member admitted a lease.
func (p *Pool) refusal(a *ask) error {
	for i := range p.members {
		if p.members[i].isFull(a) {
			return ErrAllFull
		}
	}
	return ErrNoneUsable
}
