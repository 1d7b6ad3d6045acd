//go:build linux && (amd64 || arm64)

package relay

import (
	"time"

	"github.com/holdfast-lb/holdfast/internal/sys"
	"github.com/holdfast-lb/holdfast/internal/tlsconn"
)

type state uint8

const (
	dialing state = iota // the backend has not agreed yet
	open
	leaving // a Close is on its way, or waits for the end of a frame
	resting // on its way from a process to another: not watched
	dead
)

// end is one side of a pair.
type end struct {
	fd       int32
	readable bool // a read may deliver something
	writable bool // a write may take something
	hup      bool // an end or an error was reported: a short read is not the last
	eof      bool // its FIN was read
	shut     bool // our FIN was sent to it
	broken   bool // an error was reported for it
	gone     bool // it takes no more
	telling  bool // it is to read a Close of ours
	told     bool // that was put into its stream, or need not be
	bulk     bool // it sends large frames: the next one's header is looked at first
	scan     Scanner
	frames   uint64        // that it sent
	bytes    uint64        // that it sent
	pend     []byte        // bytes for it that it has not taken yet, sealed if it has TLS
	tls      *tlsconn.Conn // nil: none
}

// pair is two ends and what belongs to neither. Its opener fills it in and
// puts it into the loop's table; from then on the loop alone touches it, and
// does nothing but note readiness until it has adopted it.
type pair struct {
	ends    [2]end
	state   state
	adopted bool // its opener is done with it
	queued  bool // in the loop's list of pairs with work left
	dying   bool // a side was reset while the other took nothing
	noted   bool // ender and reason are settled
	ender   Ender
	wheel   int16  // its slot in the wheel, -1: none
	slot    uint32 // in the table
	gen     uint32 // of that slot

	id     uint64
	owner  Owner
	reason string
	fault  *Fault // what it is leaving for
	watch  *watch // nil: its frames are counted, and that is all

	// Milliseconds on the loop's clock.
	last  int64 // a byte last came, or the pair began
	began int64 // Open, and once open the 101
	due   int64 // the wheel calls at this time or later
	idle  int64 // 0: no limit
	// When a pair that is leaving, or whose client was reset while its backend
	// took nothing, is closed; 0: it is neither.
	deadline int64

	next, prev *pair // in a slot of the wheel
	after      *pair // in the loop's list of pairs to adopt

	call *dial // nil once open
}

// dial is what a pair needs until it is open, and no longer.
type dial struct {
	request   []byte // not sent yet, sealed if the backend has TLS
	replies   int    // bytes of it that TLS has added
	early     []byte
	head      []byte // an answer header that came in pieces
	skipped   int    // bytes of interim answers
	answer    int64  // deadline, milliseconds on the loop's clock
	connected bool
	refused   sys.Errno // why the connection failed at once; 0: it did not
}

// note settles who ended the pair; the first word counts.
func (p *pair) note(by Ender, reason string) {
	if !p.noted {
		p.noted, p.ender, p.reason = true, by, reason
	}
}

// halfGone tells whether a side was reset, and has no more to say.
func (p *pair) halfGone() bool {
	return p.ends[Client].gone && p.ends[Client].eof || p.ends[Backend].gone && p.ends[Backend].eof
}

// limit returns the milliseconds of silence that end an open pair, 0: none do.
func (p *pair) limit() int64 {
	half := HalfCloseIdle.Milliseconds()
	if (p.ends[Client].eof || p.ends[Backend].eof || p.dying) && (p.idle == 0 || p.idle > half) {
		return half
	}
	return p.idle
}

// callAt returns when the wheel is to call an open pair, 0: never.
func (p *pair) callAt() (due int64) {
	sooner := func(t int64) {
		if due == 0 || t < due {
			due = t
		}
	}
	if limit := p.limit(); limit > 0 {
		sooner(p.last + limit)
	}
	if p.deadline > 0 {
		sooner(p.deadline)
	}
	if w := p.watch; w != nil {
		for _, v := range w.vitals {
			if v != nil && v.next > 0 {
				sooner(v.next)
			}
		}
		if w.waits() && len(p.ends[Backend].pend) == 0 { // until then it waits for that
			sooner(w.excess.until)
		}
	}
	return due
}

// live tells what the pair is.
func (p *pair) live(now int64) Live {
	live := Live{
		ID:      p.id,
		Owner:   p.owner,
		Bytes:   [2]uint64{p.ends[Client].bytes, p.ends[Backend].bytes},
		Frames:  [2]uint64{p.ends[Client].frames, p.ends[Backend].frames},
		Age:     time.Duration(now-p.began) * time.Millisecond,
		Idle:    time.Duration(now-p.last) * time.Millisecond,
		Leaving: p.state == leaving,
	}
	if w := p.watch; w != nil {
		for side, v := range w.vitals {
			if v != nil {
				live.RoundTrip[side] = v.trip
			}
		}
	}
	return live
}

// summary tells what the pair was.
func (p *pair) summary(now int64) Summary {
	s := Summary{
		Ender:  p.ender,
		Reason: p.reason,
		Opened: time.Duration(now-p.began) * time.Millisecond,
	}
	for side := range p.ends {
		s.Bytes[side] = p.ends[side].bytes
		s.Frames[side] = p.ends[side].frames
	}
	switch {
	case p.ender != ByHoldfast:
		s.Code = p.ends[p.ender].scan.CloseCode()
	case p.fault != nil:
		s.Code = p.fault.Code
	}
	if s.Code == 0 {
		s.Code = 1006
	}
	return s
}
