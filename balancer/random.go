package balancer

import (
	"math/bits"
	"math/rand/v2"
)

// randomDraws is how many draws random spends on members that do not admit a
// lease before it looks at all of them.
const randomDraws = 8

// pickRandom draws a backend with a probability in proportion to its weight. A
// draw that hits one that admits no lease is repeated, which leaves the others
// their proportions.
func (p *Pool) pickRandom(a *ask) *member {
	for range randomDraws {
		if m := &p.members[p.dice.throw()]; !p.passesOver(m, a) && m.take(a) {
			return m
		}
	}
	for {
		m, w := p.anyOf(a)
		if m == nil {
			return nil
		}
		if m.swap(a, w) {
			return m
		}
	}
}

// anyOf draws by weight among the members that admit a lease, by looking at
// each. The word is the one that it had.
func (p *Pool) anyOf(a *ask) (chosen *member, word uint64) {
	var weight uint64
	for i := range p.members {
		m := &p.members[i]
		w := m.state.word.Load()
		if !m.admits(a, w) {
			continue
		}
		mine := p.weighed(m, w, a)
		weight += mine
		if rand.Uint64N(weight) < mine {
			chosen, word = m, w
		}
	}
	return chosen, word
}

// dice draw member indices by weight in constant time: Walker's alias method
// as Vose builds it. A throw picks a side fairly, then stays there or goes to
// the side's alias.
type dice struct {
	n     uint64
	sides []side // nil: all weights are equal
}

type side struct {
	stay  uint64 // of 2^64: how likely it is to stay
	alias uint32
}

// newDice costs time in proportion to the number of members.
func newDice(members []member) dice {
	d := dice{n: uint64(len(members))}
	var total uint64
	equal := true
	for i := range members {
		total += uint64(members[i].weight)
		equal = equal && members[i].weight == members[0].weight
	}
	if equal {
		return d
	}
	// With weights times n, the average side has exactly `total`. Sides with
	// less are filled up by sides with more, one alias each.
	d.sides = make([]side, len(members))
	rest := make([]uint64, len(members))
	var under, over []uint32
	for i := range members {
		rest[i] = uint64(members[i].weight) * d.n
		if rest[i] < total {
			under = append(under, uint32(i))
		} else {
			over = append(over, uint32(i))
		}
	}
	for len(under) > 0 {
		u, o := under[len(under)-1], over[len(over)-1]
		under = under[:len(under)-1]
		stay, _ := bits.Div64(rest[u], 0, total)
		d.sides[u] = side{stay: stay, alias: o}
		rest[o] -= total - rest[u]
		if rest[o] < total {
			over = over[:len(over)-1]
			under = append(under, o)
		}
	}
	for _, o := range over {
		d.sides[o] = side{alias: o} // stays either way
	}
	return d
}

// throw is a member's index. There must be at least one member.
func (d *dice) throw() int {
	// The product's upper half is a fair index, its lower half a fraction that
	// is independent of it.
	i, fraction := bits.Mul64(rand.Uint64(), d.n)
	if d.sides != nil {
		if s := &d.sides[i]; fraction >= s.stay {
			return int(s.alias)
		}
	}
	return int(i)
}
