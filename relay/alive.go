//go:build linux && (amd64 || arm64)

package relay

import (
	"time"

	"github.com/holdfast-lb/holdfast/internal/sys"
)

// watch is what a pair has if its frames are judged or its sides are pinged.
type watch struct {
	sieves [2]sieve  // by the side that sends
	vitals [2]*vital // nil: that side is sent no Pings
	every  int64     // milliseconds of silence before a Ping; 0: none
	excess *excess   // nil: the client was never above its rate
}

// excess is what a client has sent above its rate, and nobody has looked at.
type excess struct {
	rest  []byte
	until int64 // when somebody may, milliseconds on the loop's clock
}

// vital is what is known of the life of one side. Times are milliseconds on
// the loop's clock.
type vital struct {
	heard  int64  // a byte last came
	next   int64  // when to look at it again; 0: never
	sent   int64  // the last Ping, nanoseconds on that clock; 0: it is answered
	acked  uint64 // bytes that it had acknowledged when last looked at
	trip   time.Duration
	asked  uint8 // Pings since heard
	number uint8 // of the last one
	wanted bool  // a Ping waits for the end of a frame
	behind bool  // there were bytes that it had not acknowledged when last looked at
}

// newWatch returns the watch of a call, nil if it needs none.
func newWatch(c *Call) *watch {
	if c.Guard == nil && c.Ping <= 0 {
		return nil
	}
	w := &watch{sieves: newSieves(c.Guard)}
	if c.Ping > 0 {
		w.every = max(1, c.Ping.Milliseconds())
		w.sieves[Client].pings, w.vitals[Client] = newPings(), new(vital)
		if c.PingBackend {
			w.sieves[Backend].pings, w.vitals[Backend] = newPings(), new(vital)
		}
	}
	return w
}

// begin starts the time, at the 101.
func (w *watch) begin(head []byte, now int64) {
	bits := negotiated(head)
	for side, v := range w.vitals {
		w.sieves[side].rsv = bits
		if v != nil {
			v.heard, v.next = now, now+w.every
		}
	}
}

// heard takes note that a side has sent something, and tells whether that
// counts against the idle timeout.
func (w *watch) heard(from int, now int64) bool {
	if v := w.vitals[from]; v != nil {
		v.heard = now
	}
	return w.counts(from)
}

// counts tells whether what a side has sent since it was last asked counts
// against the idle timeout.
func (w *watch) counts(from int) bool {
	if w.every == 0 {
		return true
	}
	data := w.sieves[from].data
	w.sieves[from].data = false
	return data
}

// waits tells whether the client was above its rate, and something that it has
// sent is not looked at yet.
func (w *watch) waits() bool { return w.excess != nil && len(w.excess.rest) > 0 }

// held tells whether nobody may look at that yet.
func (w *watch) held(now int64) bool { return w.waits() && w.excess.until > now }

// tend looks after the sides of an open pair that are due.
func (l *loop) tend(p *pair) {
	w := p.watch
	for side, v := range w.vitals {
		if v != nil && v.next > 0 && v.next <= l.now && p.state == open {
			l.feel(p, side)
		}
	}
	if w.waits() && !w.held(l.now) {
		l.again(p)
	}
}

// feel looks after one side that may be silent. The first Ping comes when it
// has been silent for an interval, and it is given up before a second one is
// over, so that whoever vanished is missed within two. A side that is not read
// now, since the other one takes nothing or it is above its rate, has said
// something that nobody knows, an answer maybe: it is given up only if its host
// acknowledges nothing either.
func (l *loop) feel(p *pair, side int) {
	w, e := p.watch, &p.ends[side]
	v := w.vitals[side]
	if v.heard+w.every > l.now {
		v.asked, v.wanted, v.next = 0, false, v.heard+w.every
		return
	}
	if e.eof || e.shut {
		v.next = 0 // it will not answer; silence has another limit then
		return
	}
	v.next = l.now + max(1, w.every*7/16)
	acked, unsent := sys.Acked(int(e.fd)), sys.Unsent(int(e.fd)) > 0
	moves, behind := acked != v.acked, v.behind
	v.acked, v.behind = acked, unsent
	stuck := unsent && behind && !moves
	unread := e.readable || side == Client && w.waits()
	switch {
	case v.asked < 2:
		v.asked++
		if !unread {
			l.ping(p, side)
		} else if !unsent { // otherwise its host has something to acknowledge
			l.ping(p, side)
			v.sent = 0 // the answer waits here: it tells no round-trip time
		}
	case moves && (unsent || behind):
		// It is still taking what was sent before the Ping, or was a moment ago.
	case v.wanted && !stuck:
		// A frame in the way keeps the Ping from it.
	case unread && !(stuck && sys.Deaf(int(e.fd))):
		v.asked, v.heard, v.next = 0, l.now, l.now+w.every
	default:
		l.sever(p, faultSilent[side])
		if unsent {
			l.lose(e) // nobody is there to acknowledge a FIN
		}
	}
}

