//go:build linux && (amd64 || arm64)

package relay

import "github.com/holdfast-lb/holdfast/internal/sys"

// neither, where a side is asked for: none of them is broken.
const neither = -1

// turn moves what can be moved, both ways.
func (l *loop) turn(p *pair) {
	if !l.pump(p, Client) || !l.pump(p, Backend) {
		return
	}
	c, b := &p.ends[Client], &p.ends[Backend]
	if c.eof && b.eof && len(c.pend) == 0 && len(b.pend) == 0 || p.state == leaving && p.parted() {
		l.end(p, neither)
		return
	}
	if c.readable && b.takes() && (p.watch == nil || !p.watch.held(l.now)) || b.readable && c.takes() {
		l.again(p)
	}
}

// takes tells whether the other side may be read: nothing is pending for this
// one, or what comes is not for it.
func (e *end) takes() bool { return len(e.pend) == 0 || e.told }

// again gives a pair another turn before the loop waits.
func (l *loop) again(p *pair) {
	if !p.queued {
		p.queued = true
		l.work = append(l.work, p)
	}
}

// pump moves bytes from one side to the other until there are none, the other
// takes no more, or the turn is over. It is false if the pair has ended.
func (l *loop) pump(p *pair, from int) bool {
	to := 1 - from
	src, dst := &p.ends[from], &p.ends[to]
	if len(dst.pend) > 0 && (!dst.writable || !l.flush(p, to)) && !dst.told {
		// src is not read meanwhile: back-pressure. A reset of src is seen all
		// the same. What a backend said before is its client's, however slow;
		// what a client said has a moment to get through.
		if src.broken && !p.dying {
			p.dying = true
			p.note(ender(from), "reset")
			if from == Client {
				l.hasten(p)
			} else {
				l.halved(p)
			}
		}
		return true
	}
	if src.eof {
		if src.broken && !src.gone {
			l.broke(p, from) // after its end: it takes no more either
			return p.state != dead
		}
		if len(dst.pend) == 0 {
			l.shut(p, to)
		}
		return true
	}
	if p.watch != nil && from == Client && !l.resume(p) {
		return true
	}
	for moved := 0; src.readable && moved < turnBytes; {
		over := src.scan.Closed()
		n, b, f, errno := l.take(p, from)
		if errno != 0 {
			if errno == sys.EAGAIN {
				src.readable = false
				return true
			}
			if errno == sys.EINTR {
				continue
			}
			l.broke(p, from)
			return p.state != dead
		}
		if n == 0 {
			l.ended(p, from)
			return p.state != dead
		}
		moved += n
		if dst.gone {
			continue // nobody is there to get it
		}
		if heard := p.watch == nil || p.watch.heard(from, l.now); heard && !over {
			p.last = l.now // what stands behind a Close keeps nothing alive
		}
		if len(b) > 0 {
			l.deliver(p, to, b)
		}
		if f != nil {
			l.sever(p, f)
		} else if p.watch != nil {
			l.remind(p, to)
		}
		if !dst.takes() || p.watch != nil && p.watch.waits() {
			return true
		}
	}
	return true
}

// pass sends on what a side had sent before the pair was open.
func (l *loop) pass(p *pair, from int, b []byte) {
	if len(b) == 0 {
		return
	}
	l.count(p, from, len(b))
	b, f := l.follow(p, from, b)
	if len(b) > 0 {
		l.say(p, 1-from, b)
	}
	if f != nil {
		l.sever(p, f)
	}
}

// ended takes note that a side has sent its FIN.
func (l *loop) ended(p *pair, from int) {
	src, dst := &p.ends[from], &p.ends[1-from]
	if src.gone {
		l.broke(p, from) // a send has met the reset before
		return
	}
	src.eof, src.readable = true, false
	p.note(ender(from), "end of stream")
	if p.state == leaving {
		l.tell(p, 1-from)
	}
	if len(src.pend) == 0 && len(dst.pend) == 0 && (dst.eof || src.scan.Closed() && dst.scan.Closed()) {
		// Both have ended, or both have said Close, after which nothing can
		// follow (RFC 6455, section 1.4): a FIN of its own for the other side
		// would be two more system calls.
		l.end(p, neither)
		return
	}
	if len(dst.pend) == 0 {
		l.shut(p, 1-from)
	}
	l.halved(p)
}

// halved bounds what is left of a pair of which one side has ended.
func (l *loop) halved(p *pair) {
	if p.state == open {
		p.last = l.now
		l.rearm(p, p.callAt())
	} else {
		l.hasten(p)
	}
}

// hasten gives a pair that is leaving, or dying, only a moment more.
func (l *loop) hasten(p *pair) {
	if due := l.now + lastWords.Milliseconds(); p.deadline == 0 || due < p.deadline {
		p.deadline = due
		l.sooner(p, due)
	}
}

// broke takes note that a side was reset and all that it had said is read. The
// other side is reset in turn, unless bytes are still on their way to it: then
// it gets a FIN behind them, and what it still says is read and dropped, since
// closing its socket over that would be a reset that overtakes them.
func (l *loop) broke(p *pair, from int) {
	src, dst := &p.ends[from], &p.ends[1-from]
	p.note(ender(from), src.fault())
	src.eof, src.readable = true, false
	l.lose(src)
	if p.state == leaving {
		l.tell(p, 1-from)
		l.hasten(p)
		return
	}
	if dst.gone || dst.eof || len(dst.pend) == 0 && sys.Unsent(int(dst.fd)) == 0 {
		l.end(p, from)
		return
	}
	if len(dst.pend) == 0 {
		l.shut(p, 1-from)
	}
	p.last = l.now
	l.sooner(p, l.now+lastWords.Milliseconds())
}

