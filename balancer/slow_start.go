package balancer

import (
	"math/rand/v2"
	"time"
)

// Slow start: for a time after it came (back) a backend counts with a part of
// its weight, which grows from a tenth to the whole in a straight line.
//
// The part that has not grown yet is a chance to be passed over. That bounds
// the rate of new leases, which is what a cold server feels: with weight alone,
// least_conn would hand an empty newcomer among full neighbours every socket
// there is until it had a tenth of theirs. So during the ramp a newcomer gets
// at most its share of the picks (its weight so far over everybody's; under
// p2c, which prefers an empty backend in its nature, up to twice that), and no
// more leases than its weight so far allows; the others get the rest. hash and
// first are left alone, as slow start would move keys, or the order.
//
// With its whole weight a newcomer still has fewer sockets than its neighbours,
// and least_conn would now give it all that come until it had as many. So it
// catches up: until it is no lighter than the others, newcomers together take
// part in at most twice as many picks as their share, and leave the others half
// of theirs at least.
//
// Nothing runs for it. A pick looks at one word of the pool; only while that
// says that somebody is on the ramp, it reads the clock and this file matters.

// Parts of a weight.
const (
	whole     = 1 << 10
	coldParts = whole / 10 // the least
)

// rampClock is the time for ask.now: 0 if nobody is on the ramp or catches up,
// otherwise nanoseconds of the registry's clock, which begins above 0.
func (p *Pool) rampClock() int64 {
	end := p.rampEnd.Load()
	if end == 0 {
		return 0
	}
	now := p.clock.now()
	if now >= end && !p.catchesUp {
		// A newcomer may have set another end meanwhile: that one stays.
		p.rampEnd.CompareAndSwap(end, 0)
		return 0
	}
	return now
}

// clock counts nanoseconds from 1.
type clock struct{ epoch time.Time }

func (c clock) now() int64 { return int64(time.Since(c.epoch)) + 1 }

// parts is how much of m's weight counts at that time, of whole.
func (p *Pool) parts(m *member, now int64) uint64 {
	began := m.state.ramp.Load()
	if began == 0 || now == 0 {
		return whole
	}
	age := now - began
	if age >= int64(p.slowStart) {
		return whole
	}
	return max(coldParts, uint64(float64(whole)*float64(age)/float64(p.slowStart)))
}

// passesOver draws whether the pick passes m over because it is on the ramp.
func (p *Pool) passesOver(m *member, a *ask) bool {
	if a.now == 0 {
		return false
	}
	parts := p.parts(m, a.now)
	return parts < whole && rand.Uint64N(whole) >= parts
}

// weighed is what m's weight counts in a pick that has read w as its word: the
// part that it has on the ramp, and of that the part that its report leaves it.
// It fits into 40 bits.
func (p *Pool) weighed(m *member, w uint64, a *ask) uint64 {
	weight := uint64(m.weight)
	if a.now != 0 {
		weight *= p.parts(m, a.now)
	}
	if a.weighs {
		weight *= m.state.spare(active(w))
	}
	return weight
}

// load is what a backend whose word is w carries, for comparison by weighed.
// Where reports count, so does the lease to come: a full backend that has none
// of ours would seem the lightest.
func (p *Pool) load(w uint64, a *ask) uint64 {
	if a.weighs {
		return active(w) + 1
	}
	return active(w)
}

// lightestOnRamp is lightest while somebody is on the ramp or catches up. Who is
// on the ramp takes part in as many picks as its share of all weight so far,
// and its load is measured by the weight that it has so far. If only newcomers
// admit a lease and chance passes over each, the lightest of them is taken.
func (p *Pool) lightestOnRamp(a *ask) (best *member, word uint64) {
	var (
		end               = p.rampEnd.Load()
		newcomers, others bool
		sum               uint64 // of the weights so far
		late              uint64 // of those that catch up
	)
	for i := range p.members {
		m := &p.members[i]
		w, isLate := m.state.word.Load(), p.isLate(m, a.now)
		newcomers = newcomers || m.state.ramp.Load() != 0
		others = others || !isLate && usable(w, a.bar)
		if m.admits(a, w) {
			weight := uint64(m.weight) * p.parts(m, a.now)
			sum += weight
			if isLate {
				late += weight
			}
		}
	}
	switch {
	case !newcomers:
		p.rampEnd.CompareAndSwap(end, 0)
	case sum == 0:
		return nil, 0
	case !others: // all came back at once, and nobody is to be spared
		p.settle(nil)
	}
	a.skipsLate = late != 0 && rand.Uint64N(sum) >= min(2*late, (sum+late)/2)
	if best, word = p.lightestOf(a, sum); best == nil {
		return p.lightestOf(a, 0)
	}
	if late != 0 && !a.skipsLate && best.state.ramp.Load() == 0 {
		p.settle(a)
	}
	return best, word
}

// isLate reports whether m has its whole weight and still catches up.
func (p *Pool) isLate(m *member, now int64) bool {
	began := m.state.ramp.Load()
	return p.catchesUp && began != 0 && now-began >= int64(p.slowStart)
}

// settle ends the catching up of all that took part in a, which found somebody
// else to be as light; of whoever is late if a is nil.
func (p *Pool) settle(a *ask) {
	now := p.clock.now()
	for i := range p.members {
		m := &p.members[i]
		began := m.state.ramp.Load()
		if p.isLate(m, now) && (a == nil || m.admits(a, m.state.word.Load())) {
			m.state.ramp.CompareAndSwap(began, 0) // unless it is a newcomer again
		}
	}
}

// lightestOf draws lots among those on the ramp by their share of sum; 0: all
// take part.
func (p *Pool) lightestOf(a *ask, sum uint64) (best *member, word uint64) {
	var load, weight, ties uint64
	for i := range p.members {
		m := &p.members[i]
		w := m.state.word.Load()
		if !m.admits(a, w) {
			continue
		}
		if sum != 0 {
			if parts := p.parts(m, a.now); parts < whole && rand.Uint64N(sum) >= uint64(m.weight)*parts {
				continue
			}
			if a.skipsLate && p.isLate(m, a.now) {
				continue
			}
		}
		n, so := p.load(w, a), p.weighed(m, w, a)
		if best != nil {
			mine, least := n*weight, load*so // 20 bits by 40
			if mine > least {
				continue
			}
			if mine == least {
				if ties += so; rand.Uint64N(ties) < so {
					best, word, load, weight = m, w, n, so
				}
				continue
			}
		}
		best, word, load, weight, ties = m, w, n, so, so
	}
	return best, word
}

// rise notes that s, a member of p, begins to take leases: for the first time,
// when all of p begin, or as a newcomer, who goes on the ramp. It comes before
// the word that makes s usable. The caller holds Registry.mu.
func (p *Pool) rise(s *State) {
	newcomer := s.proven
	s.proven = true
	if !newcomer || p.slowStart <= 0 {
		return
	}
	now := p.clock.now()
	s.ramp.Store(now)
	// Always another value: a pick may be about to say that nobody is on it.
	p.rampEnd.Store(max(p.rampEnd.Load()+1, now+int64(p.slowStart)))
}

// resumeRamps has p, of a new generation, know of the ramps of its members.
// The caller holds Registry.mu.
func (p *Pool) resumeRamps() {
	if p.slowStart <= 0 {
		return
	}
	var last int64
	for i := range p.members {
		if began := p.members[i].state.ramp.Load(); began != 0 {
			last = max(last, began+int64(p.slowStart))
		}
	}
	if last > p.clock.now() || p.catchesUp {
		p.rampEnd.Store(last)
	}
}
