package relay

import "encoding/binary"

// sieve is what the frames of one direction pass through if a Guard judges
// them, or answers to Pings of ours are to be taken out. It holds a header back
// until it is whole, so that of a frame that breaks a rule in its header
// nothing passes, and of an answer that is ours neither.
//
// The zero value lets everything pass. It is not safe for concurrent use.
type sieve struct {
	guard  *Guard // nil: none
	bounds bool   // the guard's bounds apply
	masked bool   // as frames of this direction must be
	rsv    byte   // reserved bits that they may have

	have  uint8           // bytes in carry
	carry [maxHeader]byte // what came of a header, or of a Pong, that is not whole

	// The current frame, and the message that it belongs to.
	op      byte    // first byte of the frame
	inside  bool    // the next data frame must be a continuation
	text    bool    // the message is uncompressed text
	checked bool    // the frame is being checked as UTF-8
	skip    uint8   // payload bytes that are not text
	at      uint8   // payload bytes of the frame that have passed, modulo 256
	key     [4]byte // the frame's mask
	utf8    textCheck

	answered bool  // a Pong was taken out
	answer   uint8 // the last byte of it
	data     bool  // something other than a control frame was met
	stopped  bool  // by a fault, and what has passed ends between two frames

	message        uint64 // payload bytes of the message, by its headers so far
	messages, wire meter
	// Pongs whose payload is this are taken out, whatever their last byte,
	// which counts them; big-endian; 0: none are.
	pings uint64
}

// sifted is what became of some bytes.
type sifted struct {
	pass  []byte // what the other side is to get
	built bool   // it stands in out
	used  int    // bytes that were looked at; the others must wait
	wait  int64  // so many nanoseconds
	fault *Fault // nothing after pass is to pass
	clean bool   // with a fault: what has passed ends between two frames
}

// sift follows b, which came at now, in nanoseconds, and keeps s and t. What
// passes is a part of b or was appended to out, which is empty, and is valid
// as long as both.
func (v *sieve) sift(s *Scanner, b, out []byte, t *Tally, now int64) (r sifted) {
	if v.over(s) {
		return sifted{used: len(b)}
	}
	all := b
	metered := v.metered()
	if metered {
		if room := v.wire.room(v.guard.Bytes, now); room < uint64(len(b)) {
			if !v.guard.Throttle {
				clean := s.left == 0
				v.follow(s, b, t)
				v.stopped = clean
				return sifted{used: len(b), fault: faultByteRate, clean: clean}
			}
			// Less than a twentieth of a second's worth is not worth waking up for.
			r.wait = v.wire.wait(v.guard.Bytes, min(uint64(len(b)), v.guard.Bytes.PerSecond/20+1), now)
			b = b[:room]
		}
	}
	i := 0              // where in b this is
	run := 0            // b[run:i] passes behind out
	start, cut := -1, 0 // the frame began at b[start] and behind out[:cut]; -1: earlier
	for i < len(b) && r.fault == nil && !v.over(s) {
		var n int
		if s.left > 0 {
			n = int(min(uint64(len(b)-i), s.left)) // #nosec G115 -- at most len(b)
			r.fault = v.payload(b[i : i+n])
			s.Next(b[i:i+n], t)
		} else {
			if full := v.full(now); full > 0 {
				r.wait = max(r.wait, full)
				break
			}
			start, cut = i, len(out)
			held := v.have > 0
			var h []byte
			h, n = v.unit(b[i:])
			if h == nil {
				// Held back: what passes ends before it.
				r.used, r.built = len(b), len(out) > 0
				r.pass = concat(out, b[run:i])
				v.weigh(metered, r.used, now)
				return r
			}
			mine := v.mine(h)
			if !mine {
				r.fault = v.judge(h, now)
			}
			if r.fault == nil || !r.fault.broken() {
				s.Next(h, t)
			}
			if mine || held && r.fault == nil {
				out = append(out, b[run:i]...)
				if !mine {
					out = append(out, h...)
				}
				run = i + n
			}
		}
		i += n
		if s.left == 0 && r.fault == nil {
			r.fault = v.finish(s)
		}
	}
	r.used = i
	switch {
	case r.fault == nil && v.over(s):
		r.used, r.wait = len(all), 0
	case r.fault != nil:
		r.used, r.clean = len(all), start >= 0
		v.stopped = r.clean
		if !r.fault.broken() {
			s.Scan(all[i:], t)
		}
		if i = max(start, 0); i < run { // its header was carried, and stands in out
			out, i = out[:cut], run
		}
	}
	r.built = len(out) > 0
	r.pass = concat(out, b[run:i])
	v.weigh(metered, r.used, now)
	return r
}

