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
	}
}

// bestDraw finds the member with the best score among those within the bound,
// or, if limits leave none of them, the best that admits a lease at all.
func (p *Pool) bestDraw(a *ask) (best *member, word uint64) {
	var (
		leases, weight uint64 // of all usable members
		least          = math.Inf(1)
	)
	for i := range p.members {
		m := &p.members[i]
		w := m.state.word.Load()
		if !usable(w, a.bar) {
			continue
		}
		leases += active(w)
		weight += uint64(m.weight)
		if m.draw(a.hash, &least, a, w) {
			best, word = m, w
		}
	}
	if best == nil || active(word) < best.bound(leases, weight) {
		return best, word
	}
	least = math.Inf(1)
	for i := range p.members {
		m := &p.members[i]
		w := m.state.word.Load()
		if active(w) < m.bound(leases, weight) && m.draw(a.hash, &least, a, w) {
			best, word = m, w
		}
	}
	return best, word
}

// bound is how many leases m may have before its keys go elsewhere, when the
// pool's usable members have that many leases and that much weight.
func (m *member) bound(leases, weight uint64) uint64 {
	share := float64(leases+1) * float64(m.weight) / float64(weight)
	return max(hashFloor, uint64(math.Ceil(hashSlack*share)))
}

// draw scores m for a key: an exponential variable with the rate of m's
// weight, so that m has the least of all with a probability in proportion to
// it. It reports whether m admits a lease and beats least, which it lowers.
func (m *member) draw(key uint64, least *float64, a *ask, w uint64) bool {
	// Uniform in (0, 1], with the 53 bits that a float64 holds.
	u := float64(scramble(key^m.seed)>>11+1) / (1 << 53)
	// -ln(u) >= 1-u spares most members the logarithm: it costs one only when
	// there is something to win.
	bar := *least * float64(m.weight)
	if 1-u >= bar || !m.admits(a, w) {
		return false
	}
	score := -math.Log(u)
	if score >= bar {
		return false
	}
	*least = score / float64(m.weight)
	return true
}

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
