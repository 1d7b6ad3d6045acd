package backend

import (
	"encoding/binary"
	"errors"
)

// Headroom is the free space that [Echo.Feed] needs before the received bytes:
// a header whose first bytes came in an earlier read is written back there.
const Headroom = 16

// ErrUnmasked is a client frame without a mask (RFC 6455, section 5.1).
var ErrUnmasked = errors.New("read frame: client frame is not masked")

// RFC 6455, section 5.2.
const (
	opClose = 0x8
	opPing  = 0x9
	opPong  = 0xA
	finBit  = 0x80
	maskBit = 0x80
)

// Echo turns the frames of one client into the frames that answer them: data
// comes back unmasked, Ping as Pong, Close as Close, and Pong vanishes. It
// keeps a frame's state over reads and never holds a payload. The zero value
// is ready for a new connection.
type Echo struct {
	head    [14]byte // header that a read cut short
	headLen int
	rest    uint64 // payload bytes of the current frame still to come
	mask    [4]byte
	maskAt  int
	drop    bool // the current frame has no answer
	closing bool // the current frame is a Close
	closed  bool
}

// Closed says that the whole answer to a Close has been produced.
func (e *Echo) Closed() bool { return e.closed }

// Feed takes buf[Headroom:Headroom+n], just received, and returns the bytes to
// send back, a part of buf. Bytes after a Close are ignored.
func (e *Echo) Feed(buf []byte, n int) ([]byte, error) {
	in, end := Headroom, Headroom+n
	start, out := -1, 0 // answer so far: buf[start:out]; out never passes in
	for in < end && !e.closed {
		if e.rest == 0 {
			used, size, err := e.header(buf[in:end])
			if err != nil {
				return nil, err
			}
			in += used
			if size == 0 {
				break // cut short
			}
			if !e.drop {
				// The answer's header is four bytes shorter, so it fits
				// right before the payload, which then need not move.
				if start < 0 {
					start = in - size
					out = start
				}
				out += copy(buf[out:], e.head[:size])
			}
			e.closed = e.closing && e.rest == 0
			continue
		}
		take := int(min(e.rest, uint64(end-in)))
		e.unmask(buf[in : in+take])
		if !e.drop {
			if start < 0 {
				start, out = in, in
			}
			if out != in {
				copy(buf[out:], buf[in:in+take])
			}
			out += take
		}
		in += take
		e.rest -= uint64(take)
		e.closed = e.closing && e.rest == 0
	}
	if start < 0 {
		return nil, nil
	}
	return buf[start:out], nil
}

// header reads a frame header, perhaps begun by an earlier call, and prepares
// the answer's header in e.head. It returns how much of b it used and the
// answer header's size: 0 when more bytes are needed.
func (e *Echo) header(b []byte) (used, size int, err error) {
	for ; used < len(b); used++ {
		e.head[e.headLen] = b[used]
		e.headLen++
		if e.headLen < 2 {
			continue
		}
		if e.head[1]&maskBit == 0 {
			return 0, 0, ErrUnmasked
		}
		size = 2
		switch e.head[1] &^ maskBit {
		case 126:
			size = 4
		case 127:
			size = 10
		}
		if e.headLen == size+4 {
			e.begin(size)
			return used + 1, size, nil
		}
	}
	return used, 0, nil
}

// begin sets the state for the payload whose header is complete in e.head.
func (e *Echo) begin(size int) {
	switch size {
	case 2:
		e.rest = uint64(e.head[1] &^ maskBit)
	case 4:
		e.rest = uint64(binary.BigEndian.Uint16(e.head[2:]))
	default:
		e.rest = binary.BigEndian.Uint64(e.head[2:])
	}
	copy(e.mask[:], e.head[size:size+4])
	e.maskAt, e.headLen = 0, 0
	e.head[1] &^= maskBit
	op := e.head[0] & 0x0F
	e.drop, e.closing = op == opPong, op == opClose
	if op == opPing {
		e.head[0] = finBit | opPong
	}
}

// unmask undoes the mask in place. The load generator masks with zero, which
// costs nobody anything; other clients pay eight bytes at a time.
func (e *Echo) unmask(b []byte) {
	if e.mask == [4]byte{} {
		return
	}
	var key [8]byte
	for i := range key {
		key[i] = e.mask[(e.maskAt+i)&3]
	}
	wide, at := binary.LittleEndian.Uint64(key[:]), 0
	for ; at+8 <= len(b); at += 8 {
		binary.LittleEndian.PutUint64(b[at:], binary.LittleEndian.Uint64(b[at:])^wide)
	}
	for i := at; i < len(b); i++ {
		b[i] ^= key[i&7]
	}
	e.maskAt = (e.maskAt + len(b)) & 3
}
