package backend

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
)

// clientFrame returns a masked frame (RFC 6455, section 5.2).
func clientFrame(first byte, mask [4]byte, payload []byte) []byte {
	var b []byte
	switch n := len(payload); {
	case n < 126:
		b = append(b, first, maskBit|byte(n))
	case n <= 0xFFFF:
		b = binary.BigEndian.AppendUint16(append(b, first, maskBit|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, first, maskBit|127), uint64(n))
	}
	b = append(b, mask[:]...)
	for i, c := range payload {
		b = append(b, c^mask[i&3])
	}
	return b
}

// serverFrame returns an unmasked frame.
func serverFrame(first byte, payload []byte) []byte {
	b := clientFrame(first, [4]byte{}, payload)
	size := len(b) - len(payload) - 4
	b[1] &^= maskBit
	return append(b[:size:size], payload...)
}

// feed gives in to a fresh Echo, at most step bytes at a time.
func feed(in []byte, step int) (out []byte, closed bool, err error) {
	var e Echo
	for len(in) > 0 {
		n := min(step, len(in))
		buf := make([]byte, Headroom+n)
		copy(buf[Headroom:], in[:n])
		in = in[n:]
		part, err := e.Feed(buf, n)
		if err != nil {
			return out, false, err
		}
		out = append(out, part...)
	}
	return out, e.Closed(), nil
}

func TestEcho(t *testing.T) {
	mask := [4]byte{1, 2, 3, 4}
	long := bytes.Repeat([]byte("tide"), 20_000)
	f := func(in, want []byte, wantClosed bool) {
		t.Helper()
		for _, step := range []int{1, 2, 3, 7, 100, len(in)} {
			out, closed, err := feed(in, step)
			if err != nil {
				t.Fatalf("%d bytes at a time: %v", step, err)
			}
			if !bytes.Equal(out, want) || closed != wantClosed {
				t.Errorf("%d bytes at a time: got %d bytes, closed %v; want %d, %v", step, len(out), closed, len(want), wantClosed)
			}
		}
	}
	f(clientFrame(0x82, mask, []byte("kelp")), serverFrame(0x82, []byte("kelp")), false)
	f(clientFrame(0x81, [4]byte{}, nil), serverFrame(0x81, nil), false)
	f(clientFrame(0x82, mask, long[:300]), serverFrame(0x82, long[:300]), false)
	f(clientFrame(0x82, mask, long), serverFrame(0x82, long), false)
	// Fragments stay fragments.
	f(append(clientFrame(0x01, mask, []byte("a")), clientFrame(0x80, mask, []byte("b"))...),
		append(serverFrame(0x01, []byte("a")), serverFrame(0x80, []byte("b"))...), false)
	// Ping is answered, Pong is not, Close is the end.
	var in, want []byte
	in = append(in, clientFrame(0x8A, mask, []byte("x"))...)
	in = append(in, clientFrame(0x89, mask, []byte("y"))...)
	in = append(in, clientFrame(0x88, mask, []byte{3, 232})...)
	in = append(in, clientFrame(0x82, mask, []byte("too late"))...)
	want = append(serverFrame(0x8A, []byte("y")), serverFrame(0x88, []byte{3, 232})...)
	f(in, want, true)
	f(clientFrame(0x88, mask, nil), serverFrame(0x88, nil), true)
}

func TestEchoUnmasked(t *testing.T) {
	if _, _, err := feed(serverFrame(0x82, []byte("kelp")), 100); !errors.Is(err, ErrUnmasked) {
		t.Errorf("want ErrUnmasked, got %v", err)
	}
}

func TestEchoAllocates(t *testing.T) {
	frame := clientFrame(0x82, [4]byte{1, 2, 3, 4}, bytes.Repeat([]byte("x"), 64))
	buf := make([]byte, Headroom+len(frame))
	var e Echo
	if n := testing.AllocsPerRun(100, func() {
		copy(buf[Headroom:], frame)
		if out, err := e.Feed(buf, len(frame)); err != nil || len(out) != len(frame)-4 {
			t.Fatalf("got %d bytes, %v", len(out), err)
		}
	}); n != 0 {
		t.Errorf("%v allocations a frame; want none", n)
	}
}

// However the bytes are cut, the echo is the same.
func FuzzEcho(f *testing.F) {
	mask := [4]byte{9, 8, 7, 6}
	f.Add(clientFrame(0x82, mask, []byte("kelp")), 1)
	f.Add(append(clientFrame(0x89, mask, nil), clientFrame(0x88, mask, []byte{3, 232})...), 3)
	f.Add(clientFrame(0x82, mask, bytes.Repeat([]byte("z"), 70_000)), 1000)
	f.Fuzz(func(t *testing.T, in []byte, step int) {
		if len(in) == 0 || step < 1 {
			return
		}
		whole, closed, err := feed(in, len(in))
		cut, cutClosed, cutErr := feed(in, step)
		if (err == nil) != (cutErr == nil) {
			t.Fatalf("whole: %v, cut: %v", err, cutErr)
		}
		if err == nil && (!bytes.Equal(whole, cut) || closed != cutClosed) {
			t.Fatalf("whole: %x %v, cut: %x %v", whole, closed, cut, cutClosed)
		}
		if len(whole) > len(in) {
			t.Fatalf("echo of %d bytes is longer than the %d received", len(whole), len(in))
		}
	})
}
