// Package drain empties backends politely: the clients of their sockets read a
// Close, one after the other, at a pace that those who take them in can bear.
//
// A drain is ordered with [Drainer.Start] for a backend that gets no new
// sockets any more, which is the caller's affair. From then on its sockets are
// closed in a random order at the pool's closes_per_second, until the deadline;
// then those that are left, all together. [Drainer.Stop] ends it; sockets that
// were told to end by then do.
//
// All drains of a pool share one pace, since the same neighbours take in the
// clients of each: first comes the backend whose deadline is the earliest, of
// several the one with the most sockets left. The pace (pace.go) is pure and
// strict: no second, wherever it begins, has more closes than closes_per_second.
//
// A drain belongs to a backend's identity and so outlives reloads, and this
// process too if another one takes its place: carry.go. The package has one
// goroutine for each pool that has a drain under way, and none otherwise.
package drain

import (
	"sync"
	"time"

	"github.com/holdfast-lb/holdfast/balancer"
	"github.com/holdfast-lb/holdfast/config"
)

// Reason is what clients read in the Close.
const Reason = "server is draining, please reconnect"

// Grace is how long a client has to answer its Close before its connection is
// closed under it.
const Grace = 5 * time.Second

// Options are what a Drainer works with. The functions may be called from
// several goroutines, and must not call the Drainer.
type Options struct {
	// Sockets lists a backend's open sockets that nobody has told to end yet.
	Sockets func(balancer.Key) []uint64
	// Left is how many sockets a backend has, those included that are not open
	// yet and those that are on their way out.
	Left func(balancer.Key) int
	// Close has the client of a socket read a Close with code and [Reason], and
	// closes its connection after [Grace] at the latest. It does not wait. It is
	// false if the socket is not open any more.
	Close func(id uint64, code uint16) bool
	// Told hears of every Close that was sent; forced: at the deadline. May be
	// nil.
	Told func(key balancer.Key, forced bool)
	// Ended hears that a backend is empty. It may call the Drainer. May be nil.
	Ended func(Progress)
}

// Progress is how far a drain has come.
type Progress struct {
	Key      balancer.Key
	Name     string // that the backend had when the drain was ordered
	Began    time.Time
	Deadline time.Time
	Sockets  int // that it had in the beginning
	Left     int // that it has
	Closed   int // that were told to end before the deadline
	Forced   int // that were told at the deadline or after
	// Expected is when the last one will have been told, at the present pace;
	// or, once Ended, when the backend was empty.
	Expected time.Time
	Ended    bool
}

// Drainer runs drains. Its methods may be called from any goroutine.
type Drainer struct {
	opts Options

	mu     sync.Mutex // guards what follows; Left is called under it
	jobs   map[balancer.Key]*job
	lines  map[string]*line // by pool; those with a drain under way
	closed bool
	wg     sync.WaitGroup
}

// New returns a Drainer without drains. Close ends it.
func New(o Options) *Drainer {
	if o.Told == nil {
		o.Told = func(balancer.Key, bool) {}
	}
	if o.Ended == nil {
		o.Ended = func(Progress) {}
	}
	return &Drainer{opts: o, jobs: map[balancer.Key]*job{}, lines: map[string]*line{}}
}

// Start drains a backend by its pool's policy, within deadline if that is more
// than 0. A drain that is under way gets the new deadline and goes on. The name
// is for those who read of its progress.
func (d *Drainer) Start(key balancer.Key, name string, policy config.Drain, deadline time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return
	}
	if deadline <= 0 {
		deadline = policy.Deadline
	}
	now := time.Now()
	j := d.jobs[key]
	if j == nil || j.ended {
		j = &job{key: key, name: name, began: now, sockets: d.opts.Left(key)}
		d.jobs[key] = j
	}
	j.deadline = now.Add(deadline)
	d.draw(key.Pool, policy)
}

// draw has the pool's line, which it makes if there is none, look at the drains by
// that policy. The caller holds mu.
func (d *Drainer) draw(pool string, policy config.Drain) {
	l := d.lines[pool]
	if l == nil {
		l = &line{d: d, pool: pool, wake: make(chan struct{}, 1)}
		d.lines[pool] = l
		d.wg.Go(l.run)
	}
	l.setPolicy(policy)
	l.poke()
}

// Stop ends a backend's drain and forgets it.
func (d *Drainer) Stop(key balancer.Key) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.jobs, key)
	if l := d.lines[key.Pool]; l != nil {
		l.poke()
	}
}

// SetPolicy has a pool's drains go on by another pace and code. Deadlines
// stay as they were ordered.
func (d *Drainer) SetPolicy(pool string, policy config.Drain) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if l := d.lines[pool]; l != nil {
		l.setPolicy(policy)
		l.poke()
	}
}

// Of tells how far a backend's drain has come, if there is one. A drain that
// has ended is known until it is stopped.
func (d *Drainer) Of(key balancer.Key) (Progress, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	j := d.jobs[key]
	if j == nil {
		return Progress{}, false
	}
	return d.progress(j, time.Now()), true
}

// Keys are the backends that have a drain, ended or not.
func (d *Drainer) Keys() []balancer.Key {
	d.mu.Lock()
	defer d.mu.Unlock()
	keys := make([]balancer.Key, 0, len(d.jobs))
	for key := range d.jobs {
		keys = append(keys, key)
	}
	return keys
}

// Close ends all drains and returns when nothing of them runs.
func (d *Drainer) Close() {
	d.mu.Lock()
	d.closed = true
	clear(d.jobs)
	for _, l := range d.lines {
		l.poke()
	}
	d.mu.Unlock()
	d.wg.Wait()
}

// progress needs d.mu.
func (d *Drainer) progress(j *job, now time.Time) Progress {
	p := Progress{
		Key: j.key, Name: j.name, Began: j.began, Deadline: j.deadline,
		Sockets: j.sockets, Closed: j.closed, Forced: j.forced,
		Expected: j.end, Ended: j.ended,
	}
	if j.ended {
		return p
	}
	p.Left = d.opts.Left(j.key)
	p.Expected = j.deadline
	if l := d.lines[j.key.Pool]; l != nil && l.pace.perSecond > 0 {
		ahead := 0 // of all that share the pace and come first
		for _, other := range d.jobs {
			if !other.ended && other.key.Pool == j.key.Pool && !j.deadline.Before(other.deadline) {
				ahead += other.untold()
			}
		}
		if at := now.Add(l.pace.lasts(ahead)); at.Before(j.deadline) {
			p.Expected = at
		}
	}
	if p.Expected.Before(now) {
		p.Expected = now
	}
	return p
}
