//go:build linux && (amd64 || arm64)

package relay

// leave begins the polite end of a pair: the client is to read a Close, put in
// between two frames, and has until due, in milliseconds on the loop's clock.
// What the client still sends, its own Close included, goes to the backend,
// which so learns of the end from the client's side of the conversation; if it
// does not by then, from us.
func (l *loop) leave(p *pair, f *Fault, due int64) {
	switch {
	case !p.adopted || p.state == dead:
		return
	case p.state == dialing:
		l.fail(p, Failure{Cause: Stopping})
		return
	case p.state == resting:
		p.fault, p.deadline = f, due // once it goes on, if it does so here
		return
	case p.state == leaving:
		if due < p.deadline {
			p.deadline = due
			l.sooner(p, due)
		}
		return
	}
	l.part(p, f, due)
	l.tell(p, Client)
	c := &p.ends[Client]
	if c.eof {
		l.tell(p, Backend)
	}
	if c.eof || c.scan.Closed() {
		l.hasten(p)
	}
}

// sever ends a pair that cannot go on: both sides read a Close, each behind
// the frame that is under way to it, nothing else passes, and each has a
// moment to answer.
func (l *loop) sever(p *pair, f *Fault) {
	switch p.state {
	case open:
		l.part(p, f, l.now+lastWords.Milliseconds())
	case leaving:
		l.hasten(p)
	default:
		return
	}
	l.tell(p, Client)
	l.tell(p, Backend)
	l.again(p)
}

// part has an open pair leave, until due at the latest: one that was ending
// keeps its time.
func (l *loop) part(p *pair, f *Fault, due int64) {
	switch {
	case p.deadline > 0:
		due = min(due, p.deadline)
	case p.dying || p.halfGone():
		due = min(due, l.now+p.limit())
	}
	p.state, p.fault, p.deadline = leaving, f, due
	p.note(ByHoldfast, f.Reason)
	l.rearm(p, due)
	if w := p.watch; w != nil && w.waits() {
		l.sooner(p, w.excess.until)
	}
}

// tell has a side read the Close of a pair that is leaving: at once, or
// behind the frame that is under way to it (see parting).
func (l *loop) tell(p *pair, to int) {
	dst, src := &p.ends[to], &p.ends[1-to]
	if dst.telling {
		return
	}
	dst.telling = true
	stopped := p.watch != nil && p.watch.sieves[1-to].stopped
	switch {
	case dst.shut || src.scan.Closed() && !stopped:
		dst.told = true // its peer has said its own, or nothing more can be said
	case src.scan.Boundary() || stopped:
		dst.told = true
		l.say(p, to, appendClose(l.out[:0], to, p.fault.Code, p.fault.Reason))
	case src.eof:
		dst.told = true // the frame has no end
	}
	if w := p.watch; w != nil {
		// Of what waits nothing passes any more but the rest of the frame in
		// the way, with the Close behind it.
		var t Tally
		w.sieves[1-to].follow(&src.scan, nil, &t)
		if to == Backend && w.waits() {
			rest := w.excess.rest
			w.excess.rest = nil
			if b := l.parting(p, Client, rest, &t); len(b) > 0 {
				l.say(p, to, b)
			}
			l.recycle(rest)
		}
		src.frames += t.Total()
		l.tally(1-to, &t)
	}
}

// say sends a side a frame of ours, which stands between two of its peer's.
func (l *loop) say(p *pair, to int, frame []byte) {
	dst := &p.ends[to]
	switch {
	case dst.gone:
	case len(dst.pend) > 0:
		dst.pend = append(dst.pend, l.seal(dst, frame)...)
	default:
		l.deliver(p, to, frame)
	}
}

// parting is what becomes of a side's bytes once the other is to read a Close:
// the rest of the frame in the way passes, the Close follows it, and nothing
// comes after.
func (l *loop) parting(p *pair, from int, b []byte, t *Tally) []byte {
	scan, to := &p.ends[from].scan, 1-from
	dst := &p.ends[to]
	if dst.told {
		scan.Scan(b, t)
		return nil
	}
	n := scan.Next(b, t)
	if !scan.Boundary() {
		return b
	}
	dst.told = true
	out := append(l.out[:0], b[:n]...)
	if !scan.Closed() {
		out = appendClose(out, to, p.fault.Code, p.fault.Reason)
	}
	scan.Scan(b[n:], t)
	l.out = out[:0]
	return out
}

// parted tells whether both sides have read their Close and have said theirs,
// or will say nothing more.
func (p *pair) parted() bool {
	for side := range p.ends {
		e := &p.ends[side]
		if e.gone {
			continue
		}
		if !e.told || len(e.pend) > 0 || !e.eof && !e.scan.Closed() {
			return false
		}
	}
	return true
}
