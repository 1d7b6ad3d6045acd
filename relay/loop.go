//go:build linux && (amd64 || arm64)

package relay

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-lb/holdfast/internal/sys"
)

const (
	// bufferSize is the most that one read takes, so the most that a pair
	// holds back for a slow peer in one direction.
	bufferSize = 128 << 10
	// turnBytes is what one pair may move in one direction before the other
	// pairs of its loop have their turn: one read, some 0.1 ms.
	turnBytes = bufferSize
	// eventsAtOnce is how many are taken in one wakeup.
	eventsAtOnce = 512
	// keepSpares is how long buffers are kept that no slow peer needs,
	// milliseconds.
	keepSpares = 1000
)

// loop is one event loop: an epoll instance, one goroutine, and the pairs in
// its table. Pairs, wheel, work, the pipe and the buffers belong to who holds mu:
// the goroutine, or one that helps it.
type loop struct {
	poll  *sys.Poller
	table table
	began time.Time

	mu     sync.Mutex // guards what follows, down to bye
	wheel  wheel
	now    int64 // milliseconds since began, read once a wakeup
	events []sys.Event
	over   bool // there will be no other wakeup

	buf  []byte    // what a read reads into
	wire []byte    // what TLS reads from or writes to; nil until there is TLS
	out  []byte    // what is put together to be sent
	pipe *sys.Pipe // empty between two turns
	bulk uint64    // bulkBytes; tests have less
	pool [][]byte  // spare buffers for what a side has not taken
	used int64     // when the pool was last, on the loop's clock
	work []*pair   // pairs whose turn ended before their bytes did
	todo []order   // taken out of the inbox, not done yet
	bye  *farewell // once one was ordered: new pairs are refused

	// What other goroutines want, looked at on a wake-up.
	inbox     inbox
	newcomers atomic.Pointer[pair]
	closing   atomic.Bool
	looked    atomic.Int64 // when there was last nothing left to take, nanoseconds since began
	done      chan struct{}

	// TLS handshakes with backends, each on a goroutine, end with quit.
	quit   context.Context
	hurry  context.CancelFunc
	guests sync.WaitGroup

	_ [64]byte // the counters have cache lines of their own
	counters
}

func newLoop() (*loop, error) {
	l, err := makeLoop()
	if err != nil {
		return nil, err
	}
	go l.run()
	return l, nil
}

// makeLoop returns a loop without its goroutine.
func makeLoop() (*loop, error) {
	poll, err := sys.NewPoller()
	if err != nil {
		return nil, err
	}
	pipe, err := sys.NewPipe(pipeBytes)
	if err != nil {
		poll.Close()
		return nil, err
	}
	l := &loop{
		poll:   poll,
		pipe:   pipe,
		bulk:   bulkBytes,
		began:  time.Now(),
		events: make([]sys.Event, eventsAtOnce),
		buf:    make([]byte, bufferSize, bufferSize+32<<10), // with TLS, a record may have begun before
		done:   make(chan struct{}),
	}
	l.quit, l.hurry = context.WithCancel(context.Background())
	return l, nil
}

func (l *loop) close() {
	first := l.closing.CompareAndSwap(false, true)
	if first {
		l.hurry()
		l.poll.Wake()
	}
	<-l.done
	l.guests.Wait()
	if first {
		l.pipe.Close()
		l.poll.Close() // once nobody waits; Wake knows when it is too late
	}
}

// at returns t on the loop's clock, and now if it has passed.
func (l *loop) at(t time.Time) int64 { return max(l.now, t.Sub(l.began).Milliseconds()) }

func (l *loop) clock() int64 { return time.Since(l.began).Milliseconds() }

// run is the loop's goroutine.
func (l *loop) run() {
	defer close(l.done)
	var now, yielded int64
	var over bool
	// look does what there is to do, and reports whether there may be more.
	look := func(uintptr) (more bool) {
		l.mu.Lock()
		defer l.mu.Unlock()
		n := l.wakeup(l.events)
		over, now = l.over, l.now
		if n > 0 {
			return true
		}
		d := l.patience()
		if d == 0 {
			return true
		}
		l.poll.Due(d)
		return false
	}
	for !over {
		l.poll.Wait(look)
		// A loop that always finds work would hold its processor for the ten
		// milliseconds after which Go takes it away; requests and new sockets
		// are not to wait for that. Each time may wake a thread that looks for
		// work in vain, so it is not done for each wakeup.
		if now > yielded {
			yielded = now
			runtime.Gosched()
		}
	}
}

