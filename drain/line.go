package drain

import (
	"math/rand/v2"
	"time"

	"github.com/holdfast-lb/holdfast/balancer"
	"github.com/holdfast-lb/holdfast/config"
)

// look is how often a line looks whether a backend is empty, and for sockets
// that have opened since it listed them.
const look = 250 * time.Millisecond

// job is the drain of one backend. Drainer.mu guards it.
type job struct {
	key      balancer.Key
	name     string
	began    time.Time
	deadline time.Time
	end      time.Time // when it was empty
	ended    bool

	sockets, closed, forced int

	waiting []uint64  // to be told, in this order
	listed  time.Time // when waiting was filled
}

// untold is about how many sockets have yet to be told.
func (j *job) untold() int {
	if j.listed.IsZero() {
		return max(0, j.sockets-j.closed-j.forced)
	}
	return len(j.waiting)
}

// line closes the sockets of one pool's drains, on one goroutine.
type line struct {
	d    *Drainer
	pool string
	wake chan struct{} // room for one

	// Guarded by Drainer.mu.
	pace pace
	code uint16
}

// setPolicy needs Drainer.mu.
func (l *line) setPolicy(c config.Drain) {
	l.pace.set(c.ClosesPerSecond)
	l.code = uint16(c.CloseCode) // #nosec G115 -- validated: 1000 to 4999
}

// poke has the line look at once.
func (l *line) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// run works until no drain of the pool is under way.
func (l *line) run() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-l.wake:
		case <-timer.C:
		}
		next, more := l.step(time.Now())
		if !more {
			return
		}
		timer.Reset(time.Until(next))
	}
}

// step does what is due now and says when to look again. It is false, and the
// line is forgotten, if there is nothing more to do.
func (l *line) step(now time.Time) (next time.Time, more bool) {
	d := l.d
	for _, j := range l.active() {
		// Not under the lock: this looks at every socket there is.
		if l.wantsList(j, now) {
			l.list(j, d.opts.Sockets(j.key), now)
		}
	}

	d.mu.Lock()
	var orders []order
	var ended []Progress
	next = now.Add(look)
	for _, j := range d.jobs {
		if j.key.Pool != l.pool || j.ended {
			continue
		}
		if d.opts.Left(j.key) == 0 {
			j.ended, j.end, j.waiting = true, now, nil
			ended = append(ended, d.progress(j, now))
			continue
		}
		more = true
		if now.Before(j.deadline) {
			next = earlier(next, j.deadline)
			continue
		}
		for _, id := range j.waiting {
			orders = append(orders, order{j, id, true})
		}
		j.waiting = nil
	}
	if j := l.first(); j != nil {
		for range l.pace.take(now, rand.Float64()) {
			last := len(j.waiting) - 1
			orders = append(orders, order{j, j.waiting[last], false})
			if j.waiting = j.waiting[:last]; last > 0 {
				continue
			}
			if j = l.first(); j == nil {
				break
			}
		}
		if l.pace.perSecond > 0 {
			next = earlier(next, l.pace.next)
		}
	}
	code := l.code
	if !more {
		delete(d.lines, l.pool)
	}
	d.mu.Unlock()

	for _, o := range orders {
		if d.opts.Close(o.id, code) {
			l.count(o)
		}
	}
	for _, p := range ended {
		d.opts.Ended(p)
	}
	return next, more
}

// order is one Close to send.
type order struct {
	job    *job
	id     uint64
	forced bool
}

// count notes an order that was obeyed.
func (l *line) count(o order) {
	l.d.mu.Lock()
	if o.forced {
		o.job.forced++
	} else {
		o.job.closed++
	}
	l.d.mu.Unlock()
	l.d.opts.Told(o.job.key, o.forced)
}

// active are the drains under way.
func (l *line) active() []*job {
	l.d.mu.Lock()
	defer l.d.mu.Unlock()
	var all []*job
	for _, j := range l.d.jobs {
		if j.key.Pool == l.pool && !j.ended {
			all = append(all, j)
		}
	}
	return all
}

// wantsList tells whether j's list is used up and old enough for a new one.
func (l *line) wantsList(j *job, now time.Time) bool {
	l.d.mu.Lock()
	defer l.d.mu.Unlock()
	return len(j.waiting) == 0 && now.Sub(j.listed) >= look
}

// list gives j its sockets, in a random order, so that nobody's place in a
// table decides when they leave.
func (l *line) list(j *job, ids []uint64, now time.Time) {
	rand.Shuffle(len(ids), func(i, k int) { ids[i], ids[k] = ids[k], ids[i] })
	l.d.mu.Lock()
	defer l.d.mu.Unlock()
	j.waiting, j.listed = ids, now
}

// first is the drain whose sockets come next, or nil. It needs Drainer.mu.
func (l *line) first() *job {
	var best *job
	for _, j := range l.d.jobs {
		if j.key.Pool != l.pool || len(j.waiting) == 0 {
			continue
		}
		if best == nil || j.deadline.Before(best.deadline) ||
			j.deadline.Equal(best.deadline) && len(j.waiting) > len(best.waiting) {
			best = j
		}
	}
	return best
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
