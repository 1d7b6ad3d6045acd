//go:build linux && (amd64 || arm64)

package relay

import (
	"time"

	"github.com/holdfast-lb/holdfast/internal/sys"
)

const (
	// handedAtOnce is how many pairs rest at a time: their descriptors go in
	// one message, which takes 253 of them (SCM_MAX_FD).
	handedAtOnce = 100
	// slotsALook is how much of the table is looked at in one turn of the loop.
	slotsALook = chunkSize
)

// handOver is Relay.HandOver for the pairs of this loop.
func (l *loop) handOver(sum *Handover, give func([]Handed) ([]bool, error), gone func(Owner)) error {
	for slot, more := uint32(0), true; more; {
		var batch []*pair
		var handed []Handed
		if !l.ask(func(l *loop) { slot, more = l.rest(slot, sum, &batch, &handed) }) {
			return ErrStopping
		}
		if len(batch) == 0 {
			continue
		}
		refused, err := give(handed)
		if !l.ask(func(l *loop) {
			for i, p := range batch {
				switch {
				case p.state != resting: // cut meanwhile
					handed[i].Owner = nil
				case err == nil && (i >= len(refused) || !refused[i]):
					l.forget(p)
				default:
					sum.Refused++
					handed[i].Owner = nil
					l.install(p)
				}
			}
		}) {
			return ErrStopping
		}
		for _, h := range handed {
			if h.Owner != nil {
				sum.Handed++
				gone(h.Owner)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// rest looks at the table from slot on and lays pairs to rest that can be handed
// over. It returns the slot to go on with, and whether there may be more.
func (l *loop) rest(slot uint32, sum *Handover, batch *[]*pair, handed *[]Handed) (uint32, bool) {
	for end := slot + slotsALook; slot < end; slot++ {
		if slot >= chunkSize*maxChunks || l.table.chunks[slot/chunkSize].Load() == nil {
			return slot, false
		}
		if len(*batch) == handedAtOnce {
			break
		}
		p := l.table.get(slot)
		if p == nil || p.state == dialing || p.state == resting {
			continue
		}
		switch c := &p.ends[Client]; {
		case !p.keeps():
			sum.Fixed++
		case p.watch != nil && !p.watch.rests(p):
			sum.Busy++
		default:
			l.poll.Remove(int(c.fd))
			l.poll.Remove(int(p.ends[Backend].fd))
			l.wheel.disarm(p)
			p.state = resting
			*batch = append(*batch, p)
			*handed = append(*handed, Handed{Carried: p.carried(l.now), Owner: p.owner, Client: int(c.fd), Backend: int(p.ends[Backend].fd)})
		}
	}
	return slot, true
}

// keeps tells whether a pair is one that can be handed over: open, in both
// directions, and without keys that only this process has.
func (p *pair) keeps() bool {
	if p.state != open || !p.adopted || p.dying {
		return false
	}
	for side := range p.ends {
		if e := &p.ends[side]; e.tls != nil || e.hup || e.eof || e.shut || e.gone || e.telling || e.scan.close != 0 {
			return false
		}
	}
	return true
}

// rests tells whether nothing is under way that only these sieves know.
func (w *watch) rests(p *pair) bool {
	for side := range w.sieves {
		if v := &w.sieves[side]; !p.ends[side].scan.Boundary() || v.have != 0 || v.inside || v.stopped {
			return false
		}
	}
	return !w.waits()
}

// carried is what is known of a pair that rests.
func (p *pair) carried(now int64) Carried {
	s := Carried{
		ID:   p.id,
		Age:  time.Duration(now-p.began) * time.Millisecond,
		Idle: time.Duration(now-p.last) * time.Millisecond,
	}
	for side := range p.ends {
		e := &p.ends[side]
		s.Sides[side] = CarriedSide{
			Bytes: e.bytes, Frames: e.frames, Pending: e.pend,
			Left: e.scan.left, Head: append([]byte(nil), e.scan.head[:e.scan.have]...),
		}
	}
	w := p.watch
	if w == nil {
		return s
	}
	v := &w.sieves[Client]
	s.Watched, s.Guarded, s.Bits = true, v.guard != nil, v.rsv
	s.Messages, s.Wire = v.messages.debt(now), v.wire.debt(now)
	for side := range w.vitals {
		if v := w.vitals[side]; v != nil {
			s.Sides[side].Pings, s.Sides[side].Ping = w.sieves[side].pings, v.number
			if v.sent != 0 {
				s.Sides[side].Asked = max(1, time.Duration(now*int64(time.Millisecond)-v.sent))
			}
		}
	}
	return s
}

// debt is the time after which a meter is empty.
func (m meter) debt(now int64) time.Duration {
	return max(0, time.Duration(int64(m)-now*int64(time.Millisecond)))
}

// forget lets go of a pair that another process has now: closing a descriptor
// that is not the last one of its socket says nothing to anybody.
func (l *loop) forget(p *pair) {
	p.state = dead
	l.table.drop(p)
	for side := range p.ends {
		sys.Close(int(p.ends[side].fd))
		p.ends[side].pend = nil
	}
	p.watch = nil
	l.pairs.Add(-1)
}

// receive makes a pair of two sockets that are open already.
func (l *loop) receive(c *Call, s *Carried, backend int) error {
	call := *c
	if !s.Watched {
		call.Ping = 0
	}
	if !s.Guarded {
		call.Guard = nil
	}
	now := l.clock()
	p := &pair{
		id: s.ID, owner: c.Owner, wheel: -1, state: resting,
		began: now - s.Age.Milliseconds(), last: now - s.Idle.Milliseconds(),
		idle: c.Idle.Milliseconds(), watch: newWatch(&call),
	}
	if c.Idle > 0 {
		p.idle = max(1, p.idle)
	}
	p.ends[Client].fd, p.ends[Backend].fd = int32(c.Client), int32(backend) // #nosec G115 -- descriptors are small
	for side := range s.Sides {
		from, e := &s.Sides[side], &p.ends[side]
		e.bytes, e.frames, e.scan.left = from.Bytes, from.Frames, from.Left
		e.scan.have = uint8(copy(e.scan.head[:], from.Head)) // #nosec G115 -- at most 14
		if len(from.Pending) > 0 {
			e.pend = append([]byte(nil), from.Pending...)
		}
	}
	if p.watch != nil {
		p.watch.continues(s, now)
	}
	// Counted before closing is looked at, so that a loop never ends between.
	l.pairs.Add(1)
	if l.closing.Load() {
		l.pairs.Add(-1)
		return ErrStopping
	}
	if err := l.table.put(p); err != nil {
		l.pairs.Add(-1)
		l.poll.Wake() // it may be waiting for the last of them
		return err
	}
	l.present(p)
	return nil
}

// continues goes on where the watch of another process has ended.
func (w *watch) continues(s *Carried, now int64) {
	for side, v := range w.vitals {
		w.sieves[side].rsv = s.Bits
		if v == nil {
			continue
		}
		if from := &s.Sides[side]; from.Pings != 0 {
			w.sieves[side].pings, v.number = from.Pings, from.Ping
			if from.Asked > 0 {
				v.sent = now*int64(time.Millisecond) - int64(from.Asked)
			}
		}
		v.heard, v.next = now, now+w.every
	}
	v := &w.sieves[Client]
	v.messages = meter(now*int64(time.Millisecond) + int64(s.Messages))
	v.wire = meter(now*int64(time.Millisecond) + int64(s.Wire))
}

// install has the loop go on with a pair that rests, be it that nobody took it
// or that another process has handed it over.
func (l *loop) install(p *pair) {
	p.state, p.adopted = open, true
	l.table.name(p)
	err := l.poll.Add(int(p.ends[Backend].fd), p.slot<<1|Backend, p.gen)
	if err == nil {
		err = l.poll.Add(int(p.ends[Client].fd), p.slot<<1|Client, p.gen)
	}
	if err != nil {
		p.note(ByHoldfast, err.Error())
		l.end(p, neither)
		return
	}
	if due := p.callAt(); due != 0 {
		l.rearm(p, max(1, due)) // it may have been silent for longer than the loop exists
	}
	if f := p.fault; f != nil { // ordered while it rested
		due := p.deadline
		p.fault, p.deadline = nil, 0
		l.leave(p, f, due)
	}
	if l.bye != nil {
		l.leave(p, &l.bye.Fault, l.at(l.bye.at))
	}
}