// wakeup takes as many events as there is room for in events, and returns their
// number. Their pairs have their turns, then as many of those whose turn had ended
// before their bytes did; and then it obeys orders.
func (l *loop) wakeup(events []sys.Event) int {
	if l.over {
		return 0
	}
	n := l.poll.Poll(events)
	age := time.Since(l.began)
	l.now = age.Milliseconds()
	if n < len(events) {
		l.looked.Store(int64(age))
	}
	if len(l.pool) > 0 && l.now-l.used >= keepSpares {
		l.pool = nil // a burst is over
	}
	before := min(len(l.work), len(events))
	for i := range events[:n] {
		l.event(&events[i])
	}
	l.overtime(before)
	l.obey()
	if l.closing.Load() {
		l.table.each(l.cut)
		if l.over = l.load() == 0; l.over {
			return n
		}
	}
	l.wheel.advance(l.now, l.expire)
	return n
}

// patience returns how long the loop may wait for events, negative: for ever.
func (l *loop) patience() time.Duration {
	if l.over || len(l.work)+len(l.todo) > 0 {
		return 0
	}
	d := l.wheel.wait(l.clock())
	if most := keepSpares * time.Millisecond; len(l.pool) > 0 && (d < 0 || d > most) {
		return most
	}
	return d
}

// event turns one readiness report into progress of its pair.
func (l *loop) event(ev *sys.Event) {
	token := ev.Token()
	if token == sys.WakeToken {
		l.poll.Woken()
		l.welcome()
		l.todo = append(l.todo, l.inbox.take()...)
		return
	}
	p := l.table.get(token >> 1)
	if p == nil || p.gen != ev.Generation() {
		return // an event for a pair that ended earlier in this batch
	}
	side, what := int(token&1), ev.What()
	e := &p.ends[side]
	over := what&(sys.PeerShut|sys.Hangup|sys.Fault) != 0
	e.hup = e.hup || over
	e.broken = e.broken || what&sys.Fault != 0
	// With TLS something may come behind the end: a FIN at least.
	e.readable = !e.eof && (e.readable || over || what&sys.Readable != 0)
	e.writable = e.writable || what&(sys.Writable|sys.Hangup|sys.Fault) != 0
	if !p.adopted && (side != Client || !l.adopt(p)) {
		return
	}
	switch p.state {
	case dialing:
		l.dial(p)
	case open, leaving:
		if !p.queued { // otherwise its turn comes after everybody else's
			l.turn(p)
		}
	}
}

// adopt takes a pair over from its opener, which watches the client's socket
// last: once that has reported, the opener touches neither descriptor any
// more, and they may be closed. It is false if the pair ended at once.
func (l *loop) adopt(p *pair) bool {
	p.adopted = true
	l.wheel.arm(p)
	if l.wire == nil && (p.ends[Client].tls != nil || p.ends[Backend].tls != nil) {
		l.wire = make([]byte, bufferSize)
	}
	if l.bye != nil {
		l.fail(p, Failure{Cause: Stopping})
		return false
	}
	return true
}

// overtime gives another turn to the first n pairs that had more to move, which
// are of wakeups before, so that no pair has two turns in one.
func (l *loop) overtime(n int) {
	for _, p := range l.work[:n] {
		p.queued = false
		if p.state == open || p.state == leaving {
			l.turn(p)
		}
	}
	m := copy(l.work, l.work[n:])
	clear(l.work[m:])
	l.work = l.work[:m]
}

// expire is called by the wheel when a pair is due and out of the wheel.
func (l *loop) expire(p *pair) {
	switch p.state {
	case dialing:
		l.late(p)
	case leaving:
		if l.now < p.deadline {
			l.rearm(p, p.deadline)
			l.turn(p) // a client above its rate may go on
			return
		}
		l.cuts.Add(1)
		l.tell(p, Backend)
		l.end(p, neither)
	case open:
		limit := p.limit()
		switch {
		case p.deadline > 0 && l.now >= p.deadline:
			l.end(p, neither)
			return
		case p.halfGone():
			l.await(p, limit)
			return
		case limit == 0 || l.now-p.last < limit:
		case p.ends[Client].eof || p.ends[Backend].eof || p.dying:
			l.end(p, neither)
			return
		default:
			l.leave(p, faultIdle, l.now+lastWords.Milliseconds())
			return
		}
		if p.watch != nil {
			l.tend(p)
		}
		if due := p.callAt(); due > 0 && p.state == open {
			l.rearm(p, due)
		}
	}
}

// rearm sets the time at which the wheel calls p next.
func (l *loop) rearm(p *pair, due int64) {
	l.wheel.disarm(p)
	p.due = due
	l.wheel.arm(p)
}

// sooner has the wheel call p at due, if not before.
func (l *loop) sooner(p *pair, due int64) {
	if p.wheel < 0 || due < p.due {
		l.rearm(p, due)
	}
}

// cut ends a pair at once.
func (l *loop) cut(p *pair) {
	switch {
	case !p.adopted:
		// Its opener still holds the descriptors; it is adopted, and then cut,
		// as soon as the client's socket reports.
	case p.state == dialing:
		l.fail(p, Failure{Cause: Stopping})
	case p.state == open || p.state == leaving || p.state == resting:
		p.note(ByHoldfast, "stopped")
		l.end(p, neither)
	}
}
