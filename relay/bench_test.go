package relay

import (
	"fmt"
	"io"
	"net"
	"testing"
)

// BenchmarkEcho is one message through a pair and back, one at a time: mostly
// system calls and wake-ups, and so a measure of the engines against each
// other rather than of either alone.
func BenchmarkEcho(b *testing.B) {
	for _, portable := range []bool{false, true} {
		for _, size := range []int{64, 64 << 10} {
			b.Run(fmt.Sprintf("portable=%v/%dB", portable, size), func(b *testing.B) {
				r, err := New(Options{Loops: 1, Portable: portable})
				if err != nil {
					b.Fatal(err)
				}
				defer r.Close()
				echo(b, r, size)
			})
		}
	}
}

func echo(b *testing.B, r *Relay, size int) {
	c := converse(b, r, size, nil)
	b.SetBytes(int64(len(c.frame) + len(c.got)))
	b.ReportAllocs()
	for b.Loop() {
		c.trip(b)
	}
}

// conversation is an open pair, of which the backend echoes.
type conversation struct {
	net.Conn
	frame, got []byte
}

// converse opens one for frames of size bytes.
func converse(b *testing.B, r *Relay, size int, edit func(*Call)) conversation {
	b.Helper()
	frame := appendFrame(nil, opBinary, true, make([]byte, size))
	answer := appendFrame(nil, opBinary, false, make([]byte, size))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		_, _ = io.ReadFull(c, make([]byte, len(handshake)))
		_, _ = io.WriteString(c, switching)
		for in := make([]byte, len(frame)); err == nil; {
			if _, err = io.ReadFull(c, in); err == nil {
				_, err = c.Write(answer)
			}
		}
	}()
	return conversation{benchClient(b, r, l, edit), frame, make([]byte, len(answer))}
}

// trip sends one message and waits for its echo.
func (c conversation) trip(b *testing.B) {
	if _, err := c.Write(c.frame); err != nil {
		b.Fatal(err)
	}
	if _, err := io.ReadFull(c, c.got); err != nil {
		b.Fatal(err)
	}
}