// ping sends a Ping to a side, or has pump do it at the end of the frame that
// is in the way. Behind a Close, and in what a fault has cut, nothing is said.
func (l *loop) ping(p *pair, side int) {
	v, e, src := p.watch.vitals[side], &p.ends[side], &p.ends[1-side]
	late := v.wanted
	v.wanted = false
	switch {
	case p.state != open || e.eof || e.shut || src.scan.Closed():
		return
	case !src.scan.Boundary():
		v.wanted = true
		return
	}
	if late { // it has had no time to answer yet
		v.asked, v.next = 1, l.now+max(1, p.watch.every*7/16)
	}
	v.number++
	v.sent = int64(time.Since(l.began))
	l.say(p, side, appendPing(l.out[:0], side, p.watch.sieves[side].pings|uint64(v.number)))
}

// remind sends a side the Ping that has waited for the end of a frame, if that
// has come.
func (l *loop) remind(p *pair, side int) {
	if v := p.watch.vitals[side]; v != nil && v.wanted {
		l.ping(p, side)
	}
}

// ponged takes note that a side has answered the Ping of that number.
func (l *loop) ponged(p *pair, side int, number uint8) {
	v := p.watch.vitals[side]
	if number != v.number || v.sent == 0 {
		return // late, or once more
	}
	v.trip = time.Duration(int64(time.Since(l.began)) - v.sent)
	v.sent = 0
	p.owner.RoundTrip(side, v.trip)
}

// resume goes on with what the client had sent above its rate, and is false if
// the client is not to be read now.
func (l *loop) resume(p *pair) bool {
	w := p.watch
	if !w.waits() {
		return true
	}
	if w.held(l.now) {
		l.sooner(p, w.excess.until)
		return false
	}
	rest := w.excess.rest
	w.excess.rest = nil
	b, f := l.follow(p, Client, rest)
	if len(w.excess.rest) < len(rest) && w.counts(Client) {
		p.last = l.now
	}
	if len(b) > 0 && !p.ends[Backend].gone {
		l.deliver(p, Backend, b)
	}
	l.recycle(rest)
	if f != nil {
		l.sever(p, f)
		return false
	}
	l.remind(p, Backend)
	return !w.waits() && len(p.ends[Backend].pend) == 0
}

// sift passes what a side has sent through its sieve.
func (l *loop) sift(p *pair, from int, b []byte, t *Tally) ([]byte, *Fault) {
	w := p.watch
	v := &w.sieves[from]
	r := v.sift(&p.ends[from].scan, b, l.out[:0], t, l.now*int64(time.Millisecond))
	if r.built {
		l.out = r.pass[:0]
	}
	if v.answered {
		v.answered = false
		l.ponged(p, from, v.answer)
	}
	if r.used < len(b) {
		if w.excess == nil {
			w.excess = new(excess)
		}
		x := w.excess
		x.rest = append(l.spare(), b[r.used:]...)
		x.until = l.now + max(1, (r.wait+int64(time.Millisecond)-1)/int64(time.Millisecond))
		l.sooner(p, x.until)
		if v := w.vitals[from]; v != nil {
			v.sent = 0 // an answer may wait here
		}
	}
	if to := &p.ends[1-from]; r.fault != nil && !r.clean {
		to.telling, to.told = true, true // in the middle of a frame nothing can be said
	}
	return r.pass, r.fault
}
