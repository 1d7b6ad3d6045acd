package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-lb/holdfast/bench/internal/epoll"
	"github.com/holdfast-lb/holdfast/bench/internal/wire"
)

const (
	readBytes  = 256 << 10
	longestNap = 20 * time.Millisecond // how soon a cancelled context is seen
	dialing    = 64                    // sockets that a worker opens at the same time
)

// driver is a scenario's half of a worker: what follows when something has
// happened to a socket. Its methods run on the worker's thread.
type driver interface {
	opened(s *socket)           // the handshake is done
	echoed(s *socket)           // one whole echo has come
	ended(s *socket, why error) // the descriptor is closed; why is nil after a farewell
}

// scenario is a driver with a course of its own.
type scenario interface {
	driver
	// measure runs warm-up, the measured time and the drain after it.
	measure(ctx context.Context) error
}

// worker is one loop with its share of the sockets. One goroutine uses it,
// within epoll.Thread.
type worker struct {
	plan    *Plan
	poller  *epoll.Poller
	base    time.Time // zero of the worker's time, common to all workers
	driver  driver
	sockets []*socket // this worker's share
	byFD    []*socket
	buf     []byte

	hello, message, echo, bye, byeEcho []byte

	generation int32
	source     int
	greeted    bool  // drain: backends speak first
	busy       int   // sockets with an operation under way
	draining   bool  // no new operations
	from       int64 // measured time, in the worker's time: [from, until)
	until      int64
	lastTurn   int64 // when the loop last came round
	stall      int64 // longest time between two turns while measuring

	latency   Histogram
	errs      uint64
	firstErr  error
	openSpent time.Duration
	lastBack  int64 // storm: when a socket was last back
}

func newWorker(p *Plan, base time.Time, sockets []*socket) (*worker, error) {
	poller, err := epoll.New()
	if err != nil {
		return nil, err
	}
	w := &worker{
		plan: p, poller: poller, base: base, sockets: sockets, buf: make([]byte, readBytes),
		greeted: p.Scenario == Draining,
		hello:   wire.Handshake(p.Targets[0].String(), p.Path), source: sockets[0].index,
	}
	w.message, w.echo = wire.Message(p.Size)
	w.bye, w.byeEcho = wire.Farewell()
	return w, nil
}

// close closes all that the worker has open.
func (w *worker) close() {
	for _, s := range w.sockets {
		w.release(s)
	}
	_ = w.poller.Close()
}

// now is the worker's time in nanoseconds.
func (w *worker) now() int64 { return int64(time.Since(w.base)) }

// fail counts an error of the measurement.
func (w *worker) fail(err error) {
	w.errs++
	if w.firstErr == nil {
		w.firstErr = err
	}
}

// record counts an operation that ended now, if now is measured time.
func (w *worker) record(begun, now int64) {
	if now >= w.from && now < w.until {
		w.latency.Record(time.Duration(now - begun))
	}
}

// turn waits until something happens, the worker's time reaches until, or a
// short while has passed, and lets the driver handle it.
func (w *worker) turn(ctx context.Context, until int64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	now := w.now()
	w.stall = max(w.stall, now-w.lastTurn)
	w.lastTurn = now
	events, err := w.poller.Wait(min(time.Duration(until-now), longestNap))
	if err != nil {
		return err
	}
	for i := range events {
		ev := &events[i]
		s := w.byFD[ev.Fd]
		if s == nil || s.generation != ev.Pad {
			continue
		}
		if ev.Events&(epoll.Out|epoll.Hangup) != 0 && len(s.unsent) > 0 {
			w.flush(s)
		}
		if ev.Events&(epoll.In|epoll.Hangup) != 0 && s.state != ended && s.generation == ev.Pad {
			w.read(s, ev.Events&epoll.Hangup != 0)
		}
	}
	return nil
}

// runTo turns until the worker's time is until.
func (w *worker) runTo(ctx context.Context, until int64) error {
	for w.now() < until {
		if err := w.turn(ctx, until); err != nil {
			return err
		}
	}
	return nil
}

// drain lets operations under way end, for at most the plan's grace, and
// counts those that do not as errors.
func (w *worker) drain(ctx context.Context) error {
	w.draining = true
	until := w.now() + int64(w.plan.Grace)
	for w.busy > 0 && w.now() < until {
		if err := w.turn(ctx, until); err != nil {
			return err
		}
	}
	for range w.busy {
		w.fail(fmt.Errorf("wait for answer: none within %s", w.plan.Grace))
	}
	return nil
}

// match compares received bytes with the frame that must come.
func (w *worker) match(s *socket, b []byte) {
	for len(b) > 0 {
		if s.state == greeting {
			b = w.greet(s, b)
			continue
		}
		if w.greeted && s.state == open && s.got == 0 && (len(s.answer) > 0 || b[0] == wire.FinClose) {
			w.part(s, b)
			return
		}
		if w.greeted && s.state == closed {
			return
		}
		want := w.echo
		switch s.state {
		case closing:
			want = w.byeEcho
		case closed:
			w.end(s, fmt.Errorf("read from socket %d: %d bytes after the Close frame", s.index, len(b)))
			return
		}
		n := min(len(b), len(want)-s.got)
		if !bytes.Equal(b[:n], want[s.got:s.got+n]) {
			w.end(s, fmt.Errorf("read from socket %d: bytes differ from those sent (state %d, offset %d)", s.index, s.state, s.got))
			return
		}
		b = b[n:]
		if s.got += n; s.got < len(want) {
			return
		}
		s.got = 0
		if s.state == closing {
			s.state = closed
			continue
		}
		generation := s.generation
		w.driver.echoed(s)
		if s.generation != generation || s.state == ended {
			return
		}
	}
}

// openAll opens the worker's sockets, a few at a time, and has one message
// echoed on each, so that what is measured later is known to work. A socket
// that fails is an error of the measurement and stays closed.
func (w *worker) openAll(ctx context.Context) error {
	o := &opener{w: w}
	w.driver = o
	begun := w.now()
	until := begun + int64(w.plan.Grace)
	for o.done < len(w.sockets) {
		for o.dialed < len(w.sockets) && o.dialed-o.done < dialing {
			s := w.sockets[o.dialed]
			o.dialed++
			if err := w.dial(s); err != nil {
				return err
			}
		}
		if err := w.turn(ctx, until); err != nil {
			return err
		}
		if w.now() >= until {
			return errors.Join(fmt.Errorf("open sockets: %d of %d open after %s", o.done, len(w.sockets), w.plan.Grace), w.firstErr)
		}
	}
	w.openSpent = time.Duration(w.now() - begun)
	return nil
}

// opener is the driver of openAll.
type opener struct {
	w            *worker
	dialed, done int
}

func (o *opener) opened(s *socket) {
	if o.w.plan.Scenario == Push {
		o.done++ // what it sent would reach those that are still opening
		return
	}
	o.w.send(s)
}
func (o *opener) echoed(*socket) { o.done++ }
func (o *opener) ended(_ *socket, why error) {
	o.done++
	o.w.fail(why)
}
