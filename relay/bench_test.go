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
		_, _ = io.Copy(struct{ io.Writer }{c}, struct{ io.Reader }{c})
	}()
	front, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer front.Close()
	c, err := net.Dial("tcp", front.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	a, err := front.Accept()
	if err != nil {
		b.Fatal(err)
	}
	fd := descriptor(a)
	_ = a.Close()
	if err := r.Open(rig{Relay: r}.call(place{fd: fd}, addr(l), newOwner())); err != nil {
		b.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, len(switching))); err != nil {
		b.Fatal(err)
	}
	frame := appendFrame(nil, 2, true, make([]byte, size))
	got := make([]byte, len(frame))
	b.SetBytes(int64(2 * len(frame)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Write(frame); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(c, got); err != nil {
			b.Fatal(err)
		}
	}
}