// await ends a pair of which one side was reset once the other has everything
// that was on its way to it, or has taken nothing for limit milliseconds.
func (l *loop) await(p *pair, limit int64) {
	from := Client
	if p.ends[Backend].gone {
		from = Backend
	}
	dst := &p.ends[1-from]
	if len(dst.pend) == 0 && sys.Unsent(int(dst.fd)) == 0 || l.now-p.last >= limit {
		l.end(p, from)
		return
	}
	l.rearm(p, l.now+lastWords.Milliseconds())
}

// lose takes note that a side takes no more: what is for it is dropped.
func (l *loop) lose(e *end) {
	e.gone, e.shut = true, true
	if len(e.pend) > 0 {
		l.recycle(e.pend)
		e.pend = nil
	}
}

// shut passes a FIN on, once, behind what ends TLS.
func (l *loop) shut(p *pair, to int) {
	dst := &p.ends[to]
	if !dst.shut && l.notified(p, to) {
		dst.shut = true
		sys.ShutdownWrite(int(dst.fd))
	}
}

// count counts what a side has sent.
func (l *loop) count(p *pair, from, n int) {
	p.ends[from].bytes += uint64(n) // #nosec G115 -- never negative
	l.bytes[from].Add(uint64(n))    // #nosec G115
}

// follow follows the frames in b, which one side has sent, and returns what of
// it the other side is to get: all of it, but for what a sieve holds back and
// for words to a side that is to read a Close; and the rule that it breaks.
func (l *loop) follow(p *pair, from int, b []byte) (_ []byte, f *Fault) {
	src := &p.ends[from]
	var t Tally
	switch {
	case p.ends[1-from].telling:
		b = l.parting(p, from, b, &t)
	case p.watch != nil:
		b, f = l.sift(p, from, b, &t)
	default:
		src.scan.Scan(b, &t)
	}
	src.frames += t.Total()
	l.tally(from, &t)
	if f == nil && src.scan.Closed() {
		p.note(ender(from), "close frame")
		if p.state == leaving && from == Client {
			l.hasten(p) // its answer to the Close goes to the backend; that is all
		}
	}
	return b, f
}

// deliver sends b, which is the next thing for a side that has nothing
// pending, and keeps a copy of what it does not take.
func (l *loop) deliver(p *pair, to int, b []byte) {
	l.put(p, to, l.seal(&p.ends[to], b))
}

// put is deliver for what is sealed already.
func (l *loop) put(p *pair, to int, b []byte) {
	dst := &p.ends[to]
	for {
		n, errno := sys.Send(int(dst.fd), b)
		switch errno {
		case 0:
			if n < len(b) {
				dst.pend = append(l.spare(), b[n:]...)
				dst.writable = false
			}
			return
		case sys.EAGAIN:
			dst.pend = append(l.spare(), b...)
			dst.writable = false
			return
		case sys.EINTR:
		default:
			l.refused(p, to)
			return
		}
	}
}

// flush sends what is pending for a side and tells whether nothing is left.
func (l *loop) flush(p *pair, to int) bool {
	dst := &p.ends[to]
	n, errno := sys.Send(int(dst.fd), dst.pend)
	for errno == sys.EINTR {
		n, errno = sys.Send(int(dst.fd), dst.pend)
	}
	switch errno {
	case 0:
	case sys.EAGAIN:
		dst.writable = false
		return false
	default:
		l.refused(p, to)
		return true // there is nothing left to send
	}
	p.last = l.now
	if n < len(dst.pend) {
		dst.pend = dst.pend[:copy(dst.pend, dst.pend[n:])]
		dst.writable = false
		return false
	}
	l.recycle(dst.pend)
	dst.pend = nil
	return true
}

// refused takes note that a side takes no more. What it has said and nobody has
// read yet, the last words of a crashing server say, is read on to its end.
func (l *loop) refused(p *pair, to int) {
	e := &p.ends[to]
	p.note(ender(to), "reset")
	l.lose(e)
	e.readable, e.hup = !e.eof, true
	l.again(p)
}

// end closes both sides and tells the owner. broken is the side that was
// reset, or neither; the other one is reset in turn, unless bytes are still on
// their way to it: then it gets its FIN behind them.
func (l *loop) end(p *pair, broken int) {
	if p.state == dead {
		return
	}
	s := p.summary(l.now)
	p.state = dead
	l.wheel.disarm(p)
	l.table.drop(p)
	for side := range p.ends {
		e := &p.ends[side]
		if broken != 1-side {
			l.notify(e)
		}
		if e.gone || broken == 1-side && sys.Unsent(int(e.fd)) == 0 {
			sys.CloseReset(int(e.fd))
		} else {
			sys.Close(int(e.fd))
		}
		e.pend = nil
	}
	p.watch = nil
	p.owner.Closed(s)
	l.pairs.Add(-1) // last: Farewell waits for it
}

// spare returns an empty buffer for what a side has not taken.
func (l *loop) spare() []byte {
	if n := len(l.pool); n > 0 {
		b := l.pool[n-1]
		l.pool[n-1] = nil
		l.pool = l.pool[:n-1]
		return b
	}
	return nil
}

// recycle keeps a few such buffers for the next slow side, for a moment, and
// leaves the others to the collector.
func (l *loop) recycle(b []byte) {
	l.used = l.now
	if len(l.pool) < 8 {
		l.pool = append(l.pool, b[:0])
	}
}
