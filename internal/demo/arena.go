package demo

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// Bounds of one server.
const (
	maxRooms   = 100
	maxPlayers = 200 // in a room
)

// tick is the game's step: what moves is moved and told this often.
const tick = 50 * time.Millisecond

// Reasons not to let a player in. They reach the page as Close 1013.
var (
	errRoomFull = fmt.Errorf("this room is full: %d players", maxPlayers)
	errNoRoom   = fmt.Errorf("this server has its %d rooms: join one of them", maxRooms)
	errClosed   = errors.New("this server is going away")
)

// arena is the rooms of one server. A room exists while someone is in it, and
// has one goroutine that steps it.
type arena struct {
	server  string
	running sync.WaitGroup // room loops

	mu      sync.Mutex // guards the rest, and everything in rooms and players but their channels
	rooms   map[string]*room
	lastID  uint32
	players int
	closed  bool
	empty   chan struct{} // closed when closed and without players
}

func newArena(server string) *arena {
	return &arena{server: server, rooms: make(map[string]*room), empty: make(chan struct{})}
}

// join lets a player into the room of that name, which is made if need be,
// and queues the hello. leave must follow exactly once.
func (a *arena) join(roomName, name string) (*player, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return nil, errClosed
	}
	r := a.rooms[roomName]
	switch {
	case r == nil && len(a.rooms) >= maxRooms:
		return nil, errNoRoom
	case r != nil && len(r.players) >= maxPlayers:
		return nil, errRoomFull
	}
	if r == nil {
		r = newRoom(roomName)
		a.rooms[roomName] = r
		a.running.Go(func() { a.run(r) })
	}
	a.lastID++
	a.players++
	p := newPlayer(a.lastID, name)
	r.add(p, a.server)
	a.dropSlow(r)
	return p, nil
}

// leave takes a player out, who may have been dropped already.
func (a *arena) leave(p *player) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.dismiss(p, farewell{})
	a.players--
	a.checkEmpty()
}

// obey does what a player wants, and reports false when it has been dismissed.
func (a *arena) obey(p *player, c command) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if p.room == nil {
		return false
	}
	switch c.Type {
	case "go":
		p.steer(c.X, c.Y)
	case "ping":
		if !p.queue(pongMessage(c.N)) {
			a.dismiss(p, farewellSlow)
		}
	}
	return true
}

// expel takes a player out before its socket ends, with a last word.
func (a *arena) expel(p *player, f farewell) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.dismiss(p, f)
}

// close expels everybody and lets nobody in any more. The players' sockets
// leave on their own goroutines; deserted tells when the last one has.
func (a *arena) close(f farewell) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	for name, r := range a.rooms {
		// Nobody is told of the others' end: all meet it now.
		for _, p := range r.players {
			p.room = nil
			p.end(f)
		}
		clear(r.players)
		delete(a.rooms, name)
		close(r.over)
	}
	a.checkEmpty()
}

// deserted is closed once the arena is closed and the last player has left.
func (a *arena) deserted() <-chan struct{} { return a.empty }

// counts returns how many players and rooms there are.
func (a *arena) counts() (players, rooms int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.players, len(a.rooms)
}

// run steps a room until it is empty.
func (a *arena) run(r *room) {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	last := time.Now()
	for {
		select {
		case <-r.over:
			return
		case now := <-ticker.C:
			// A machine that slept must not teleport anybody.
			elapsed := min(now.Sub(last), 4*tick)
			last = now
			a.mu.Lock()
			r.step(elapsed.Seconds())
			a.dropSlow(r)
			a.mu.Unlock()
		}
	}
}

// dropSlow dismisses those whose queue was full; a.mu is held. That others are
// told of it can make further queues overflow, hence the loop.
func (a *arena) dropSlow(r *room) {
	for len(r.slow) > 0 {
		p := r.slow[0]
		r.slow = r.slow[1:]
		a.dismiss(p, farewellSlow)
	}
}

// dismiss takes a player out of the room and ends its queue; a.mu is held. A
// player dismissed before is left alone.
func (a *arena) dismiss(p *player, f farewell) {
	r := p.room
	if r == nil {
		return
	}
	r.remove(p)
	p.end(f)
	if len(r.players) == 0 {
		delete(a.rooms, r.name)
		close(r.over)
	}
	a.dropSlow(r)
}

func (a *arena) checkEmpty() {
	if !a.closed || a.players > 0 {
		return
	}
	select {
	case <-a.empty:
	default:
		close(a.empty)
	}
}