// over tells that the side has said Close and so has nothing more to say (RFC
// 6455, section 5.5.1). What comes all the same is dropped, and is no frame.
func (v *sieve) over(s *Scanner) bool { return v.guard != nil && s.closed }

// concat returns a with b behind it, without a copy if a is empty.
func concat(a, b []byte) []byte {
	if len(a) == 0 {
		return b
	}
	return append(a, b...)
}

func (v *sieve) weigh(metered bool, n int, now int64) {
	if metered {
		v.wire.add(v.guard.Bytes, uint64(n), now) // #nosec G115 -- a length
	}
}

// metered tells whether every byte counts.
func (v *sieve) metered() bool { return v.guard != nil && v.bounds && v.guard.Bytes.PerSecond > 0 }

// unread tells whether the payload of the current frame may pass by the sieve.
func (v *sieve) unread() bool { return v.have == 0 && !v.checked && !v.metered() }

// passed takes note that some of it has.
func (v *sieve) passed() {
	if v.op&0x08 == 0 {
		v.data = true
	}
}

// follow lets s follow what was held back, and b, of which nothing passes.
func (v *sieve) follow(s *Scanner, b []byte, t *Tally) {
	s.Scan(v.carry[:v.have], t)
	v.have = 0
	s.Scan(b, t)
}

// full returns the nanoseconds for which the next frame must wait.
func (v *sieve) full(now int64) int64 {
	if g := v.guard; g != nil && v.bounds && g.Throttle && g.Messages.PerSecond > 0 {
		return v.messages.wait(g.Messages, 1, now)
	}
	return 0
}

// unit returns the frame header that b begins, or that carry and b begin
// together, with the payload if it may be an answer of ours; and how much of b
// it took. nil: it is not whole, and all of b is in carry now.
func (v *sieve) unit(b []byte) (h []byte, n int) {
	if v.have == 0 {
		if size := v.size(b); size <= len(b) {
			return b[:size], size
		}
	}
	for {
		size := v.size(v.carry[:v.have])
		if int(v.have) >= size {
			v.have = 0
			return v.carry[:size], n
		}
		k := copy(v.carry[v.have:size], b[n:])
		if k == 0 {
			return nil, n
		}
		v.have += uint8(k) // #nosec G115 -- at most 14
		n += k
	}
}

// size returns how long the unit is that h begins, as far as h tells.
func (v *sieve) size(h []byte) int {
	if len(h) < 2 {
		return 2
	}
	n := headerSize(h[1])
	if v.pings != 0 && h[0] == 0x80|opPong && h[1]&0x7f == 8 && (h[1]&0x80 != 0) == v.masked {
		n += 8
	}
	return n
}

// mine tells whether h is a Pong of ours, and takes note of it.
func (v *sieve) mine(h []byte) bool {
	if v.pings == 0 || len(h) < 10 || h[0] != 0x80|opPong || h[1]&0x7f != 8 || (h[1]&0x80 != 0) != v.masked {
		return false
	}
	p := binary.BigEndian.Uint64(h[len(h)-8:])
	if v.masked {
		p ^= uint64(binary.BigEndian.Uint32(h[2:])) * (1<<32 + 1)
	}
	if p>>8 != v.pings>>8 {
		return false
	}
	v.answered, v.answer = true, byte(p)
	v.op, v.checked = h[0], false
	return true
}

