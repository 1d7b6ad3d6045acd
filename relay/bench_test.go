package relay

import (
	"fmt"
	"io"
	"net"
	"testing"
	"time"
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
				echo(b, r, size, nil)
			})
		}
	}
	b.Run("guard/64B", func(b *testing.B) {
		r, err := New(Options{Loops: 1})
		if err != nil {
			b.Fatal(err)
		}
		defer r.Close()
		echo(b, r, 64, func(k *Call) {
			k.Guard = &Guard{MaxMessage: 1 << 20, Messages: Rate{1e9, 1e9}, Bytes: Rate{1 << 32, 1 << 32}}
			k.Ping = time.Minute
		})
	})
}

func echo(b *testing.B, r *Relay, size int, edit func(*Call)) {
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
	k := rig{Relay: r}.call(place{fd: fd}, addr(l), newOwner())
	if edit != nil {
		edit(k)
	}
	if err := r.Open(k); err != nil {
		b.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, len(switching))); err != nil {
		b.Fatal(err)
	}
	got := make([]byte, len(answer))
	b.SetBytes(int64(len(frame) + len(answer)))
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
