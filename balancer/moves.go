package balancer

// Moves are the sticky keys of one pool, and how many of them a reload would
// send elsewhere.
type Moves struct {
	Keys  int // that the pool's table remembers a backend of the pool for
	Moved int // of those, the ones that will be given another backend
}

// Moves tells, for each committed pool that keeps a table of sticky keys, what
// a [Registry.Commit] of next would do to it. It changes nothing. What a table
// whose size was changed has not taken over yet does not count.
func (r *Registry) Moves(next *Pools) map[string]Moves {
	r.mu.Lock()
	pools := r.pools
	r.mu.Unlock()
	all := make(map[string]Moves)
	for _, p := range pools {
		if p.sticky == nil || p.sticky.table == nil {
			continue
		}
		var m Moves
		after := next.Pool(p.name)
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
