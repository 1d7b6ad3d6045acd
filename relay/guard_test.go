package relay

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// wireFrame is a frame as a test reads it.
type wireFrame struct {
	op      byte // first byte
	masked  bool
	payload string
}

func readFrame(c net.Conn) (f wireFrame, err error) {
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	h := make([]byte, 14)
	if _, err = io.ReadFull(c, h[:2]); err != nil {
		return f, err
	}
	n := headerSize(h[1])
	if _, err = io.ReadFull(c, h[2:n]); err != nil {
		return f, err
	}
	size := int(h[1] & 0x7f)
	switch size {
	case 126:
		size = int(binary.BigEndian.Uint16(h[2:]))
	case 127:
		size = int(binary.BigEndian.Uint64(h[2:]))
	}
	b := make([]byte, size)
	_, err = io.ReadFull(c, b)
	if f.op, f.masked = h[0], h[1]&0x80 != 0; f.masked {
		for i := range b {
			b[i] ^= h[n-4+i%4]
		}
	}
	f.payload = string(b)
	return f, err
}

func expectFrame(t *testing.T, c net.Conn, want wireFrame) {
	t.Helper()
	got, err := readFrame(c)
	if err != nil || got != want {
		t.Fatalf("read %+v (%v), want %+v", got, err, want)
	}
}

// expectClose reads a Close, as the relay says it to that side, and then
// nothing else.
func expectClose(t *testing.T, c net.Conn, side int, f *Fault) {
	t.Helper()
	payload := string(binary.BigEndian.AppendUint16(nil, f.Code)) + f.Reason
	expectFrame(t, c, wireFrame{0x88, side == Backend, payload})
}

func mine(side int, op byte, payload string) []byte {
	return appendFrame(nil, op, side == Client, []byte(payload))
}

// A client that breaks a rule: both sides are told, and nothing of the frame
// passes.
func TestGuardAgainstClient(t *testing.T) {
	engines(t, func(t *testing.T, r rig) {
		f := func(g Guard, want *Fault, bad []byte) {
			t.Helper()
			j := r.join(t, func(k *Call) { k.Guard = &g })
			good := mine(Client, opText, "fine")
			send(t, j.client, append(bytes.Clone(good), bad...))
			expect(t, j.backend, string(good))
			expectClose(t, j.client, Client, want)
			expectClose(t, j.backend, Backend, want)
			send(t, j.backend, mine(Backend, opClose, "\x03\xe9"))
			_ = j.backend.Close()
			expectEnd(t, j.client)
			_ = j.client.Close()
			s := within(t, "Closed", j.owner.closed)
			if s.Code != want.Code || s.Reason != want.Reason || s.Ender != ByHoldfast {
				t.Fatalf("summary %+v, want %+v", s, want)
			}
		}
		f(Guard{}, faultUnmasked, mine(Backend, opText, "no"))
		f(Guard{MaxFrame: 100}, faultFrameSize, mine(Client, opBinary, strings.Repeat("x", 101)))
		f(Guard{MaxMessage: 100}, faultMessageSize, mine(Client, opBinary, strings.Repeat("x", 1<<20)))
		f(Guard{UTF8: true}, faultUTF8, mine(Client, opText, "\xff"))
		f(Guard{Messages: Rate{1, 1}}, faultMessageRate, mine(Client, opPing, ""))
	})
}

// What a side says behind its Close does not pass, at once or later; the other
// side still says its own.
func TestNothingFollowsClose(t *testing.T) {
	engines(t, func(t *testing.T, r rig) {
		for from, to := range []int{Backend, Client} {
			j := r.join(t, func(k *Call) { k.Guard = &Guard{} })
			conns := [2]net.Conn{Client: j.client, Backend: j.backend}
			bye := mine(from, opClose, "\x03\xe8")
			send(t, conns[from], append(bytes.Clone(bye), mine(from, opText, "more")...))
			expect(t, conns[to], string(bye))
			send(t, conns[from], mine(from, opText, "later"))
			answer := mine(to, opClose, "\x03\xe8")
			send(t, conns[to], append(mine(to, opText, "last"), answer...))
			expect(t, conns[from], string(append(mine(to, opText, "last"), answer...)))
			_ = conns[from].Close()
			expectEnd(t, conns[to])
			_ = conns[to].Close()
			if s := within(t, "Closed", j.owner.closed); s.Code != 1000 || s.Frames[from] != 1 || s.Frames[to] != 2 {
				t.Errorf("summary %+v", s)
			}
		}
	})
}

// A backend that breaks one: the client reads a Close behind what was whole.
func TestGuardAgainstBackend(t *testing.T) {
	engines(t, func(t *testing.T, r rig) {
		j := r.join(t, func(k *Call) { k.Guard = &Guard{MaxMessage: 10} })
		large := mine(Backend, opBinary, strings.Repeat("x", 1000)) // bounds are for clients
		send(t, j.backend, append(large, mine(Client, opText, "masked")...))
		expect(t, j.client, string(mine(Backend, opBinary, strings.Repeat("x", 1000))))
		expectClose(t, j.client, Client, faultMasked)
		expectClose(t, j.backend, Backend, faultMasked)
		send(t, j.client, mine(Client, opClose, "\x03\xea"))
		_ = j.client.Close()
		if _, err := readFrame(j.backend); err == nil {
			t.Fatal("the backend reads something behind the Close")
		}
		_ = j.backend.Close()
		within(t, "Closed", j.owner.closed)
	})
}

