package balancer

// Kind is what a lease is for.
type Kind uint8

const (
	// Request is one HTTP request, from pick to the end of its answer.
	Request Kind = iota
	// Socket is one WebSocket. Its lease counts as a handshake until
	// [Lease.Opened], as a socket from then on.
	Socket
)

// unit is what a new lease of this kind adds to a State's word.
func (k Kind) unit() uint64 {
	if k == Socket {
		return oneHandshake
	}
	return oneRequest
}

// Lease is one use of one backend. Whoever gets it from [Pool.Pick] owns it
// and calls [Lease.Done] exactly once, from any goroutine; passing the value
// on passes that duty on. It refers to the backend's State, not to the pools
// that it was picked from, so it stays true over any number of reloads.
//
// A Lease may be moved but must not be used from two copies. Misuse that can
// be seen at no cost panics: a second Done or an Opened after Done on the same
// variable, and a count that would go below zero.
type Lease struct {
	backend *Backend
	unit    uint64 // what it adds to the State's word; 0: returned, or never given
}

// Backend is the backend that was picked. It stays valid after Done.
func (l *Lease) Backend() *Backend { return l.backend }

// Held reports whether the lease is out, that is given and not yet returned.
func (l *Lease) Held() bool { return l.unit != 0 }

// Opened says that the handshake of a [Socket] lease has succeeded: from now
// on it counts as an open socket. The sum does not change on the way. It
// panics on any other lease, and when called twice.
func (l *Lease) Opened() {
	if l.unit != oneHandshake {
		panic("balancer: Opened on a lease that is not a handshake")
	}
	l.unit = oneSocket
	l.backend.state.word.Add(oneSocket - oneHandshake)
}

// Done returns the lease. It does not block.
func (l *Lease) Done() {
	if l.unit == 0 {
		panic("balancer: Done on a lease that is not held")
	}
	l.backend.state.putBack(l.unit)
	l.unit = 0
}

// Adopt takes a lease on the backend of that key for a socket that is open
// already, in another process until now: whatever the backend's health, mode and
// limits, which are for those who have yet to come. The lease is a [Socket]'s, and
// opened. ok is false if the committed pools do not name the backend, or it has
// as many leases as can be counted.
func (r *Registry) Adopt(key Key) (l Lease, ok bool) {
	r.mu.Lock()
	b, committed := r.live[key], r.pools != nil
	r.mu.Unlock()
	if b == nil || !committed {
		return Lease{}, false
	}
	for {
		w := b.state.word.Load()
		if active(w) >= maxLeases {
			return Lease{}, false
		}
		if b.state.word.CompareAndSwap(w, w+oneSocket) {
			return Lease{backend: b, unit: oneSocket}, true
		}
	}
}

// putBack takes one lease's unit off the word.
func (s *State) putBack(unit uint64) {
	if w := s.word.Add(-unit); w&(unit*countMask) == unit*countMask {
		panic("balancer: lease of " + s.key.Address + " in pool " + s.key.Pool + " returned twice")
	}
}
