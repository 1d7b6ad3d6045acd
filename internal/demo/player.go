package demo

import (
	"hash/fnv"
	"math"
	"sync/atomic"
)

// queueSize is how many messages may wait for one player. It must outlast a
// full room that joins at once, as after a server's crash; who is further
// behind will not catch up.
const queueSize = 256

// farewell is what a player's Close frame says. The zero value is none.
type farewell struct {
	code   int
	reason string
}

var farewellSlow = farewell{code: 1008, reason: "too slow to follow"}

// player is one who swims. The arena's mutex guards it, but for out, which its
// socket drains, and cut.
type player struct {
	ID    uint32  `json:"id"`
	Name  string  `json:"name"`
	Hue   int     `json:"hue"` // of its colour, 0 to 359
	X     float64 `json:"x"`
	Y     float64 `json:"y"`
	Score int     `json:"score"`

	dx, dy float64 // direction, of length 1 at most
	turned bool    // since the last step
	room   *room   // nil: dismissed

	out     chan []byte // closed by end, once
	goodbye farewell    // written before out is closed, read after
	cut     atomic.Bool // what is still in out is not worth sending
	wake    func()      // ends a blocked read or write of the socket; nil in tests without one
}

func newPlayer(id uint32, name string) *player {
	h := fnv.New32a()
	h.Write([]byte(name))
	return &player{ID: id, Name: name, Hue: int(h.Sum32() % 360), out: make(chan []byte, queueSize)}
}

// steer takes any finite vector and shortens it to length 1.
func (p *player) steer(x, y float64) {
	if length := math.Hypot(x, y); length > 1 {
		x, y = x/length, y/length
	}
	p.dx, p.dy, p.turned = x, y, true
}

// queue hands a message to the socket and reports false when there is no room
// for it. It never blocks.
func (p *player) queue(message []byte) bool {
	select {
	case p.out <- message:
		return true
	default:
		return false
	}
}

// end closes the queue. Nothing may be queued afterwards.
func (p *player) end(f farewell) {
	p.goodbye = f
	if f == farewellSlow {
		p.cut.Store(true)
		if p.wake != nil {
			p.wake()
		}
	}
	close(p.out)
}
