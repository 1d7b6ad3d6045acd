//go:build linux && (amd64 || arm64)

package relay

import (
	"bytes"
	"errors"
	"slices"

	"github.com/holdfast-lb/holdfast/internal/sys"
	"github.com/holdfast-lb/holdfast/internal/tlsconn"
)

// open begins a pair on the caller's goroutine: it connects, sends what the
// new connection takes of the handshake (on a near network, all of it) and has
// both sockets watched. The loop is not woken for it; the answer does that.
func (l *loop) open(c *Call) error {
	// Counted before closing is looked at, so that a loop never ends between.
	l.dialing.Add(1)
	if l.closing.Load() {
		l.dialing.Add(-1)
		return ErrStopping
	}
	if c.BackendTLS != nil && c.Spare == nil {
		l.guests.Go(func() { l.secure(c) })
		return nil
	}
	if err := l.start(c); err != nil {
		l.dialing.Add(-1)
		l.poll.Wake() // it may be waiting for the last of them
		return err
	}
	return nil
}

func (l *loop) start(c *Call) error {
	var fd int
	p := l.newPair(c, l.clock())
	request := c.Request
	if len(c.Preface) > 0 {
		request = slices.Concat(c.Preface, request)
	}
	if s := c.Spare; s != nil {
		var t *tlsconn.Conn
		if fd, t = s.take(); t != nil {
			p.ends[Backend].tls = t
			request, _ = t.Seal(nil, request) // it fails where the next read does
		}
		p.call.connected = true
	} else {
		var err error
		if fd, err = sys.DialTCP(c.Backend); err != nil {
			return err
		}
	}
	switch n, errno := sys.Send(fd, request); errno {
	case 0:
		p.call.connected = true
		request = request[n:]
	case sys.EAGAIN, sys.EINTR:
	default:
		p.call.refused = errno // the system says it once; the loop passes it on
	}
	p.call.request = request
	return l.watch(p, c, fd)
}

// newPair makes the pair of a call that began at now, without the backend.
func (l *loop) newPair(c *Call, now int64) *pair {
	p := &pair{
		id:    c.ID,
		owner: c.Owner,
		wheel: -1,
		last:  now,
		began: now,
		due:   now + max(1, min(c.Connect, c.Answer).Milliseconds()),
		idle:  c.Idle.Milliseconds(),
		watch: newWatch(c),
		call: &dial{
			early:  c.Early,
			answer: now + max(1, c.Answer.Milliseconds()),
		},
	}
	if c.Idle > 0 {
		p.idle = max(1, p.idle)
	}
	p.ends[Client].fd = int32(c.Client) // #nosec G115 -- descriptors are small
	p.ends[Client].tls = c.ClientTLS
	return p
}

// watch hands a pair to the loop, with the backend's descriptor, which it
// closes if that fails.
func (l *loop) watch(p *pair, c *Call, fd int) error {
	p.ends[Backend].fd = int32(fd) // #nosec G115 -- descriptors are small
	if err := l.table.put(p); err != nil {
		sys.Close(fd)
		return err
	}
	// The client's socket comes last: see adopt.
	err := l.poll.Add(fd, p.slot<<1|Backend, p.gen)
	if err == nil {
		err = l.poll.Add(c.Client, p.slot<<1|Client, p.gen)
	}
	if err != nil {
		l.table.drop(p)
		sys.Close(fd)
		return err
	}
	if c.Used && sys.Unsent(c.Client) > 0 {
		// A socket whose buffer is nearly full is not writable, so that its
		// first event, and with it the deadlines, might never come.
		l.present(p)
	}
	return nil
}

// present has the loop adopt a pair without waiting for an event.
func (l *loop) present(p *pair) {
	for {
		p.after = l.newcomers.Load()
		if l.newcomers.CompareAndSwap(p.after, p) {
			l.poll.Wake()
			return
		}
	}
}

// welcome adopts the pairs that were presented.
func (l *loop) welcome() {
	for p := l.newcomers.Swap(nil); p != nil; {
		next := p.after
		p.after = nil
		switch {
		case p.adopted:
		case p.state == resting:
			l.install(p)
		case p.state == dialing && l.adopt(p):
			l.dial(p)
		}
		p = next
	}
}

