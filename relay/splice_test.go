//go:build linux && (amd64 || arm64)

package relay

import (
	"bytes"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

func init() {
	askedOfLoop = func(e engine, id uint64, side int) (n int, waits, ok bool) {
		e.(*loop).ask(func(l *loop) {
			if p := l.table.find(id); p != nil {
				v := p.watch.vitals[side]
				n, waits, ok = int(v.asked), v.wanted, true
			}
		})
		return n, waits, ok
	}
	spliceAll = func(r *Relay) {
		for _, e := range r.engines {
			e.(*loop).ask(func(l *loop) { l.bulk = 1 })
		}
	}
}

// noise returns a frame whose payload is random.
func noise(side, size int) []byte {
	payload := make([]byte, size)
	rng := rand.New(rand.NewPCG(uint64(size), 5))
	for i := range payload {
		payload[i] = byte(rng.Uint32())
	}
	return appendFrame(nil, opBinary, side == Client, payload)
}

// Of large frames the loop's buffer sees what the first read brings, and from
// then on headers, and a rest that is not worth a splice.
func TestLargePayloadsAreNotCopied(t *testing.T) {
	f := func(name string, edit func(*Call)) {
		t.Run(name, func(t *testing.T) {
			r, err := New(Options{Loops: 1})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			l := r.engines[0].(*loop)
			j := rig{Relay: r}.join(t, edit)
			for side, c := range []*peer{j.client, j.backend} {
				whole := noise(side, 4*bulkBytes)
				other := []*peer{j.backend, j.client}[side]
				say := func() {
					t.Helper()
					go func() { _, _ = c.Write(whole) }()
					got := make([]byte, len(whole))
					if _, err := io.ReadFull(steady{other}, got); err != nil || !bytes.Equal(got, whole) {
						t.Fatalf("a large frame was changed on its way (%v)", err)
					}
				}
				say()
				l.ask(func(l *loop) { clear(l.buf) })
				for range 3 {
					say()
				}
				l.ask(func(l *loop) {
					if n := len(bytes.TrimRight(l.buf, "\x00")); n >= bulkBytes+maxHeader {
						t.Errorf("side %d: %d bytes were in the loop's buffer", side, n)
					}
				})
			}
			_, _ = j.client.Close(), j.backend.Close()
			s := within(t, "Closed", j.owner.closed)
			size := [2]uint64{uint64(4 * len(noise(Client, 4*bulkBytes))), uint64(4 * len(noise(Backend, 4*bulkBytes)))}
			if s.Bytes != size || s.Frames != [2]uint64{4, 4} {
				t.Errorf("summary %+v, want %d bytes in 4 frames", s, size)
			}
		})
	}
	f("nobody looks", nil)
	f("sizes, rates of messages and Pings", func(k *Call) {
		k.Ping, k.PingBackend = time.Hour, true
		k.Guard = &Guard{MaxMessage: 1 << 30, MaxFrame: 1 << 30, Messages: Rate{1000, 1000}}
	})
	f("text is checked, and this is none", func(k *Call) { k.Guard = &Guard{UTF8: true} })
}

// A guard that needs every byte gets it.
func TestCheckedPayloadsAreRead(t *testing.T) {
	r, err := New(Options{Loops: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	spliceAll(r)
	f := func(name string, g Guard, op byte, payload string, want *Fault) {
		t.Run(name, func(t *testing.T) {
			j := rig{Relay: r}.join(t, func(k *Call) { k.Guard = &g })
			first := mine(Client, opBinary, strings.Repeat("x", 4*bulkBytes))
			send(t, j.client, first)
			expect(t, j.backend, string(first))
			go func() { _, _ = j.client.Write(mine(Client, op, payload)) }()
			expectClose(t, j.client, Client, want)
		})
	}
	long := strings.Repeat("x", 2*bulkBytes)
	f("text that is none", Guard{UTF8: true}, opText, long+"\xff"+long, faultUTF8)
	f("a frame above the bound", Guard{MaxFrame: 5 * bulkBytes}, opBinary, strings.Repeat("x", 6*bulkBytes), faultFrameSize)
	f("a byte rate", Guard{Bytes: Rate{1000, 8 * bulkBytes}}, opBinary, strings.Repeat("x", 8*bulkBytes), faultByteRate)
}

// Who ends in the middle of a payload has what was said before it passed on.
func TestEndWithinALargePayload(t *testing.T) {
	loops(t, func(t *testing.T, r rig) {
		for _, reset := range []bool{false, true} {
			j := r.join(t, nil)
			whole := noise(Backend, 1<<20)
			said := whole[:700_001]
			go func() {
				_, _ = j.backend.Write(said)
				if !reset {
					_ = j.backend.CloseWrite()
				}
			}()
			got := make([]byte, len(said))
			if _, err := io.ReadFull(steady{j.client}, got); err != nil || !bytes.Equal(got, said) {
				t.Fatalf("part of a frame was changed on its way (%v)", err)
			}
			want := "end of stream"
			if reset {
				j.backend.reset()
				want = "reset"
			}
			// A reset is an orderly end for a side that has not acknowledged all.
			if err := expectEnd(t, j.client); !reset && !errors.Is(err, io.EOF) {
				t.Fatalf("the client sees %v, want an orderly end", err)
			}
			_ = j.client.Close()
			if s := within(t, "Closed", j.owner.closed); s.Reason != want || s.Ender != ByBackend || s.Bytes[Backend] != uint64(len(said)) {
				t.Fatalf("summary %+v", s)
			}
		}
	})
}

// One frame that comes for longer than the idle timeout keeps its pair open,
// with Pings too, where control frames do not.
func TestASlowFrameIsNotIdle(t *testing.T) {
	t.Parallel()
	r, err := New(Options{Loops: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	spliceAll(r)
	j := rig{Relay: r}.join(t, func(k *Call) { k.Idle, k.Ping = 3*time.Second, time.Hour })
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for piece := range slices.Chunk(noise(Backend, 40*1000), 1000) {
		<-tick.C
		send(t, j.backend, piece)
		expect(t, j.client, string(piece))
	}
	next := string(mine(Backend, opText, "and no Close behind it"))
	send(t, j.backend, []byte(next))
	expect(t, j.client, next)
}

// A side that breaks while bytes are on their way to it leaves none of them to
// the next pair of its loop; and pipes are as many as loops, however many pairs
// have something pending.
func TestPipesAreEmptyAndFew(t *testing.T) {
	before := pipes(t)
	r, err := New(Options{Loops: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	spliceAll(r)
	var stuck []joined
	for range 8 {
		j := rig{Relay: r}.join(t, nil)
		go shout(j.client)
		stuck = append(stuck, j)
	}
	testkit.Eventually(t, 20*time.Second, func() bool {
		for _, e := range r.engines {
			pending := 0
			e.(*loop).ask(func(l *loop) {
				l.table.each(func(p *pair) {
					if len(p.ends[Backend].pend) > 0 {
						pending++
					}
				})
			})
			if pending != len(stuck)/2 {
				return false
			}
		}
		return true
	}, "every backend has something pending")
	if n := len(pipes(t)) - len(before); n > 2*2 {
		t.Errorf("two loops have %d ends of pipes", n)
	}
	for _, j := range stuck {
		go func() { _, _ = io.CopyN(io.Discard, j.backend, 5<<20); j.backend.reset() }()
	}
	for _, j := range stuck {
		if s := within(t, "Closed", j.owner.closed); s.Ender != ByBackend {
			t.Errorf("summary %+v", s)
		}
	}
	for _, e := range r.engines {
		e.(*loop).ask(func(l *loop) {
			if n := l.pipe.Len(); n != 0 || l.bulk != 1 {
				t.Errorf("%d bytes in a pipe that nobody uses; spliced from %d", n, l.bulk)
			}
		})
		j := rig{Relay: r}.join(t, nil)
		whole := noise(Client, 1<<20)
		go func() { _, _ = j.client.Write(whole) }()
		got := make([]byte, len(whole))
		if _, err := io.ReadFull(steady{j.backend}, got); err != nil || !bytes.Equal(got, whole) {
			t.Fatalf("a frame was changed on its way (%v)", err)
		}
	}
}

// Where the system does not splice, everything is copied.
func TestWithoutSplice(t *testing.T) {
	before := pipes(t)
	r, err := New(Options{Loops: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for fd := range pipes(t) {
		if !before[fd] {
			if err := syscall.Dup3(int(null.Fd()), fd, syscall.O_CLOEXEC); err != nil { // what splice refuses
				t.Fatal(err)
			}
		}
	}
	j := rig{Relay: r}.join(t, nil)
	whole := noise(Client, 1<<20)
	for range 2 {
		go func() { _, _ = j.client.Write(whole) }()
		got := make([]byte, len(whole))
		if _, err := io.ReadFull(steady{j.backend}, got); err != nil || !bytes.Equal(got, whole) {
			t.Fatalf("a frame was changed on its way (%v)", err)
		}
	}
	r.engines[0].(*loop).ask(func(l *loop) {
		if l.bulk != math.MaxUint64 {
			t.Errorf("it is still tried, from %d bytes", l.bulk)
		}
	})
}

// pipes returns the ends of pipes that this process has open.
func pipes(t *testing.T) map[int]bool {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("no /proc: ", err)
	}
	all := map[int]bool{}
	for _, e := range entries {
		fd, _ := strconv.Atoi(e.Name())
		if s, _ := os.Readlink("/proc/self/fd/" + e.Name()); strings.HasPrefix(s, "pipe:") {
			all[fd] = true
		}
	}
	return all
}