// judge takes note of the frame that the header h begins, and returns the rule
// that it breaks.
func (v *sieve) judge(h []byte, now int64) *Fault {
	v.op, v.at, v.checked = h[0], 0, false
	op := h[0] & 0x0f
	control := op&0x08 != 0
	if !control {
		v.data = true
	}
	g := v.guard
	if g == nil {
		return nil
	}
	size, f := wellFormed(h, v.masked, v.rsv)
	switch {
	case f != nil:
		return f
	case control:
	case v.inside && op != 0:
		return faultInterleaved
	case !v.inside && op == 0:
		return faultContinuation
	}
	begins := control || op != 0
	if v.bounds {
		if begins && !control {
			v.message = 0
		}
		switch {
		case control:
		case g.MaxFrame > 0 && size > g.MaxFrame:
			return faultFrameSize
		case g.MaxMessage > 0 && size > g.MaxMessage-v.message:
			return faultMessageSize
		default:
			v.message += size
		}
		if begins && g.Messages.PerSecond > 0 {
			if v.messages.wait(g.Messages, 1, now) > 0 {
				return faultMessageRate
			}
			v.messages.add(g.Messages, 1, now)
		}
	}
	if !control {
		v.inside = h[0]&0x80 == 0
		if op != 0 {
			v.text = op == opText && h[0]&rsvAll == 0
			v.utf8 = textCheck{}
		}
	}
	if g.UTF8 && (v.text && !control || op == opClose) {
		v.checked, v.key, v.skip = true, [4]byte{}, 0
		if h[1]&0x80 != 0 {
			copy(v.key[:], h[headerSize(h[1])-4:])
		}
		if op == opClose {
			v.skip, v.utf8 = 2, textCheck{} // its code; no text follows
		}
	}
	return nil
}

// payload follows b, which belongs to the current frame.
func (v *sieve) payload(b []byte) *Fault {
	v.passed()
	if !v.checked {
		return nil
	}
	n := min(int(v.skip), len(b))
	v.skip -= uint8(n)                               // #nosec G115 -- at most 2
	ok := v.utf8.masked(b[n:], v.key, v.at+uint8(n)) // #nosec G115 -- at most 2
	v.at += uint8(len(b))                            // #nosec G115 -- modulo 256
	if !ok {
		return faultUTF8
	}
	return nil
}

// finish takes note that the current frame has ended, as s has seen it.
func (v *sieve) finish(s *Scanner) *Fault {
	if v.checked && v.op&0x80 != 0 && !v.utf8.whole() {
		return faultUTF8
	}
	if v.guard != nil && v.op&0x0f == opClose {
		if s.close == 3 && !validCode(s.CloseCode()) {
			return faultCloseCode
		}
	}
	return nil
}

// wellFormed returns the payload size that a frame header tells, and the rule
// of RFC 6455, section 5.2, that it breaks.
func wellFormed(h []byte, masked bool, rsv byte) (size uint64, f *Fault) {
	op, control := h[0]&0x0f, h[0]&0x08 != 0
	if short := h[1] & 0x7f; control && short > 125 {
		return uint64(short), faultControlSize
	}
	size = payloadSize(h)
	least := uint64(0)
	switch h[1] & 0x7f {
	case 126:
		least = 126
	case 127:
		least = 1 << 16
	}
	bits := h[0] & rsvAll
	switch {
	case bits&^rsv != 0, bits == rsv1 && rsv == rsv1 && op != opText && op != opBinary:
		return size, faultReservedBits
	case kindOf[op] == Reserved:
		return size, faultOpcode
	case h[1]&0x80 == 0 && masked:
		return size, faultUnmasked
	case h[1]&0x80 != 0 && !masked:
		return size, faultMasked
	case size < least, size>>63 != 0:
		return size, faultLength
	case control && h[0]&0x80 == 0:
		return size, faultControlParts
	case op == opClose && size == 1:
		return size, faultCloseCode
	}
	return size, nil
}
