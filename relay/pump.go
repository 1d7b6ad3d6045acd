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
	if c.shut && b.shut {
		l.end(p, neither)
		return
	}
	more := c.readable && len(b.pend) == 0 || b.readable && len(c.pend) == 0
	if more && !p.queued {
		p.queued = true
		l.work = append(l.work, p)
	}
}

// pump moves bytes from one side to the other until there are none, the other
// takes no more, or the turn is over. It is false if the pair has ended.
func (l *loop) pump(p *pair, from int) bool {
	to := 1 - from
	src, dst := &p.ends[from], &p.ends[to]
	if len(dst.pend) > 0 && (!dst.writable || !l.flush(p, to)) {
		return p.state != dead // src is not read meanwhile: back-pressure
	}
	if src.eof {
		l.shut(dst)
		return true
	}
	for moved := 0; src.readable && moved < turnBytes; {
		n, errno := sys.Recv(int(src.fd), l.buf)
		if errno != 0 {
			if errno == sys.EAGAIN {
				src.readable = false
				return true
			}
			if errno == sys.EINTR {
				continue
			}
			p.note(ender(from), "reset")
			l.end(p, from)
			return false
		}
		if n == 0 {
			l.ended(p, from)
			return p.state != dead
		}
		// A read that leaves room has emptied the socket: what comes later
		// reports itself, so the read that would say EAGAIN is saved.
		if n < len(l.buf) && !src.hup {
			src.readable = false
		}
		moved += n
		p.last = l.now
		if b := l.inspect(p, from, l.buf[:n]); len(b) > 0 {
			if !l.deliver(p, to, b) {
				return false
			}
			if len(dst.pend) > 0 {
				return true
			}
		}
	}
	return true
}

// ended takes note that a side has sent its FIN. dst has nothing pending.
func (l *loop) ended(p *pair, from int) {
	src, dst := &p.ends[from], &p.ends[1-from]
	src.eof, src.readable = true, false
	p.note(ender(from), "end of stream")
	if dst.eof || src.scan.Closed() && dst.scan.Closed() {
		// Both have ended, or both have said Close, after which nothing can
		// follow (RFC 6455, section 1.4): a FIN of its own for the other side
		// would be two more system calls.
		l.end(p, neither)
		return
	}
	l.shut(dst)
	if p.state == open {
		p.last = l.now
		l.rearm(p, l.now+p.limit())
	} else {
		l.parted(p)
	}
}

// shut passes a FIN on, once.
func (l *loop) shut(dst *end) {
	if !dst.shut {
		dst.shut = true
		sys.ShutdownWrite(int(dst.fd))
	}
}

// inspect follows the frames in b, which one side has sent, and returns what
// of it the other side is to get: all of it, but for a backend's words to a
// client that has been told Close.
func (l *loop) inspect(p *pair, from int, b []byte) []byte {
	src := &p.ends[from]
	src.bytes += uint64(len(b))
	l.bytes[from].Add(uint64(len(b)))
	var t Tally
	if p.state == leaving && from == Backend {
		b = l.parting(p, b, &t)
	} else {
		src.scan.Scan(b, &t)
	}
	for k, n := range t {
		if n != 0 {
			src.frames += uint64(n)
			l.frames[from][k].Add(uint64(n))
		}
	}
	if src.scan.Closed() {
		p.note(ender(from), "close frame")
		if p.state == leaving && from == Client {
			l.parted(p)
		}
	}
	return b
}

// deliver sends b, which is the next thing for a side that has nothing
// pending, and keeps a copy of what it does not take. It is false if the pair
// has ended.
func (l *loop) deliver(p *pair, to int, b []byte) bool {
	dst := &p.ends[to]
	for {
		n, errno := sys.Send(int(dst.fd), b)
		switch errno {
		case 0:
			if n < len(b) {
				dst.pend = append(l.spare(), b[n:]...)
				dst.writable = false
			}
			return true
		case sys.EAGAIN:
			dst.pend = append(l.spare(), b...)
			dst.writable = false
			return true
		case sys.EINTR:
		default:
			l.salvage(p, to)
			p.note(ender(to), "reset")
			l.end(p, to)
			return false
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
		l.salvage(p, to)
		p.note(ender(to), "reset")
		l.end(p, to)
		return false
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

// salvage delivers what a side had sent before it broke and nobody has read
// yet: the last words of a crashing server, say.
func (l *loop) salvage(p *pair, from int) {
	src, dst := &p.ends[from], &p.ends[1-from]
	for moved := 0; len(dst.pend) == 0 && !src.eof && moved < turnBytes; {
		n, errno := sys.Recv(int(src.fd), l.buf)
		if errno != 0 || n == 0 {
			return
		}
		moved += n
		b := l.inspect(p, from, l.buf[:n])
		if m, errno := sys.Send(int(dst.fd), b); errno != 0 || m < len(b) {
			return
		}
	}
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
		if broken == 1-side && sys.Unsent(int(e.fd)) == 0 {
			sys.CloseReset(int(e.fd))
		} else {
			sys.Close(int(e.fd))
		}
		e.pend = nil
	}
	l.pairs.Add(-1)
	p.owner.Closed(s)
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

// recycle keeps a few such buffers for the next slow side and leaves the
// others to the collector.
func (l *loop) recycle(b []byte) {
	if len(l.pool) < 8 {
		l.pool = append(l.pool, b[:0])
	}
}