// dial brings a pair that is not open yet as far as its sockets allow.
func (l *loop) dial(p *pair) {
	c, b := p.call, &p.ends[Backend]
	if p.ends[Client].hup {
		l.fail(p, Failure{Cause: ClientGone})
		return
	}
	if c.refused != 0 {
		l.fail(p, Failure{Cause: ConnectFailed, Err: c.refused})
		return
	}
	for len(c.request) > 0 && b.writable {
		n, errno := sys.Send(int(b.fd), c.request)
		switch errno {
		case 0:
			c.connected = true
			c.request = c.request[n:]
		case sys.EAGAIN:
			b.writable = false
		case sys.EINTR:
		default:
			l.fail(p, Failure{Cause: c.cause(), Err: errno})
			return
		}
	}
	for b.readable && p.state == dialing {
		n, data, errno := l.recv(p, Backend)
		switch {
		case errno == sys.EAGAIN:
			b.readable = false
		case errno == sys.EINTR:
		case errno != 0:
			l.fail(p, Failure{Cause: c.cause(), Err: b.trouble(errno)})
		case n == 0:
			l.fail(p, Failure{Cause: c.cause(), Err: errors.New("end of stream before an answer")})
		default:
			if n < len(l.buf) && !b.hup {
				b.readable = false
			}
			l.answer(p, data)
		}
	}
}

// cause tells a connection that failed from one that broke.
func (c *dial) cause() Cause {
	if c.connected {
		return BackendEnded
	}
	return ConnectFailed
}

// answer takes bytes of the backend's answer to the handshake and opens the
// pair once its header is whole and its owner content.
func (l *loop) answer(p *pair, data []byte) {
	c := p.call
	if len(c.head) > 0 {
		c.head = append(c.head, data...)
		data = c.head
	}
	var head []byte
	for {
		end := bytes.Index(data, []byte("\r\n\r\n"))
		if end < 0 {
			if c.skipped+len(data) > maxAnswer {
				l.fail(p, Failure{Cause: AnswerTooLarge, Answered: true})
				return
			}
			if len(c.head) != len(data) {
				c.head = bytes.Clone(data)
			}
			return
		}
		head = data[:end+4]
		if c.skipped+len(head) > maxAnswer {
			l.fail(p, Failure{Cause: AnswerTooLarge, Answered: true})
			return
		}
		if !isInterim(head) {
			break
		}
		c.skipped += len(head)
		data = data[len(head):]
	}
	out, err := p.owner.Answer(l.out[:0], head)
	if err == nil && len(c.request) > 0 {
		err = errEarlyAnswer
	}
	if err != nil {
		l.fail(p, Failure{Cause: NotUpgraded, Err: err, Received: bytes.Clone(data)})
		return
	}
	if p.watch != nil {
		p.watch.begin(head, l.now)
	}
	l.begin(p, out, data[len(head):])
}

// begin opens a pair: first is the client's answer, early what the backend
// sent right behind its own.
func (l *loop) begin(p *pair, first, early []byte) {
	c := p.call
	p.call = nil
	p.state = open
	l.table.name(p)
	p.last, p.began = l.now, l.now
	l.pairs.Add(1)
	l.dialing.Add(-1)
	l.wheel.disarm(p)
	if due := p.callAt(); due > 0 {
		l.rearm(p, due)
	}
	// Counted before the client can know.
	p.owner.Opened()
	l.deliver(p, Client, first)
	l.out = first[:0]
	// What came early is dealt with as if it came now.
	l.pass(p, Backend, early)
	if p.state == open {
		l.pass(p, Client, c.early)
	}
	l.turn(p)
}

// late is called when a dialing pair is due.
func (l *loop) late(p *pair) {
	c := p.call
	switch {
	case l.now >= c.answer:
		l.fail(p, Failure{Cause: AnswerTimeout})
	case !c.connected:
		l.fail(p, Failure{Cause: ConnectTimeout})
	default:
		l.rearm(p, c.answer)
	}
}

// fail ends a dialing pair and gives the client back.
func (l *loop) fail(p *pair, f Failure) {
	p.state = dead
	l.wheel.disarm(p)
	l.table.drop(p)
	l.dialing.Add(-1)
	f.Client = int(p.ends[Client].fd)
	l.poll.Remove(f.Client)
	if f.Cause == NotUpgraded {
		f.Backend, f.BackendTLS = int(p.ends[Backend].fd), p.ends[Backend].tls
		l.poll.Remove(f.Backend)
	} else {
		f.Backend = -1
		f.Answered = f.Answered || p.call.skipped+len(p.call.head) > 0
		sys.Close(int(p.ends[Backend].fd))
	}
	p.owner.Failed(f)
}
