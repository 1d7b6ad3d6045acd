package drain

import "time"

const (
	// batchesPerSecond is about how often a fast pace acts: timers are not
	// exact enough for more.
	batchesPerSecond = 100
	// jitter is how much longer than its least a gap may be, as a share of it.
	// It keeps several balancers that drain at once from falling into step.
	jitter = 0.1
)

// pace says when how many sockets may be closed, so that no second, wherever
// it begins, has more than perSecond. It acts in small batches with a gap of
// at least the same length between any two, and does not make up for time in
// which nobody asked. It has no clock.
type pace struct {
	perSecond int // 0: never
	batch     int
	gap       time.Duration
	next      time.Time // not before
}

// set changes the pace; what has been closed by the old one still counts.
func (p *pace) set(perSecond int) {
	if perSecond == p.perSecond {
		return
	}
	p.perSecond = perSecond
	if perSecond <= 0 {
		p.perSecond = 0
		return
	}
	p.batch = max(1, perSecond/batchesPerSecond)
	batches := time.Duration(perSecond / p.batch)
	p.gap = (time.Second + batches - 1) / batches // rounded up
}

// take is how many may be closed now. roll is a number from 0 up to 1, drawn by
// chance.
func (p *pace) take(now time.Time, roll float64) int {
	if p.perSecond == 0 || now.Before(p.next) {
		return 0
	}
	p.next = now.Add(p.gap + time.Duration(roll*jitter*float64(p.gap)))
	return p.batch
}

// lasts is how long n closes take on the average.
func (p *pace) lasts(n int) time.Duration {
	gaps := float64(n) / float64(p.batch)
	return time.Duration(gaps * (1 + jitter/2) * float64(p.gap))
}
