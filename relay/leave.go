//go:build linux && (amd64 || arm64)

package relay

// leave begins the polite end of a pair: the client is to read a Close, put in
// between two frames, and has until due, in milliseconds on the loop's clock.
// What the client still sends, its own Close included, goes to the backend,
// which so learns of the end from the client's side of the conversation.
func (l *loop) leave(p *pair, code uint16, reason string, due int64) {
	switch {
	case !p.adopted || p.state == dead:
		return
	case p.state == dialing:
		l.fail(p, Failure{Cause: Stopping})
		return
	case p.state == leaving:
		if due < p.due {
			l.rearm(p, due)
		}
		return
	}
	p.state = leaving
	p.code = code
	p.note(ByHoldfast, reason)
	l.rearm(p, due)
	c, b := &p.ends[Client], &p.ends[Backend]
	switch {
	case b.scan.Closed() || c.shut:
		p.said = true // the backend has said its own, or will say nothing more
	case b.scan.Boundary():
		p.said = true
		bye := appendClose(l.out[:0], code, reason)
		if len(c.pend) > 0 {
			c.pend = append(c.pend, l.seal(c, bye)...)
		} else {
			l.deliver(p, Client, bye)
		}
	}
	if c.eof || c.scan.Closed() {
		l.hasten(p)
	}
}

// parting is what inspect does with a backend's bytes while a Close for the
// client waits for the end of a frame: the rest of that frame passes, the
// Close follows it, and nothing comes after.
func (l *loop) parting(p *pair, b []byte, t *Tally) []byte {
	scan := &p.ends[Backend].scan
	if p.said {
		scan.Scan(b, t)
		return nil
	}
	n := scan.Next(b, t)
	if !scan.Boundary() {
		return b
	}
	p.said = true
	out := append(l.out[:0], b[:n]...)
	if !scan.Closed() {
		out = appendClose(out, p.code, p.reason)
	}
	scan.Scan(b[n:], t)
	l.out = out[:0]
	return out
}
