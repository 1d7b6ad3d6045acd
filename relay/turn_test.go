//go:build linux && (amd64 || arm64)

package relay

import (
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// Beside a socket that sends as fast as it can, everybody else has a turn in
// every wakeup of the loop, and the loud one no more than one, of so many
// bytes. What time that takes is BenchmarkBesideALoudSocket's to say.
func TestALoudSocketHasOneTurn(t *testing.T) {
	r, err := New(Options{Loops: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	l := r.engines[0].(*loop)
	loud := rig{Relay: r}.join(t, func(c *Call) { c.ID = 1 })
	var quiet []joined
	for i := range 50 {
		quiet = append(quiet, rig{Relay: r}.join(t, func(c *Call) { c.ID = uint64(i) + 2 }))
	}
	// The kernel makes room for a fast stream as it goes.
	for _, side := range []*peer{loud.client, loud.backend} {
		go shout(side)
		go func() { _, _ = io.Copy(io.Discard, side) }()
	}
	defer func() { _, _ = loud.client.Close(), loud.backend.Close() }()

	const rounds, pause, wakeups = 8, 5 * time.Millisecond, 50
	for range rounds {
		// While the loop is held the loud one's buffers fill, and everybody else
		// says something.
		hold, ready := make(chan struct{}), make(chan struct{})
		passed := make(chan bool, 1)
		var most uint64
		n := 0
		var frames, bytes [2]uint64
		count := func() (f, b [2]uint64) {
			for side := range 2 {
				b[side] = l.table.find(1).ends[side].bytes
				for i := range quiet {
					f[side] += l.table.find(uint64(i) + 2).ends[side].frames
				}
			}
			return f, b
		}
		l.post(func() bool {
			if n++; n == 1 {
				close(ready)
				<-hold
				frames, bytes = count()
				return true
			}
			f, b := count()
			if n == 2 {
				passed <- f[Client] == frames[Client]+uint64(len(quiet)) && f[Backend] == frames[Backend]+uint64(len(quiet))
			}
			for side := range b {
				most = max(most, b[side]-bytes[side])
			}
			bytes = b
			if n == wakeups {
				close(passed)
				return false
			}
			return true
		})
		<-ready
		for _, j := range quiet {
			for side, c := range []net.Conn{j.client, j.backend} {
				if _, err := c.Write(appendFrame(nil, opText, side == Client, []byte("hello"))); err != nil {
					t.Fatal(err)
				}
			}
		}
		// Those are waited for. The loud one may fill less.
		testkit.Eventually(t, 10*time.Second, func() bool {
			for i := range quiet {
				for _, e := range l.table.find(uint64(i) + 2).ends {
					if n, err := unix.IoctlGetInt(int(e.fd), unix.TIOCINQ); err != nil || n == 0 {
						return false
					}
				}
			}
			return true
		}, "what everybody says has come")
		time.Sleep(pause)
		close(hold)
		if all := within(t, "the wakeup after the pause", passed); !all {
			t.Error("somebody had no turn in the first wakeup")
		}
		for range passed {
		}
		// A read that fills the buffer to the last byte but one leaves room for
		// another within the turn, and a splice may take a header more.
		if most >= turnBytes+bufferSize+maxHeader {
			t.Fatalf("the loud socket moved %d bytes in a wakeup, %d are a turn", most, turnBytes)
		}
	}
}

// shout writes frames until the connection is closed.
func shout(c net.Conn) {
	for chunk := appendFrame(nil, opBinary, true, make([]byte, 1<<20)); ; {
		if _, err := c.Write(chunk); err != nil {
			return
		}
	}
}

// What a client has sent above its rate calls nobody while its backend takes
// nothing: that would be in vain.
func TestNoCallsForWhatCannotPass(t *testing.T) {
	p := &pair{watch: &watch{excess: &excess{rest: []byte("more"), until: 1000}}}
	if due := p.callAt(); due != 1000 {
		t.Errorf("called at %d, it may pass at 1000", due)
	}
	p.ends[Backend].pend = []byte("not taken yet")
	if due := p.callAt(); due != 0 {
		t.Errorf("called at %d, which is in vain", due)
	}
}
