package balancer

import (
	"sync/atomic"
	"time"
)

// Key is the identity of a backend: what may change without making it another
// one (its name, weight and limit) is not part of it.
type Key struct {
	Pool    string `json:"pool"`
	Scheme  string `json:"scheme"`  // http or https
	Address string `json:"address"` // host:port
}

// State is the live side of one backend, shared by every generation of [Pools]
// that names its [Key]. All its methods may be called at any time by anyone.
//
// What a pick must know is one 64-bit word, so that one compare-and-swap both
// decides and counts:
//
//	63    62     61           60       59..40   39..20      19..0
//	down  drain  maintenance  ejected  sockets  handshakes  requests
//
// The word stands first in 128 bytes of its own: two cache lines, because
// processors fetch them in pairs. Words that share a line cost four times as
// much when two cores count on two backends (BenchmarkStateSharing).
type State struct {
	word    atomic.Uint64
	verdict atomic.Pointer[verdict]
	ramp    atomic.Int64  // when slow start began, by the registry's clock; 0: never, or it has caught up
	begun   meter         // handshakes, for the pool's rate a backend
	given   atomic.Uint64 // handshakes so far
	key     Key
	proven  bool // was up before, or came to a pool that was at work; guarded by Registry.mu
	traffic *traffic
	report  atomic.Uint64 // what the backend says of itself, see report.go
	told    *LoadReport   // the same for people; guarded by Registry.mu
	_       [128 - 8*8 - 48 - 8]byte
}

// The three counts. Each kind of lease adds its unit to the word.
const (
	countBits = 20
	countMask = 1<<countBits - 1

	oneRequest   uint64 = 1
	oneHandshake uint64 = 1 << countBits
	oneSocket    uint64 = 1 << (2 * countBits)
)

// maxLeases is how many leases one backend can hold, all kinds together:
// 1,048,574. One less than a field holds, so that a field full of ones can
// only be a count that went below zero.
const maxLeases = countMask - 1

// verdict is what stands beside the health bit for people to read.
type verdict struct {
	why   string
	since time.Time // when the health bit last changed
}

func newState(key Key, up bool, why string, at time.Time) *State {
	s := &State{key: key, traffic: new(traffic)}
	s.reset(up, why, at)
	return s
}

// reset makes the status that of a backend seen for the first time and leaves
// the counts alone.
func (s *State) reset(up bool, why string, at time.Time) {
	s.told = nil
	s.report.Store(0)
	status := uint64(0)
	if !up {
		status = bitDown
	}
	s.setStatus(statusBits, status)
	s.verdict.Store(&verdict{why: why, since: at})
}

// setStatus replaces the bits in mask by those in status.
func (s *State) setStatus(mask, status uint64) {
	for {
		w := s.word.Load()
		if s.word.CompareAndSwap(w, w&^mask|status) {
			return
		}
	}
}

// setHealth records a verdict. The caller serialises: it holds Registry.mu.
func (s *State) setHealth(up bool, why string, at time.Time) {
	since := at
	if old := s.verdict.Load(); s.Up() == up {
		if old.why == why {
			return
		}
		since = old.since
	}
	status := uint64(0)
	if !up {
		status = bitDown
	}
	s.setStatus(bitDown, status)
	s.verdict.Store(&verdict{why: why, since: since})
}

// Key is the backend's identity.
func (s *State) Key() Key { return s.key }

// Up reports whether the last verdict on the backend's health was good.
func (s *State) Up() bool { return s.word.Load()&bitDown == 0 }

// Mode is what the operator last asked for.
func (s *State) Mode() Mode { return modeOf(s.word.Load()) }

// Active is the number of leases out: sockets, requests and handshakes.
func (s *State) Active() int { return int(active(s.word.Load())) }

// Counts are the leases out by kind, all read at one moment.
type Counts struct {
	Sockets    int // WebSockets that are open
	Requests   int // HTTP requests in flight
	Handshakes int // WebSockets that are not open yet
}

// Counts splits [State.Active] by kind.
func (s *State) Counts() Counts { return countsOf(s.word.Load()) }

func countsOf(word uint64) Counts {
	return Counts{
		Sockets:    int(word >> (2 * countBits) & countMask),
		Requests:   int(word & countMask),
		Handshakes: int(word >> countBits & countMask),
	}
}

// active is the sum of the three counts.
func active(word uint64) uint64 {
	return word&countMask + word>>countBits&countMask + word>>(2*countBits)&countMask
}
