package relay

import (
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"
)

// BenchmarkBesideALoudSocket is the round trip of quiet sockets, without and
// with one in the same loop that sends as fast as it can.
func BenchmarkBesideALoudSocket(b *testing.B) {
	for _, loud := range []bool{false, true} {
		b.Run(fmt.Sprintf("loud=%v", loud), func(b *testing.B) {
			r, err := New(Options{Loops: 1})
			if err != nil {
				b.Fatal(err)
			}
			defer r.Close()
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					go serveQuietly(c)
				}
			}()
			const sockets, every = 50, 50 * time.Millisecond
			var all sync.WaitGroup
			stop := make(chan struct{})
			if loud {
				c := benchClient(b, r, l, nil)
				go func() {
					for chunk := appendFrame(nil, opBinary, true, make([]byte, 1<<20)); ; {
						if _, err := c.Write(chunk); err != nil {
							return
						}
					}
				}()
			}
			var mu sync.Mutex
			var took []time.Duration
			for i := range sockets {
				c := benchClient(b, r, l, nil)
				all.Go(func() {
					time.Sleep(every * time.Duration(i) / sockets) // so that they do not speak at once
					tick := time.NewTicker(every)
					defer tick.Stop()
					frame := appendFrame(nil, opBinary, true, make([]byte, 64))
					for {
						select {
						case <-tick.C:
						case <-stop:
							return
						}
						began := time.Now()
						if _, err := c.Write(frame); err != nil {
							return
						}
						if _, err := io.ReadFull(c, frame); err != nil {
							return
						}
						mu.Lock()
						took = append(took, time.Since(began))
						mu.Unlock()
					}
				})
			}
			for b.Loop() {
				time.Sleep(time.Second)
			}
			close(stop)
			all.Wait()
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
			b.ReportMetric(float64(r.Stats().Bytes[Client])/1e6/float64(b.N), "MB/s")
		})
	}
}

// serveQuietly echoes what comes in small pieces, and drops what is larger.
func serveQuietly(c net.Conn) {
	defer c.Close()
	if _, err := io.ReadFull(c, make([]byte, len(handshake))); err != nil {
		return
	}
	_, _ = io.WriteString(c, switching)
	for b := make([]byte, 64<<10); ; {
		n, err := c.Read(b)
		if err != nil {
			return
		}
		if n < 1000 {
			if _, err := c.Write(b[:n]); err != nil {
				return
			}
		}
	}
}

// benchClient opens a pair through r to l and returns the client's end. The
// benchmark's end closes it.
func benchClient(b *testing.B, r *Relay, l net.Listener, edit func(*Call)) net.Conn {
	b.Helper()
	front, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer front.Close()
	c, err := net.Dial("tcp", front.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
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
	b.Cleanup(func() { c.Close() })
	return c
}
