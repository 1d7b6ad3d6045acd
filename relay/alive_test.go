package relay

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// askedOfLoop is asked for a loop; false if the pair is not one of its.
var askedOfLoop = func(engine, uint64, int) (n int, waits, ok bool) { panic("no loops") }

// askedOf returns how many Pings were due to a side since it was last heard, and
// whether one waits for the end of a frame; ok is false if there is no such pair.
func (r rig) askedOf(id uint64, side int) (n int, waits, ok bool) {
	for _, e := range r.engines {
		if e, portable := e.(*portable); portable {
			e.mu.Lock()
			j := e.joints[id]
			e.mu.Unlock()
			if j == nil {
				return 0, false, false
			}
			v := &j.vitals[side]
			return int(v.asked.Load()), v.wanted.Load(), true
		}
		if n, waits, ok = askedOfLoop(e, id, side); ok {
			break
		}
	}
	return n, waits, ok
}

// pinged reads what a side is sent, and yields the Pings; the channel is closed
// at the end, or at a Close.
func pinged(c *peer) <-chan wireFrame {
	pings := make(chan wireFrame, 1000)
	go func() {
		defer close(pings)
		for {
			switch f, err := readFrame(c); {
			case err != nil || f.op == 0x80|opClose:
				return
			case f.op == 0x80|opPing:
				pings <- f
			}
		}
	}()
	return pings
}

// goesOn waits for a third Ping from now on: whoever is given up has two.
func goesOn(t *testing.T, j joined, pings <-chan wireFrame) {
	t.Helper()
	for len(pings) > 0 {
		<-pings
	}
	for range 3 {
		if f := within(t, "Ping", pings); f.op == 0 {
			t.Fatalf("given up: %+v", within(t, "Closed", j.owner.closed))
		}
	}
}

// A client is not read while its backend takes nothing, so that its answer to a
// Ping stands behind what it has sent before: it is not silent.
func TestAnUploadIsNotSilent(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, r rig) {
		t.Parallel()
		j := r.join(t, func(k *Call) { k.Ping = 2 * time.Second }) // in which it says something before it is held up
		pings := pinged(j.client)
		r.flood(t, j.client, Client)
		goesOn(t, j, pings)
		_, _ = j.client.Close(), j.backend.Close()
		within(t, "Closed", j.owner.closed)
	})
}

// A backend is not read while its client takes nothing, which is the client's
// doing: nobody may have a backend called unresponsive that way.
func TestADeafClientDoesNotSilenceItsBackend(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, r rig) {
		t.Parallel()
		j := r.join(t, func(k *Call) { k.Ping, k.PingBackend = 800*time.Millisecond, true })
		go func() { // sends, and reads nothing
			for {
				if _, err := j.client.Write(mine(Client, opBinary, "hi")); err != nil {
					return
				}
				time.Sleep(20 * time.Millisecond)
			}
		}()
		pinged(j.backend) // which reads all the time
		r.flood(t, j.backend, Backend)
		// It need not be sent a Ping: its host acknowledges what the client says.
		select {
		case end := <-j.owner.closed:
			t.Fatalf("given up: %+v", end)
		case <-time.After(3 * time.Second): // nearly four intervals; silence is ended within two
		}
		_, _ = j.client.Close(), j.backend.Close()
		within(t, "Closed", j.owner.closed)
	})
}

// A client above its rate is not read, and neither silent nor idle while what
// it has sent is passed on.
func TestThrottledIsNeitherSilentNorIdle(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, r rig) {
		t.Parallel()
		all := bytes.Repeat(mine(Client, opBinary, strings.Repeat("x", 94)), 40)
		for _, edit := range []func(*Call){
			func(k *Call) { k.Ping = time.Second },
			func(k *Call) { k.Idle = 2 * time.Second },
			func(k *Call) { k.Idle, k.Ping = 2*time.Second, time.Minute },
		} {
			j := r.join(t, func(k *Call) {
				k.Guard = &Guard{Throttle: true, Bytes: Rate{1000, 500}}
				edit(k)
			})
			pinged(j.client)
			send(t, j.client, all)
			expect(t, j.backend, string(all))
			_, _ = j.client.Close(), j.backend.Close()
			within(t, "Closed", j.owner.closed)
		}
	})
}

