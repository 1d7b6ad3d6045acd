package balancer

// Moves are the sticky keys of one pool, and how many of them a reload would
// send elsewhere.
type Moves struct {
	Keys  int // that the pool's table remembers a backend of the pool for
	Moved int // of those, the ones that will be given another backend
	// Carried: clients hold the keys, as a cookie or a token, and nobody knows
	// how many there are. What counts is the open sockets of the pool, whose
	// clients hold the key of their backend.
	Carried bool
}

// Moves tells, for each committed pool that is sticky, what a
// [Registry.Commit] of next would do to its keys. It changes nothing. What a
// table whose size was changed has not taken over yet does not count.
func (r *Registry) Moves(next *Pools) map[string]Moves {
	r.mu.Lock()
	pools := r.pools
	r.mu.Unlock()
	all := make(map[string]Moves)
	for _, p := range pools {
		after := next.Pool(p.name)
		switch {
		case p.sticky == nil:
			continue
		case p.sticky.cookies != nil:
			all[p.name] = p.carriedMoves(after)
			continue
		}
		var m Moves
		p.sticky.table.each(func(mark uint32) {
			home := p.backendMarked(mark)
			if home == nil {
				return // it went with an earlier reload
			}
			m.Keys++
			if b := after.backendMarked(mark); b == nil || b.key != home.key {
				m.Moved++
			}
		})
		all[p.name] = m
	}
	return all
}

// carriedMoves is Moves for a pool whose clients hold the keys.
func (p *Pool) carriedMoves(after *Pool) Moves {
	m := Moves{Carried: true}
	for _, b := range p.backends {
		n := b.state.Counts().Sockets
		m.Keys += n
		if !after.understands(p.sticky, b) {
			m.Moved += n
		}
	}
	return m
}

// understands tells whether a client that holds the key of b, by the rule s of
// another generation, is led to b. No pool understands nobody.
func (p *Pool) understands(s *Sticky, b *Backend) bool {
	if p == nil || p.sticky == nil || p.sticky.by != s.by || p.sticky.name != s.name {
		return false
	}
	id, known := p.sticky.Decode([]byte(b.cookie))
	return known && p.backends[p.sticky.cookies.members[id]].key == b.key
}

// backendMarked is the backend that a pool's table knows by that mark. It is
// nil if there is none, or no table, or no pool.
func (p *Pool) backendMarked(mark uint32) *Backend {
	if p == nil || p.sticky == nil || p.sticky.table == nil {
		return nil
	}
	if m := p.marked(mark); m != nil {
		return m.backend
	}
	return nil
}

// each calls f with the mark of every key that is remembered now. Entries may
// come and go meanwhile.
func (t *stickyTable) each(f func(mark uint32)) {
	now := t.now()
	for s := range t.sets {
		for i := range t.sets[s] {
			if word := t.sets[s][i].Load(); word != 0 && age(word, now) <= ttlTicks {
				f(markOf(word))
			}
		}
	}
}
