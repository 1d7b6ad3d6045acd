package relay

import (
	"errors"
	"time"
)

// errNotCarried is what the portable engine has for a handover.
var errNotCarried = errors.New("pairs can be handed over on Linux only, on amd64 and arm64")

// Carried is what a relay knows of an open pair, beside its two descriptors, as
// plain data for the relay of another process; see [Relay.HandOver].
type Carried struct {
	ID  uint64        `json:"id"`
	Age time.Duration `json:"age"` // since the 101
	// Idle is the time since a byte last came that counts against Call.Idle.
	Idle  time.Duration  `json:"idle"`
	Sides [2]CarriedSide `json:"sides"` // Client, Backend
	// Watched tells that the pair had Pings or a Guard, Guarded that it had a
	// Guard. One that had none gets none, as it may be in the middle of a message.
	Watched bool `json:"watched,omitempty"`
	Guarded bool `json:"guarded,omitempty"`
	Bits    byte `json:"bits,omitempty"` // reserved bits that were agreed upon
	// Messages and Wire are what the client owes to Guard.Messages and Bytes, as
	// the time after which it owes nothing.
	Messages time.Duration `json:"messages,omitempty"`
	Wire     time.Duration `json:"wire,omitempty"`
}

// CarriedSide is one side of it.
type CarriedSide struct {
	Bytes  uint64 `json:"bytes"`  // that it has sent
	Frames uint64 `json:"frames"` // that began in them
	// Left is what is still to come of the payload of the frame that it is
	// sending, Head what has come of the next header.
	Left uint64 `json:"left,omitempty"`
	Head []byte `json:"head,omitempty"`
	// Pending is what was sent to it and it has not taken.
	Pending []byte `json:"pending,omitempty"`
	// Pings is what Pings to it hold, but for their last byte; Ping is that of
	// the last one, and Asked the time since that was sent, if it is unanswered.
	Pings uint64        `json:"pings,omitempty"`
	Ping  uint8         `json:"ping,omitempty"`
	Asked time.Duration `json:"asked,omitempty"`
}

// Handed is an open pair that rests on its way to another process. Client and
// Backend are descriptors, which stay the relay's.
type Handed struct {
	Carried
	Owner           Owner
	Client, Backend int
}

// Handover is how far a [Relay.HandOver] has come: by what became of the pairs
// that it met.
type Handover struct {
	Handed  int // are the other process's now
	Refused int // were not taken, and go on here
	Busy    int // cannot be handed over at this moment
	Fixed   int // can at none: one that has TLS, or is ending
}

// HandOver hands the open pairs to another process: it lets some hundred rest
// at a time and calls give with them, which sends their descriptors and what it
// is told of them, and returns which were not taken, nil for none. Those go on
// here; so do all of a give that returns an error, and HandOver returns that.
// Of the others this process closes its descriptors, without a word on the wire,
// and in place of their Owner's Closed gone is called. While a pair rests its
// bytes wait in the kernel, and orders to end it are not obeyed.
//
// Pairs in the middle of a guarded message, or whose client is above its rate,
// are busy: another HandOver a moment later finds them ready. It blocks for as
// long as give does, and calls give and gone on the caller's goroutine.
func (r *Relay) HandOver(give func([]Handed) (refused []bool, err error), gone func(Owner)) (Handover, error) {
	var sum Handover
	for _, e := range r.engines {
		if err := e.handOver(&sum, give, gone); err != nil {
			return sum, err
		}
	}
	return sum, nil
}

// Receive goes on with a pair that another process has handed over. Of c it
// takes Client, Idle, Ping, PingBackend, Guard and Owner; backend is the
// descriptor of the other side. The Owner is told RoundTrip and Closed; it counts
// as opened already. When Receive returns an error nothing has happened, and the
// caller still owns both descriptors. What has come meanwhile passes at once.
func (r *Relay) Receive(c *Call, s *Carried, backend int) error {
	if r.stopping.Load() {
		return ErrStopping
	}
	return r.least().receive(c, s, backend)
}

// LastID returns the number that [NewID] returned last, 0 before the first.
func LastID() uint64 { return lastID.Load() }

// ContinueIDs has NewID go on behind after, unless it is there already: so that
// pairs of another process keep their numbers.
func ContinueIDs(after uint64) {
	for {
		was := lastID.Load()
		if was >= after || lastID.CompareAndSwap(was, after) {
			return
		}
	}
}