// A side that has said Close has nothing more to say: what it sends all the same
// keeps no pair from being idle, judged or not.
func TestBehindACloseIsIdle(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, r rig) {
		t.Parallel()
		for _, guard := range []*Guard{nil, {}} {
			j := r.join(t, func(k *Call) { k.Guard, k.Idle = guard, 300*time.Millisecond })
			send(t, j.client, mine(Client, opClose, "\x03\xe8"))
			go func() {
				for {
					if _, err := j.client.Write(mine(Client, opText, "more")); err != nil {
						return
					}
					time.Sleep(10 * time.Millisecond)
				}
			}()
			within(t, "Closed", j.owner.closed)
			_, _ = j.client.Close(), j.backend.Close()
		}
	})
}

// halfway joins a pair of which the client has half of a frame, in which
// a Ping to it is due for the nth time, and returns the other half.
func (r rig) halfway(t *testing.T, frame []byte, n int, edit func(*Call)) (joined, []byte) {
	t.Helper()
	var id uint64
	j := r.join(t, func(k *Call) {
		k.ID, k.Ping = NewID(), time.Second // in which half of the frame has come
		edit(k)
		id = k.ID
	})
	half := len(frame) / 2
	send(t, j.backend, frame[:half])
	expect(t, j.client, string(frame[:half]))
	testkit.Eventually(t, 10*time.Second, func() bool {
		asked, waits, _ := r.askedOf(id, Client)
		return asked >= n && waits
	}, "a Ping that waits for the end of a frame")
	return j, frame[half:]
}

// A Ping that had to wait for the end of a frame comes behind it, and whoever
// gets it has as much time to answer, and as many Pings, as everybody.
func TestALatePingHasItsTime(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, r rig) {
		t.Parallel()
		j, rest := r.halfway(t, mine(Backend, opBinary, strings.Repeat("x", 1000)), 2, func(*Call) {})
		send(t, j.backend, rest)
		expect(t, j.client, string(rest))
		for _, op := range []byte{0x80 | opPing, 0x80 | opPing, 0x80 | opClose} {
			if f, err := readFrame(j.client); err != nil || f.op != op {
				t.Fatalf("read %+v (%v), want %#x", f, err, op)
			}
		}
	})
}

// It does not come behind a Close of ours.
func TestNoPingBehindAClose(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, r rig) {
		t.Parallel()
		id := NewID()
		j, rest := r.halfway(t, mine(Backend, opBinary, strings.Repeat("x", 1000)), 1, func(k *Call) { k.ID = id })
		if !r.End(id, 1001, "bye", 10*time.Second) {
			t.Fatal("there is no pair to end")
		}
		testkit.Eventually(t, 10*time.Second, func() bool { return all(t, r)[id].Leaving }, "news of the end")
		send(t, j.backend, rest)
		expect(t, j.client, string(rest))
		expectClose(t, j.client, Client, &Fault{1001, "bye"})
		send(t, j.client, mine(Client, opClose, "\x03\xe9"))
		_ = j.backend.Close()
		expectEnd(t, j.client)
	})
}

// Nor in the middle of a frame that a fault has cut.
func TestNoPingInsideACutFrame(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, r rig) {
		t.Parallel()
		frame := mine(Backend, opText, strings.Repeat("x", 900)+"\xff"+strings.Repeat("x", 99))
		j, rest := r.halfway(t, frame, 1, func(k *Call) { k.Guard = &Guard{UTF8: true} })
		send(t, j.backend, rest)
		expectClose(t, j.backend, Backend, faultUTF8)
		send(t, j.backend, mine(Backend, opText, "more"))
		_ = j.backend.Close()
		got, err := io.ReadAll(steady{j.client})
		if err != nil && !lost(err) {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(rest, got) {
			t.Fatalf("the client reads %q in the middle of a frame", got)
		}
	})
}