// The side that is in the middle of reading a frame reads its end first.
func TestGuardWaitsForTheFrameUnderWay(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, r rig) {
		j := r.join(t, func(k *Call) { k.Guard = &Guard{} })
		frame := mine(Backend, opBinary, strings.Repeat("y", 1000))
		send(t, j.backend, frame[:500])
		expect(t, j.client, string(frame[:500]))
		send(t, j.client, mine(Client, 0, "continues nothing"))
		expectClose(t, j.backend, Backend, faultContinuation)
		send(t, j.backend, append(bytes.Clone(frame[500:]), mine(Backend, opText, "never read")...))
		expect(t, j.client, string(frame[500:]))
		expectClose(t, j.client, Client, faultContinuation)
		expectEnd(t, j.client)
	})
}

// Above the rate the client is not read; all of it arrives, in order, and as
// fast as it may.
func TestThrottle(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, r rig) {
		var all []byte
		for i := range 40 {
			all = append(all, mine(Client, opText, fmt.Sprint("message ", i))...)
		}
		f := func(g Guard, least time.Duration) {
			t.Helper()
			j := r.join(t, func(k *Call) { k.Guard = &g })
			began := time.Now()
			send(t, j.client, all)
			expect(t, j.backend, string(all))
			if d := time.Since(began); d < least {
				t.Errorf("%+v: all passed in %v, at least %v are due", g, d, least)
			}
			_ = j.client.Close()
			expectEnd(t, j.backend)
			_ = j.backend.Close()
			if s := within(t, "Closed", j.owner.closed); s.Bytes[Client] != uint64(len(all)) || s.Frames[Client] != 40 || s.Ender != ByClient {
				t.Errorf("summary %+v", s)
			}
		}
		f(Guard{Throttle: true, Messages: Rate{100, 10}}, 290*time.Millisecond)
		f(Guard{Throttle: true, Bytes: Rate{uint64(len(all)) * 2, uint64(len(all)) / 5}}, 390*time.Millisecond)
	})
}

func TestByteRate(t *testing.T) {
	engines(t, func(t *testing.T, r rig) {
		j := r.join(t, func(k *Call) { k.Guard = &Guard{Bytes: Rate{1000, 1000}} })
		send(t, j.client, mine(Client, opText, "fine"))
		expect(t, j.backend, string(mine(Client, opText, "fine")))
		send(t, j.client, mine(Client, opText, strings.Repeat("x", 2000)))
		expectClose(t, j.client, Client, faultByteRate)
		expectClose(t, j.backend, Backend, faultByteRate)
	})
}

// Extensions that were agreed on decide which reserved bits are.
func TestGuardKnowsExtensions(t *testing.T) {
	engines(t, func(t *testing.T, r rig) {
		j := r.join(t, func(k *Call) {
			k.Guard = &Guard{UTF8: true}
			o := k.Owner.(*owner)
			o.answer = func(dst, head []byte) ([]byte, error) {
				return append(dst, switching...), nil
			}
		})
		// The rig's answer agrees on none; see TestNegotiated for the others.
		bad := mine(Client, opText, "\xff")
		bad[0] |= rsv1
		send(t, j.client, bad)
		expectClose(t, j.client, Client, faultReservedBits)
	})
}

// A client that answers Pings lives on: the backend sees neither, and is not
// idle's exception.
func TestPingsAreAnswered(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, r rig) {
		for every := 700 * time.Millisecond; !pingsAreAnswered(t, r, every); every *= 2 {
			if every > 5*time.Second {
				t.Fatal("the machine is too busy to answer a Ping in time")
			}
		}
	})
}

// pingsAreAnswered is false if the machine stood still for so long that the pair
// was given up, as is right.
func pingsAreAnswered(t *testing.T, r rig, every time.Duration) bool {
	j := r.join(t, func(k *Call) { k.Ping, k.PingBackend = every, true })
	own := string(mine(Client, opPong, "unasked!"))
	var began time.Time // of the last round; its Pings are due after every
	late := func() bool { return time.Since(began) > every*5/4 }
	for i := range 2 {
		began = time.Now()
		for side, c := range []net.Conn{j.client, j.backend} {
			f, err := readFrame(c)
			if late() && (err != nil || f.op == 0x88) {
				return false
			}
			if err != nil || f.op != 0x89 || len(f.payload) != 8 || f.masked != (side == Backend) {
				t.Fatalf("round %d: side %d read %+v (%v), want a Ping", i, side, f, err)
			}
			pong := mine(side, opPong, f.payload)
			if i == 1 { // in pieces
				send(t, c, pong[:5])
				time.Sleep(5 * time.Millisecond) // so that they are read apart
				pong = pong[5:]
			}
			send(t, c, pong)
			select {
			case s := <-j.owner.trips:
				if s.side != side || s.took <= 0 || s.took > 10*time.Second {
					t.Fatalf("round trip %+v", s)
				}
			case s := <-j.owner.closed:
				if !late() {
					t.Fatalf("round %d: side %d answered in time, and the pair ended: %+v", i, side, s)
				}
				return false
			case <-time.After(10 * time.Second):
				t.Fatal("no RoundTrip within 10 s")
			}
		}
	}
	for _, l := range all(t, r) {
		if l.RoundTrip[Client] <= 0 || l.RoundTrip[Backend] <= 0 || l.Leaving {
			t.Fatalf("live %+v", l)
		}
	}
	send(t, j.client, []byte(own))
	for {
		f, err := readFrame(j.backend)
		switch {
		case err == nil && f.op == 0x89: // another Ping of ours
		case err == nil && f == wireFrame{0x8a, true, "unasked!"}:
			return true
		case late() && (err != nil || f.op == 0x88):
			return false
		default:
			t.Fatalf("the backend read %+v (%v)", f, err)
		}
	}
}

