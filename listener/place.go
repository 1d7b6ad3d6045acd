package listener

import "sync/atomic"

// Place is what is left of a connection that was detached: that it counts
// towards the limits of its listener. It is an alias, so that whoever holds one
// need not import this package.
type Place = interface {
	// Leave gives the place up. A second call does nothing.
	Leave()
	// Origin is what [Set.Place] of another process takes: the listener's name
	// as it is now, and the key of the address that is counted.
	Origin() (listener string, key uint64)
}

// place implements [Place].
type place struct {
	socket *socket
	key    addrKey
	left   atomic.Bool
}

func (p *place) Leave() {
	if p.left.CompareAndSwap(false, true) {
		p.socket.ledger.vacate(p.key)
	}
}

func (p *place) Origin() (listener string, key uint64) {
	return p.socket.settings.Load().name, uint64(p.key)
}

// nowhere is the place of a connection whose listener is gone.
type nowhere struct {
	listener string
	key      uint64
}

func (nowhere) Leave() {}

func (n nowhere) Origin() (listener string, key uint64) { return n.listener, n.key }

// Place counts a connection that came in at another process, whatever the
// limits: it is in already. It takes what [Place.Origin] was there. Where no
// listener has that name any more, it counts towards nothing.
func (s *Set) Place(listener string, key uint64) Place {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sk := range s.bound {
		if sk.settings.Load().name == listener {
			p := &place{socket: sk, key: addrKey(key)}
			sk.ledger.readmit(p.key)
			return p
		}
	}
	return nowhere{listener, key}
}
