package balancer

import (
	"math/rand/v2"
	"sync/atomic"
)

const (
	// maxTurns bounds a rotation to 256 KiB. Weights that sum up to more are
	// scaled down to fit, which rounds them.
	maxTurns = 1 << 16
	// maxPassed bounds how many turns of members that admit no lease one pick
	// lets pass.
	maxPassed = 1 << 10
)

// rotation is the order of turns of smooth weighted round robin, worked out
// once, and the place where it stands. A heavy member's turns are spread over
// the round and not in a row: weights 5:1:1 give a a b a c a a.
type rotation struct {
	turns []uint32 // member indices; one round
	_     [128]byte
	next  atomic.Uint64 // on cache lines of its own: every pick writes it
	_     [120]byte
}

// pickRoundRobin gives every member its turns in order. A turn belongs to one
// pick: the counter hands it out, so turns are neither skipped nor doubled
// however many pick at once. The turn of a member that admits no lease passes,
// and the pick takes the next, so the others keep their proportions and no
// neighbour inherits a sick member's whole share.
func (p *Pool) pickRoundRobin(a *ask) *member {
	r := p.rotation
	for range min(len(r.turns), maxPassed) {
		turn := r.next.Add(1) % uint64(len(r.turns))
		if m := &p.members[r.turns[turn]]; !p.passesOver(m, a) && m.take(a) {
			return m
		}
	}
	// Hardly anybody admits a lease, or others had the turns of those who do.
	return p.pickRandom(a)
}

// newRotation plays one round of the smooth weighted round robin that nginx
// made known: every turn all members gain their weight, the one that has most
// is on, and pays the sum. Rounds start anywhere, so that balancers started
// together do not all begin with the same backend.
func newRotation(members []member) *rotation {
	weights := reducedWeights(members)
	var total int64
	for _, w := range weights {
		total += w
	}
	r := &rotation{turns: make([]uint32, total)}
	credit := make([]int64, len(weights))
	for t := range r.turns {
		on := 0
		for i, w := range weights {
			credit[i] += w
			if credit[i] > credit[on] {
				on = i
			}
		}
		credit[on] -= total
		r.turns[t] = uint32(on)
	}
	r.next.Store(uint64(rand.Uint32()))
	return r
}

// reducedWeights are the members' weights in lowest terms, at least 1 each,
// with a sum of at most maxTurns (or the number of members, if that is more).
func reducedWeights(members []member) []int64 {
	var divisor, total int64
	weights := make([]int64, len(members))
	for i := range members {
		weights[i] = int64(members[i].weight)
		divisor = gcd(weights[i], divisor)
	}
	for i := range weights {
		weights[i] /= divisor
		total += weights[i]
	}
	if total <= maxTurns {
		return weights
	}
	room := max(maxTurns-int64(len(weights)), 0)
	for i := range weights {
		weights[i] = 1 + weights[i]*room/total
	}
	return weights
}

func gcd(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
