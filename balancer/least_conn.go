package balancer

import (
	"math/bits"
	"math/rand/v2"
)

// pickLeastConn takes the backend with the fewest leases for its weight.
//
// It is exact while leases are only taken. Let a picker read the words of all
// members, one after the other, choose one of least load, and swap its word
// only if that is unchanged. Until the swap the others can but have grown, so
// the chosen one is still one of least load at the moment it is counted, and
// all picks together are one sequence in which each took a least one. Pickers
// that read the same view and chose different members of equal load are no
// exception: either order of the two is such a sequence. 3,000 sockets at once
// over three equal backends are therefore 1,000 each.
//
// A lease that is returned between the reading and the swap is seen by the
// next pick, as if it had been returned just after.
//
// A failed swap means that somebody else's succeeded or a count fell, so
// pickers as a whole always move on. Equal loads are shared out by chance
// (see lightest), which also keeps concurrent pickers out of each other's way.
func (p *Pool) pickLeastConn(a *ask) *member {
	for {
		m, w := p.lightest(a)
		if m == nil {
			return nil
		}
		if m.swap(a, w) {
			return m
		}
	}
}

// lightest finds a member of least load among those that admit a lease, and
// the word that it had. Load is leases over weight, so it is 0 for every idle
// backend; members of equal load are chosen with a probability in proportion
// to their weight, wherever they stand, so that requests that come one at a
// time are spread by weight too.
func (p *Pool) lightest(a *ask) (best *member, word uint64) {
	switch {
	case a.now != 0:
		return p.lightestOnRamp(a)
	case a.weighs:
		return p.lightestOf(a, 0)
	}
	var (
		load   uint64 // best's leases
		weight uint64 // of all members that tie with best
		luck   uint64 // drawn at the first tie
	)
	for i := range p.members {
		m := &p.members[i]
		w := m.state.word.Load()
		if !m.admits(a, w) {
			continue
		}
		n := active(w)
		if best != nil {
			// n/m.weight against load/best.weight, without dividing. Both
			// products fit: 20 bits by 32.
			mine, least := n*uint64(best.weight), load*uint64(m.weight)
			if mine > least {
				continue
			}
			if mine == least {
				// One of k equals, each seen once: the last replaces those
				// before it with the probability of its share.
				weight += uint64(m.weight)
				if luck == 0 {
					luck = rand.Uint64()
				}
				luck = luck*6364136223846793005 + 1442695040888963407
				if hi, _ := bits.Mul64(luck, weight); hi < uint64(m.weight) {
					best, word, load = m, w, n
				}
				continue
			}
		}
		best, word, load, weight = m, w, n, uint64(m.weight)
	}
	return best, word
}
