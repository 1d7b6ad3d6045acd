package proxy

import (
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-lb/holdfast/balancer"
	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/internal/sys"
	"github.com/holdfast-lb/holdfast/metrics"
)

const (
	// sweep is how often a queue looks for clients that have left.
	sweep = 200 * time.Millisecond
	// fullPause is how often it asks again while every backend is full, since
	// nobody tells it that one has room.
	fullPause = 20 * time.Millisecond
	// maxMisses bounds how many waiters whose own backend has had its
	// handshakes a turn looks at before it leaves the rest for the next.
	maxMisses = 64
)

// queue is where the WebSocket handshakes of one pool wait while its limits do
// not let them begin. Who waits holds a descriptor and what its handshake needs
// later, but no goroutine: one goroutine a queue, which lives while somebody
// waits, gives them their turns.
//
// Players who come back, whose sticky key the pool knows, come before new ones;
// among equals the one who has waited longest. A waiter whose own backend has
// had its handshakes for now lets others pass, to other backends.
//
// A queue belongs to the pool's name and outlives reloads.
type queue struct {
	counts  *metrics.Queue
	size    atomic.Int64
	timeout atomic.Int64 // nanoseconds
	places  atomic.Int64 // taken: by those who wait, and by those on their way here

	mu      sync.Mutex
	waiting [2][]*waiter // guarded by mu: returning, new; in order of arrival
	running bool         // guarded by mu: the goroutine
	closed  bool         // guarded by mu
	wake    chan struct{}
	back    backlog // guarded by mu

	swept time.Time // run's own
}

// The classes of those who wait, first first.
const (
	returning = iota
	newcomers
)

// waiter is one handshake that waits.
type waiter struct {
	s     *socket
	since time.Time
}

func newQueue(counts *metrics.Queue) *queue {
	return &queue{counts: counts, wake: make(chan struct{}, 1)}
}

// configure sets size and timeout for those who come from now on.
func (q *queue) configure(c config.Queue) {
	q.size.Store(int64(c.Size))
	q.timeout.Store(int64(c.Timeout))
}

// reserve takes a place, which add uses up or leave gives back. It is false if
// there is none.
func (q *queue) reserve() bool {
	for {
		n := q.places.Load()
		if n >= q.size.Load() {
			return false
		}
		if q.places.CompareAndSwap(n, n+1) {
			q.counts.Came()
			return true
		}
	}
}

// leave gives a place back.
func (q *queue) leave() {
	q.places.Add(-1)
	q.counts.Gone()
}

// busy tells whether somebody waits, who comes before those that come now.
func (q *queue) busy() bool { return q.places.Load() > 0 }

// add has s wait, which owns its client's descriptor and no lease, on a place
// that was reserved. s belongs to the queue until its turn, and counts among
// what its proxy owes.
func (q *queue) add(s *socket, class int) {
	s.p.owes.Add(1)
	w := &waiter{s: s, since: time.Now()}
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		q.end(w, stopping, metrics.HandshakeNoBackend)
		return
	}
	q.waiting[class] = append(q.waiting[class], w)
	start := !q.running
	q.running = true
	q.mu.Unlock()
	if start {
		s.p.owes.Go(q.run)
		return
	}
	q.poke()
}

// poke has the goroutine look at once.
func (q *queue) poke() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// close turns everybody away who waits or comes.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.poke()
}

// run gives turns while somebody waits.
func (q *queue) run() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-q.wake:
		case <-timer.C:
		}
		pause, more := q.turn(time.Now())
		if !more {
			return
		}
		timer.Reset(pause)
	}
}

// turn lets those go whose time has come, and says when to look again.
func (q *queue) turn(now time.Time) (pause time.Duration, more bool) {
	q.mu.Lock()
	lists, closed := q.waiting, q.closed
	q.waiting = [2][]*waiter{}
	q.mu.Unlock()

	if closed {
		for _, list := range lists {
			for _, w := range list {
				q.end(w, stopping, metrics.HandshakeNoBackend)
			}
		}
		lists = [2][]*waiter{}
	}
	if now.Sub(q.swept) >= sweep {
		q.swept = now
		for class := range lists {
			lists[class] = q.sweep(lists[class])
		}
	}
	pause = sweep
	for class := range lists {
		var wait time.Duration
		lists[class], wait = q.admit(lists[class], now)
		pause = min(pause, wait)
	}

	q.mu.Lock()
	defer q.mu.Unlock()
	for class, rest := range lists {
		// Those who came meanwhile stand behind.
		q.waiting[class] = append(rest, q.waiting[class]...)
		more = more || len(q.waiting[class]) > 0
	}
	q.running = more
	return max(pause, time.Millisecond), more
}

// sweep drops those whose clients have left.
func (q *queue) sweep(list []*waiter) []*waiter {
	if len(list) == 0 {
		return list
	}
	fds := make([]int, len(list))
	for i, w := range list {
		fds[i] = int(w.s.fd)
	}
	sys.HungUp(fds, func(i int) {
		q.end(list[i], clientGone, metrics.HandshakeClientGone)
		list[i] = nil
	})
	return compact(list)
}

