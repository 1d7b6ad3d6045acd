package relay

import (
	"encoding/binary"
	"math/rand/v2"
	"unicode/utf8"
)

// Frame kinds, as [Tally] counts them (RFC 6455, section 5.2).
const (
	Continuation = iota
	Text
	Binary
	CloseFrame
	Ping
	Pong
	Reserved // any opcode that RFC 6455 does not define
	kinds
)

// Opcodes that the relay itself deals with.
const (
	opText   = 0x1
	opBinary = 0x2
	opClose  = 0x8
	opPing   = 0x9
	opPong   = 0xa
)

// KindNames are the frame kinds as metrics and logs name them, by index.
var KindNames = [kinds]string{"continuation", "text", "binary", "close", "ping", "pong", "reserved"}

var kindOf = [16]uint8{
	Continuation, Text, Binary, Reserved, Reserved, Reserved, Reserved, Reserved,
	CloseFrame, Ping, Pong, Reserved, Reserved, Reserved, Reserved, Reserved,
}

// Tally counts frames by kind.
type Tally [kinds]uint32

// Total returns the number of frames of every kind.
func (t *Tally) Total() (n uint64) {
	for _, k := range t {
		n += uint64(k)
	}
	return n
}

// Scanner follows the frames of one direction of a WebSocket through the
// bytes that pass, however they are cut (RFC 6455, section 5.2). It walks
// headers and skips payloads: nothing is copied, unmasked or judged. The one
// thing that it reads of a payload is the status code of a Close frame.
//
// The zero value stands before the first frame. A Scanner needs no other
// memory than itself and is not safe for concurrent use.
type Scanner struct {
	left   uint64          // payload bytes of the current frame still to come
	head   [maxHeader]byte // a header that came in pieces; after it, the mask of a Close
	have   uint8           // bytes in head
	close  uint8           // 0, or 1 + bytes seen of the code of the Close that is passing
	masked bool            // of that Close
	closed bool            // a whole Close frame has passed
	code   [2]byte         // its status code, unmasked
}

// Boundary tells whether the stream stands between two frames, the only place
// where a frame may be put in.
func (s *Scanner) Boundary() bool { return s.left == 0 && s.have == 0 }

// Closed tells whether a whole Close frame has passed.
func (s *Scanner) Closed() bool { return s.closed }

// CloseCode returns the status code of the Close frame that has passed, 1005
// if it held none (RFC 6455, section 7.1.5), and 0 before one has.
func (s *Scanner) CloseCode() uint16 {
	switch {
	case !s.closed:
		return 0
	case s.close < 3:
		return 1005
	}
	return binary.BigEndian.Uint16(s.code[:])
}

// Scan follows b to its end and adds the frames that begin in it to t.
func (s *Scanner) Scan(b []byte, t *Tally) {
	for len(b) > 0 {
		b = b[s.Next(b, t):]
	}
}

// Next follows b to the end of the current frame, or to the end of b if that
// comes first, and returns how many bytes that were. b must not be empty. A
// frame is added to t when its header is complete.
func (s *Scanner) Next(b []byte, t *Tally) int {
	n := 0
	if s.left == 0 {
		var complete bool
		if n, complete = s.header(b, t); !complete {
			return n
		}
	}
	take := uint64(len(b) - n)
	if take > s.left {
		take = s.left
	}
	if s.close != 0 && !s.closed {
		s.closing(b[n : n+int(take)]) // #nosec G115 -- take <= len(b)
	}
	s.left -= take
	if s.left == 0 && s.close != 0 {
		s.closed = true
	}
	return n + int(take) // #nosec G115 -- take <= len(b)
}

// header reads the header that b begins or continues, and tells how much of b
// it took and whether it is complete.
func (s *Scanner) header(b []byte, t *Tally) (n int, complete bool) {
	h := b
	if s.have > 0 {
		// The rest of a header that came in pieces: two bytes tell its size.
		for s.have < 2 || int(s.have) < headerSize(s.head[1]) {
			if n == len(b) {
				return n, false
			}
			s.head[s.have] = b[n]
			s.have++
			n++
		}
		h = s.head[:s.have]
		s.have = 0
	} else {
		if len(b) < 2 || len(b) < headerSize(b[1]) {
			s.have = uint8(copy(s.head[:], b)) // #nosec G115 -- at most 14
			return len(b), false
		}
		n = headerSize(b[1])
	}
	s.left = payloadSize(h)
	op := h[0] & 0x0f
	t[kindOf[op]]++
	if op == 8 && s.close == 0 {
		s.close = 1
		if s.masked = h[1]&0x80 != 0; s.masked {
			size := headerSize(h[1])
			copy(s.head[:4], h[size-4:size])
		}
	}
	return n, true
}

// closing picks the status code out of the payload of a Close frame.
func (s *Scanner) closing(payload []byte) {
	for _, c := range payload {
		if s.close >= 3 {
			return
		}
		i := s.close - 1
		if s.masked {
			c ^= s.head[i]
		}
		s.code[i] = c
		s.close++
	}
}

// payloadSize returns the payload size that a whole frame header tells.
func payloadSize(h []byte) uint64 {
	switch l := h[1] & 0x7f; l {
	default:
		return uint64(l)
	case 126:
		return uint64(binary.BigEndian.Uint16(h[2:]))
	case 127:
		return binary.BigEndian.Uint64(h[2:])
	}
}

// maxHeader is the size of the longest frame header.
const maxHeader = 14

// headerSize returns the size of a frame header from its second byte: 2, 4 or
// 10 bytes, and 4 more for a mask.
func headerSize(b1 byte) int {
	n := 2
	switch b1 & 0x7f {
	case 126:
		n = 4
	case 127:
		n = 10
	}
	if b1&0x80 != 0 {
		n += 4
	}
	return n
}

// appendClose appends a Close frame for a side (RFC 6455, section 5.5.1). The
// reason is cut to the 123 bytes that fit, between two characters of it.
func appendClose(dst []byte, to int, code uint16, reason string) []byte {
	if len(reason) > 123 {
		n := 123
		for n > 0 && !utf8.RuneStart(reason[n]) {
			n--
		}
		reason = reason[:n]
	}
	var payload [125]byte
	binary.BigEndian.PutUint16(payload[:], code)
	n := copy(payload[2:], reason)
	return appendControl(dst, to, opClose, payload[:2+n])
}

// appendPing appends a Ping frame for a side.
func appendPing(dst []byte, to int, payload uint64) []byte {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], payload)
	return appendControl(dst, to, opPing, b[:])
}

// appendControl appends a control frame of at most 125 bytes of payload,
// masked if it is for the backend: there the relay is a client (RFC 6455,
// section 5.3).
func appendControl(dst []byte, to int, op byte, payload []byte) []byte {
	if to == Client {
		dst = append(dst, 0x80|op, byte(len(payload)))
		return append(dst, payload...)
	}
	var key [4]byte
	binary.NativeEndian.PutUint32(key[:], rand.Uint32()) // #nosec G404 -- ChaCha8 with a seed from the system
	dst = append(dst, 0x80|op, 0x80|byte(len(payload)))
	dst = append(dst, key[:]...)
	for i, c := range payload {
		dst = append(dst, c^key[i%4])
	}
	return dst
}
