package balancer

import (
	"math"

	"github.com/cespare/xxhash/v2"
)

// HashKey hashes a request's hash_key for [Query.Hash]. It is the same in
// every process and on every machine, so that several balancers agree. It is
// never 0, which stands for no key.
func HashKey(key []byte) uint64 {
	if h := xxhash.Sum64(key); h != 0 {
		return h
	}
	return 1
}

// The bound of `balance: hash`: a backend takes no more of its keys once it
// has a quarter more leases than its share of all, unless that is less than
// hashFloor. Without a floor the bound would be 1 while a pool is nearly idle,
// and the second player of a room would be sent away from the first.
const (
	hashSlack = 1.25
	hashFloor = 16
)

// pickHash sends equal keys to the same backend, as far as load allows:
// rendezvous hashing (Thaler and Ravishankar, 1998) with the bound of
// "Consistent Hashing with Bounded Loads" (Mirrokni, Thorup, Zadimoghaddam).
//
// Every backend draws a score from the key and its own address; the best one
// has the key. So a backend that goes takes along its own keys only, one that
// comes gets its share of everybody's, a weight moves keys from or to its own
// backend only, and there is no ring to build, to store or to rebuild when
// health changes. The order of the configuration, names and reloads play no
// part, and nothing is drawn from this process: every balancer with the same
// backends decides alike.
//
// When the best one is over its bound, the key goes to the best of those that
// are not: the same one every time while that lasts.
func (p *Pool) pickHash(a *ask) *member {
	if a.hash == 0 {
		return p.pickLeastConn(a)
	}
	for {
		m, w := p.bestDraw(a)
		if m == nil {
			return nil
		}
		if m.swap(a, w) {
			return m
		}
		if a.patient && m.isPaced(a) {
			return nil
		}
	}
}

// bestDraw finds the member with the best score among those within the bound,
// or, if limits leave none of them, the best that admits a lease at all.
func (p *Pool) bestDraw(a *ask) (best *member, word uint64) {
	var leases, weight uint64 // of all usable members
	least := math.Inf(1)
	for i := range p.members {
		m := &p.members[i]
		w := m.state.word.Load()
		if !usable(w, a.bar) {
			continue
		}
		leases += active(w)
		weight += uint64(m.weight)
		if u := m.lot(a.hash); m.mayBeat(least, u) && m.takesKey(a, w) {
			if s := m.score(u); s < least {
				best, word, least = m, w, s
			}
		}
	}
	if best == nil || active(word) < best.bound(leases, weight) {
		return best, word
	}
	least = math.Inf(1)
	for i := range p.members {
		m := &p.members[i]
		w := m.state.word.Load()
		if u := m.lot(a.hash); m.mayBeat(least, u) && m.takesKey(a, w) && active(w) < m.bound(leases, weight) {
			if s := m.score(u); s < least {
				best, word, least = m, w, s
			}
		}
	}
	return best, word
}

// takesKey is admits; but those who have time wait for the backend of their key.
func (m *member) takesKey(a *ask, w uint64) bool {
	if a.patient {
		return m.hasRoom(a, w)
	}
	return m.admits(a, w)
}

// bound is how many leases m may have before its keys go elsewhere, when the
// pool's usable members have that many leases and that much weight.
func (m *member) bound(leases, weight uint64) uint64 {
	share := float64(leases+1) * float64(m.weight) / float64(weight)
	return max(hashFloor, uint64(math.Ceil(hashSlack*share)))
}

// lot is what m draws for a key: uniform in (0, 1], with the 53 bits that a
// float64 holds.
func (m *member) lot(key uint64) float64 {
	return float64(scramble(key^m.seed)>>11+1) / (1 << 53)
}

// score turns m's lot into an exponential variable with the rate of m's
// weight, so that m has the least of all with a probability in proportion to
// its weight.
func (m *member) score(lot float64) float64 { return -math.Log(lot) / float64(m.weight) }

// mayBeat is false for most lots whose score is not below least, and spares
// them the logarithm: -ln(u) is never less than 1-u.
func (m *member) mayBeat(least, lot float64) bool { return 1-lot < least*float64(m.weight) }

// hashSeed is a backend's own part in its draws. Only its address counts: not
// its pool, name or place.
func hashSeed(k Key) uint64 { return xxhash.Sum64String(k.Scheme + "://" + k.Address) }

// scramble is a bijection of 64 bits in which every bit of x moves about half
// of the result's: the finaliser of SplitMix64 (Steele, Lea, Flood).
func scramble(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