// compact drops the empty places.
func compact(list []*waiter) []*waiter {
	rest := list[:0]
	for _, w := range list {
		if w != nil {
			rest = append(rest, w)
		}
	}
	clear(list[len(rest):])
	return rest
}

// admit begins the handshakes of those who get a lease, ends those of whom has
// waited too long, and says in what time another may get one. Who came before a
// reload waits for what was configured then, and does not keep those
// behind it from what there is now; what discovery finds is for all.
func (q *queue) admit(list []*waiter, now time.Time) (rest []*waiter, pause time.Duration) {
	pause = sweep
	timeout := time.Duration(q.timeout.Load())
	misses, shut := 0, (*balancer.Pool)(nil)
	for i, w := range list {
		left := w.since.Add(timeout).Sub(now)
		if left <= 0 {
			list[i] = nil
			q.end(w, queueTimeout, metrics.HandshakeNoBackend)
			continue
		}
		w.s.renew()
		pool := w.s.route.pool
		if pool == shut {
			continue
		}
		pause = min(pause, left)
		c := w.s.call
		lease, err := pool.Pick(&c.query, &c.tried)
		switch {
		case err == nil:
			list[i] = nil
			q.begin(w, lease, now)
		case errors.Is(err, balancer.ErrPaced):
			if misses++; misses >= maxMisses {
				misses, shut = 0, pool
			}
			pause = min(pause, max(time.Millisecond, pool.Wait()))
		default:
			shut = pool
			pause = min(pause, fullPause)
		}
	}
	return compact(list), pause
}

// begin has a waiter's handshake begin.
func (q *queue) begin(w *waiter, lease balancer.Lease, now time.Time) {
	q.leave()
	q.counts.Served(now.Sub(w.since))
	q.mu.Lock()
	q.back.served(now)
	q.mu.Unlock()
	w.s.p.owes.Go(func() {
		w.s.assign(lease)
		w.s.dial()
	})
	w.s.p.owes.Done()
}

// end has a waiter read why it waits no more.
func (q *queue) end(w *waiter, c class, result metrics.HandshakeResult) {
	q.leave()
	switch c {
	case queueTimeout:
		q.counts.TimedOut()
	case clientGone:
		q.counts.Left()
	}
	w.s.p.owes.Go(func() { w.s.giveUp(c, result) })
	w.s.p.owes.Done()
}

// retryAfter is how many seconds a client that is turned away now is asked to
// stay away. rate is how many handshakes a second the pool's limits allow; 0:
// they set no bound. The result is 0 if nothing tells how fast there will be room.
func (q *queue) retryAfter(rate float64) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	if rate == 0 {
		rate = q.back.rate(now)
	}
	if rate == 0 && q.size.Load() == 0 {
		return 0 // nothing is known of the pace
	}
	if rate == 0 { // nobody was served for long
		rate = max(1, float64(q.size.Load())/max(1, time.Duration(q.timeout.Load()).Seconds()))
	}
	return q.back.promise(now, int(q.places.Load()), rate, rand.Float64())
}

// backlog is what a queue knows of its own pace, and to whom it has promised
// what. It has no clock.
type backlog struct {
	promised time.Time // the turn of the last one that was turned away

	// Turns given in a period and in the one before it.
	began    time.Time
	now, was int
}

const (
	period = 5 * time.Second
	// maxPromise is the longest time that a client is asked to stay away.
	maxPromise = 5 * time.Minute
)

// served notes a turn.
func (b *backlog) served(now time.Time) {
	b.advance(now)
	b.now++
}

func (b *backlog) advance(now time.Time) {
	switch age := now.Sub(b.began); {
	case age >= 2*period:
		b.began, b.now, b.was = now, 0, 0
	case age >= period:
		b.began, b.now, b.was = b.began.Add(period), 0, b.now
	}
}

// rate is how many turns a second there were lately.
func (b *backlog) rate(now time.Time) float64 {
	b.advance(now)
	return float64(b.now+b.was) / (period + now.Sub(b.began)).Seconds()
}

// promise gives the next turn behind those who wait and behind those who were
// promised one before, and is the time until then in seconds, rounded up. So
// clients that are turned away come back at the rate at which they can be
// served, however many they are. roll, from 0 up to 1, spreads those of one
// second over two.
func (b *backlog) promise(now time.Time, waiting int, rate, roll float64) int {
	gap := time.Duration(float64(time.Second) / rate)
	earliest := now.Add(time.Duration(waiting) * gap)
	if b.promised.Before(earliest) {
		b.promised = earliest
	}
	b.promised = b.promised.Add(gap)
	wait := b.promised.Sub(now)
	if wait > maxPromise {
		// The list is full: share out the second half of it.
		b.promised = now.Add(maxPromise)
		wait = time.Duration((1 + roll) / 2 * float64(maxPromise))
	}
	return int(wait.Seconds()+roll) + 1
}
