package demo

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
)

// The sea, in units of which a small phone shows about 400 across.
const (
	worldWidth  = 2400.0
	worldHeight = 1500.0
	speed       = 330.0 // units a second
	margin      = 30.0  // players and pearls keep this far from the edge
	reach       = 36.0  // a pearl this near is collected
	pearlCount  = 42
	goldOneIn   = 12 // so many pearls are worth goldValue
	goldValue   = 5
)

// room is the game. It has no clock and no lock: its arena steps it under its
// mutex, and tests step it at will.
type room struct {
	name      string
	players   map[uint32]*player
	pearls    []pearl
	lastPearl uint32
	slow      []*player     // whose queue overflowed, for the arena to dismiss
	over      chan struct{} // closed by the arena when the room is empty
}

// pearl lies still until somebody comes near.
type pearl struct {
	ID    uint32  `json:"id"`
	X     float64 `json:"x"`
	Y     float64 `json:"y"`
	Value int     `json:"v"`
}

func newRoom(name string) *room {
	r := &room{name: name, players: make(map[uint32]*player), over: make(chan struct{})}
	for range pearlCount {
		r.pearls = append(r.pearls, r.newPearl())
	}
	return r
}

func (r *room) newPearl() pearl {
	r.lastPearl++
	x, y := somewhere()
	p := pearl{ID: r.lastPearl, X: x, Y: y, Value: 1}
	if rand.IntN(goldOneIn) == 0 {
		p.Value = goldValue
	}
	return p
}

// add puts a player somewhere, greets it and tells the others.
func (r *room) add(p *player, server string) {
	p.room = r
	p.X, p.Y = somewhere()
	r.broadcast(joinMessage(p))
	r.players[p.ID] = p
	if !p.queue(helloMessage(r, p, server)) {
		r.slow = append(r.slow, p)
	}
}

// remove takes a player out and tells the others.
func (r *room) remove(p *player) {
	delete(r.players, p.ID)
	p.room = nil
	r.broadcast(leaveMessage(p))
}

// step moves everybody on by that many seconds, hands out pearls, and tells
// what changed. Nothing is said while nobody moves.
func (r *room) step(seconds float64) {
	var moved []*player
	for _, p := range r.players {
		if p.dx == 0 && p.dy == 0 && !p.turned {
			continue
		}
		p.turned = false
		p.X = clamp(p.X+p.dx*speed*seconds, margin, worldWidth-margin)
		p.Y = clamp(p.Y+p.dy*speed*seconds, margin, worldHeight-margin)
		moved = append(moved, p)
	}
	if len(moved) == 0 {
		return
	}
	slices.SortFunc(moved, func(a, b *player) int { return cmp.Compare(a.ID, b.ID) })
	r.broadcast(tickMessage(moved))
	for _, p := range moved {
		r.collect(p)
	}
}

// collect gives p the pearls in reach; others grow elsewhere at once.
func (r *room) collect(p *player) {
	for i := range r.pearls {
		taken := r.pearls[i]
		if math.Hypot(taken.X-p.X, taken.Y-p.Y) > reach {
			continue
		}
		p.Score += taken.Value
		r.pearls[i] = r.newPearl()
		r.broadcast(pearlMessage(taken, p, r.pearls[i]))
	}
}

// broadcast queues a message for everybody and notes who is too slow for it.
func (r *room) broadcast(message []byte) {
	for _, p := range r.players {
		if !p.queue(message) && !slices.Contains(r.slow, p) {
			r.slow = append(r.slow, p)
		}
	}
}

func somewhere() (x, y float64) {
	return margin + rand.Float64()*(worldWidth-2*margin), margin + rand.Float64()*(worldHeight-2*margin)
}

func clamp(v, low, high float64) float64 { return max(low, min(v, high)) }
