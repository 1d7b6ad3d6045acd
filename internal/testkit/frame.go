package testkit

import (
	"encoding/binary"
	"fmt"
	"io"
)

// Opcodes of RFC 6455 section 5.2.
const (
	OpContinuation = 0x0
	OpText         = 0x1
	OpBinary       = 0x2
	OpClose        = 0x8
	OpPing         = 0x9
	OpPong         = 0xA
)

// maxTestPayload bounds what ReadFrame allocates for a length that may be
// rubbish.
const maxTestPayload = 64 << 20

// Frame is one WebSocket frame, RFC 6455 section 5.2. It can hold illegal ones:
// nothing is checked.
type Frame struct {
	Fin     bool
	RSV     byte // the three reserved bits, 0 to 7
	Opcode  byte // 0 to 15
	Masked  bool
	Key     [4]byte // used if Masked
	Payload []byte  // as the application sees it, not masked
}

// Text is a final, unmasked text frame; Masked makes it a client's.
func Text(s string) Frame { return Frame{Fin: true, Opcode: OpText, Payload: []byte(s)} }

// Binary is a final, unmasked binary frame.
func Binary(p []byte) Frame { return Frame{Fin: true, Opcode: OpBinary, Payload: p} }

// Control is a final, unmasked frame with the given opcode.
func Control(opcode byte, payload string) Frame {
	return Frame{Fin: true, Opcode: opcode, Payload: []byte(payload)}
}

// Close is a final, unmasked Close frame.
func Close(code uint16, reason string) Frame {
	p := binary.BigEndian.AppendUint16(nil, code)
	return Frame{Fin: true, Opcode: OpClose, Payload: append(p, reason...)}
}

// Mask returns f masked with a fixed key, as a client must send it.
func (f Frame) Mask() Frame {
	f.Masked, f.Key = true, [4]byte{0x37, 0xfa, 0x21, 0x3d}
	return f
}

// CloseCode is the code in a Close frame's payload, 1005 if there is none.
func (f Frame) CloseCode() uint16 {
	if len(f.Payload) < 2 {
		return 1005
	}
	return binary.BigEndian.Uint16(f.Payload)
}

// Append appends the frame's bytes to b, with the shortest length encoding.
func (f Frame) Append(b []byte) []byte {
	b0 := f.RSV<<4 | f.Opcode
	if f.Fin {
		b0 |= 0x80
	}
	var b1 byte
	if f.Masked {
		b1 = 0x80
	}
	switch n := len(f.Payload); {
	case n < 126:
		b = append(b, b0, b1|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, b0, b1|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, b0, b1|127), uint64(n))
	}
	if !f.Masked {
		return append(b, f.Payload...)
	}
	b = append(b, f.Key[:]...)
	for i, c := range f.Payload {
		b = append(b, c^f.Key[i&3])
	}
	return b
}

// ReadFrame reads one frame and unmasks its payload. io.EOF means that r ended
// between frames, io.ErrUnexpectedEOF within one.
func ReadFrame(r io.Reader) (Frame, error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return Frame{}, err
	}
	f := Frame{
		Fin:    head[0]&0x80 != 0,
		RSV:    head[0] >> 4 & 7,
		Opcode: head[0] & 15,
		Masked: head[1]&0x80 != 0,
	}
	n := uint64(head[1] & 127)
	if extra := map[uint64]int{126: 2, 127: 8}[n]; extra > 0 {
		var ext [8]byte
		if err := readWithin(r, ext[8-extra:]); err != nil {
			return f, err
		}
		n = binary.BigEndian.Uint64(ext[:])
	}
	if n > maxTestPayload {
		return f, fmt.Errorf("read frame: payload of %d bytes is over %d", n, maxTestPayload)
	}
	if f.Masked {
		if err := readWithin(r, f.Key[:]); err != nil {
			return f, err
		}
	}
	f.Payload = make([]byte, n)
	if err := readWithin(r, f.Payload); err != nil {
		return f, err
	}
	if f.Masked {
		for i := range f.Payload {
			f.Payload[i] ^= f.Key[i&3]
		}
	}
	return f, nil
}

// readWithin fills p from within a frame, where any end is unexpected.
func readWithin(r io.Reader, p []byte) error {
	_, err := io.ReadFull(r, p)
	if err == io.EOF && len(p) > 0 {
		return io.ErrUnexpectedEOF
	}
	return err
}
