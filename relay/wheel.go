//go:build linux && (amd64 || arm64)

package relay

import (
	"math/bits"
	"time"
)

const (
	tickMs = 32
	slots  = 2048 // 65 s a turn; what is due later comes by once a turn
)

// wheel is a hashed timing wheel over the pairs of one loop: arming and
// disarming take a few instructions and no memory but two pointers in the
// pair. A pair is called at its due time or up to a tick later. Times are
// milliseconds on the loop's clock.
type wheel struct {
	slots  [slots]*pair
	filled [slots / 64]uint64 // a bit for each slot that is not empty
	at     int64              // the tick that was last looked at
	armed  int
}

// arm puts p, which is not in the wheel, into it, to be called at p.due.
func (w *wheel) arm(p *pair) {
	tick := (p.due + tickMs - 1) / tickMs
	tick = min(max(tick, w.at+1), w.at+slots-1)
	i := tick % slots
	p.next, p.prev, p.wheel = w.slots[i], nil, int16(i)
	if p.next != nil {
		p.next.prev = p
	}
	w.slots[i] = p
	w.filled[i/64] |= 1 << (i % 64)
	w.armed++
}

// disarm takes p out of the wheel if it is in it.
func (w *wheel) disarm(p *pair) {
	i := p.wheel
	if i < 0 {
		return
	}
	if p.next != nil {
		p.next.prev = p.prev
	}
	if p.prev != nil {
		p.prev.next = p.next
	} else if w.slots[i] = p.next; p.next == nil {
		w.filled[i/64] &^= 1 << (i % 64)
	}
	p.next, p.prev, p.wheel = nil, nil, -1
	w.armed--
}

// advance takes every pair that is due at now out of the wheel and calls f
// with it.
func (w *wheel) advance(now int64, f func(*pair)) {
	to := now / tickMs
	if w.armed == 0 || to-w.at > slots {
		// Nothing to meet on the way, or a whole turn: every slot once.
		w.at = max(w.at, to-slots)
	}
	for w.at < to {
		w.at++
		i := w.at % slots
		for p := w.slots[i]; p != nil; p = w.slots[i] {
			w.disarm(p)
			if p.due > now {
				w.arm(p) // it is due in a later turn
			} else {
				f(p)
			}
		}
	}
}

// wait returns the time from now until the wheel wants advance to be called,
// -1 if it holds nothing.
func (w *wheel) wait(now int64) time.Duration {
	if w.armed == 0 {
		return -1
	}
	for tick := w.at + 1; tick < w.at+slots; {
		i := tick % slots
		if word := w.filled[i/64] >> (i % 64); word != 0 {
			tick += int64(bits.TrailingZeros64(word))
			return time.Duration(max(0, tick*tickMs-now)) * time.Millisecond
		}
		tick += 64 - i%64
	}
	return 0
}