// A side that answers none is given up within two intervals, and the other one
// is told.
func TestSilence(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, r rig) {
		t.Parallel()
		const every = time.Second
		for side, want := range faultSilent {
			j := r.join(t, func(k *Call) { k.Ping, k.PingBackend = every, side == Backend })
			began := time.Now()
			silent, other := net.Conn(j.client), net.Conn(j.backend)
			if side == Backend {
				silent, other = other, silent
			}
			done := make(chan wireFrame, 1)
			go func() { // answers until it is told
				for {
					f, err := readFrame(other)
					if err != nil || f.op != 0x89 {
						done <- f
						return
					}
					_, _ = other.Write(mine(1-side, opPong, f.payload))
				}
			}()
			f := within(t, "Close", done)
			if want := string(binary.BigEndian.AppendUint16(nil, 1001)) + want.Reason; f.op != 0x88 || f.payload != want {
				t.Fatalf("the other side read %+v, want Close %q", f, want)
			}
			if d := time.Since(began); d < every {
				t.Fatalf("given up after %v", d)
			}
			for _, op := range []byte{0x89, 0x89, 0x88} {
				if f, err := readFrame(silent); err != nil || f.op != op {
					t.Fatalf("the silent side read %+v (%v), want %#x", f, err, op)
				}
			}
			_ = other.Close()
			_ = silent.Close()
			if s := within(t, "Closed", j.owner.closed); s.Reason != want.Reason || s.Code != 1001 || s.Ender != ByHoldfast {
				t.Fatalf("summary %+v", s)
			}
		}
	})
}

// With Pings, control frames keep no pair from being idle.
func TestIdleCountsData(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, r rig) {
		j := r.join(t, func(k *Call) { k.Ping, k.Idle = time.Minute, 300*time.Millisecond })
		stop := make(chan struct{})
		defer close(stop)
		go func() {
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for {
				_, _ = j.client.Write(mine(Client, opPing, "still there?"))
				select {
				case <-tick.C:
				case <-stop:
					return
				}
			}
		}()
		expectClose(t, j.client, Client, faultIdle)
	})
}

// A client that does not answer a farewell: its backend is told in its place.
func TestFarewellTellsTheBackend(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, r rig) {
		j := r.join(t, nil)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		go func() { _ = r.Farewell(ctx, 1001, "going away") }()
		bye := &Fault{1001, "going away"}
		expectClose(t, j.client, Client, bye)
		expectClose(t, j.backend, Backend, bye)
	})
}

// A backend in the middle of a frame cannot be told, and is not.
func TestNothingIsSaidInsideAFrame(t *testing.T) {
	engines(t, func(t *testing.T, r rig) {
		j := r.join(t, func(k *Call) { k.Guard = &Guard{UTF8: true} })
		frame := mine(Client, opText, strings.Repeat("x", 1000)+"\xff"+strings.Repeat("x", 1000))
		send(t, j.client, frame[:500])
		expect(t, j.backend, string(frame[:500]))
		send(t, j.client, frame[500:])
		expectClose(t, j.client, Client, faultUTF8)
		_ = j.client.Close()
		rest, err := io.ReadAll(steady{j.backend})
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !strings.Contains(err.Error(), "reset") {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(frame[500:], rest) || len(rest) > 510 {
			t.Fatalf("the backend read %d bytes more: %q", len(rest), rest)
		}
	})
}

// Reading the rest of a client that was cut off does not take for ever.
func TestGuardEndsAFlood(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, r rig) {
		j := r.join(t, func(k *Call) { k.Guard = &Guard{Messages: Rate{10, 10}} })
		go func() {
			for b := bytes.Repeat(mine(Client, opText, "flood"), 1000); ; {
				if _, err := j.client.Write(b); err != nil {
					return
				}
			}
		}()
		s := within(t, "Closed", j.owner.closed)
		if s.Code != 1008 || s.Reason != faultMessageRate.Reason {
			t.Fatalf("summary %+v", s)
		}
		testkit.Eventually(t, 10*time.Second, func() bool { return r.Stats().Pairs == 0 }, "the end")
	})
}
