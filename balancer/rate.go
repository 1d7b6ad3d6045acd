package balancer

import (
	"sync/atomic"
	"time"
)

// rate bounds how many handshakes begin in a second: no second, wherever it
// begins, has more than n. It is the generic cell rate algorithm with room for
// a hundredth of n at once, which is taken off what comes one by one, so that
// the two together stay within n. The zero value sets no bound. What has been
// used of it is one word, a [meter].
type rate struct {
	interval  int64 // nanoseconds between two
	tolerance int64 // how much earlier one may come
}

// meter is the theoretical time of the next handshake, by the registry's clock.
type meter struct{ due atomic.Int64 }

const burstShare = 100 // of a second's handshakes, one in so many may come at once

func newRate(n int) rate {
	if n <= 0 {
		return rate{}
	}
	burst := int64(n / burstShare)
	even := int64(n) - burst
	interval := (int64(time.Second) + even - 1) / even // rounded up
	return rate{interval: interval, tolerance: burst * interval}
}

// perSecond is what the rate allows in the long run; 0: it sets no bound.
func (r rate) perSecond() float64 {
	if r.interval == 0 {
		return 0
	}
	return float64(time.Second) / float64(r.interval)
}

// wait is how long it is until m allows another at the time now; 0: it does.
func (r rate) wait(m *meter, now int64) time.Duration {
	if r.interval == 0 {
		return 0
	}
	return time.Duration(max(0, m.due.Load()-r.tolerance-now))
}

// take counts one, unless m does not allow it.
func (r rate) take(m *meter, now int64) bool {
	if r.interval == 0 {
		return true
	}
	for {
		due := m.due.Load()
		if due-r.tolerance > now {
			return false
		}
		if m.due.CompareAndSwap(due, max(due, now)+r.interval) {
			return true
		}
	}
}

// putBack takes off one that was counted and came to nothing.
func (r rate) putBack(m *meter) { m.due.Add(-r.interval) }
