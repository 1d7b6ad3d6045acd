//go:build linux && (amd64 || arm64)

package relay

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/sys"
	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// carriage hands pairs from one relay to another as two processes do: with
// descriptors of their own, and texts.
type carriage struct {
	settings Call // what the receiver knows by itself
	refuse   func(*Handed) bool
	gone     int
}

func (c *carriage) bring(from, to *Relay) (Handover, error) {
	return from.HandOver(func(handed []Handed) ([]bool, error) {
		refused := make([]bool, len(handed))
		for i := range handed {
			h := &handed[i]
			if c.refuse != nil && c.refuse(h) {
				refused[i] = true
				continue
			}
			if err := c.deliver(h, to); err != nil {
				return nil, err
			}
		}
		return refused, nil
	}, func(Owner) { c.gone++ })
}

func (c *carriage) deliver(h *Handed, to *Relay) error {
	text, err := json.Marshal(h.Carried)
	if err != nil {
		return err
	}
	var s Carried
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	client, err := sys.Dup(h.Client)
	if err != nil {
		return err
	}
	backend, err := sys.Dup(h.Backend)
	if err != nil {
		return err
	}
	k := c.settings
	k.Client, k.Owner = client, h.Owner
	return to.Receive(&k, &s, backend)
}

// twoRelays are two of them, the second of which has nothing yet.
func twoRelays(t *testing.T, secure bool) [2]rig {
	t.Helper()
	var both [2]rig
	for i := range both {
		r, err := New(Options{Loops: 2})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(r.Close)
		both[i] = rig{r, [2]bool{secure, false}}
	}
	return both
}

// Both sides of many pairs talk at once, in random frames cut anywhere, while
// the pairs go from one relay to the other and back all the time. What each
// hears is what the other has said, and in the end the account is right.
func TestConversationsAreHandedOver(t *testing.T) {
	t.Parallel()
	f := func(name string, settings Call) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			both := twoRelays(t, false)
			const talks, times = 6, 5
			var all sync.WaitGroup
			var ordered atomic.Bool
			var joins [talks]joined
			var speakers []*speaker
			var heard [talks][2]int
			for i := range talks {
				joins[i] = both[0].join(t, func(k *Call) {
					k.Ping, k.PingBackend, k.Guard = settings.Ping, settings.PingBackend, settings.Guard
				})
			}
			for i, j := range joins {
				var sides [2]*speaker
				for side, p := range []*peer{j.client, j.backend} {
					sides[side] = &speaker{
						peer: p, side: side, seed: uint64(i), n: 1 << 40, pings: make(chan string, 1000), heard: make(chan struct{}), ordered: &ordered,
						pause: settings.Ping * 5 / 4, breath: time.Millisecond,
					}
				}
				speakers = append(speakers, sides[:]...)
				for side, s := range sides {
					s.other = sides[1-side]
					all.Go(func() {
						if err := s.say(); err != nil && settings.Ping == 0 {
							t.Errorf("pair %d, side %d says: %v", i, side, err)
						}
					})
					all.Go(func() {
						n, err := s.hear()
						// On a busy machine a pause may be taken for a silence.
						if heard[i][side] = n; err != nil && !(settings.Ping > 0 && lost(err)) {
							t.Errorf("pair %d, side %d hears %d frames, then %v", i, side, n, err)
						}
					})
				}
			}
			c := &carriage{settings: settings}
			var sum Handover
			for at := 0; sum.Handed < times*talks && !t.Failed() && both[0].Stats().Pairs+both[1].Stats().Pairs > 0; at = 1 - at {
				h, err := c.bring(both[at].Relay, both[1-at].Relay)
				if err != nil {
					t.Fatal(err)
				}
				sum.Handed += h.Handed
				sum.Busy += h.Busy
			}
			ordered.Store(true)
			for _, s := range speakers {
				s.stop.Store(true)
			}
			all.Wait()
			for i, j := range joins {
				s := within(t, "Closed", j.owner.closed)
				if s.Ender == ByHoldfast && settings.Ping > 0 {
					continue
				}
				for side, n := range s.Frames {
					// With a Close, and maybe with answers to Pings of ours.
					if want := uint64(heard[i][1-side] + 1); n != want && (settings.Ping == 0 || n < want) {
						t.Errorf("pair %d, side %d has sent %d frames by the account (%+v), and %d were heard", i, side, n, s, want)
					}
				}
			}
			if sum.Handed < talks || sum.Handed != c.gone {
				t.Errorf("%+v, and %d are gone: too few to tell anything, or another number", sum, c.gone)
			}
			for _, r := range both {
				testkit.Eventually(t, 10*time.Second, func() bool { return r.Stats().Pairs == 0 }, "no pair is counted")
			}
			t.Logf("%d pairs, %+v", talks, sum)
		})
	}
	f("bytes", Call{})
	f("pings", Call{Ping: 500 * time.Millisecond, PingBackend: true})
	f("guard", Call{Guard: &Guard{MaxMessage: 1 << 20, UTF8: true}})
}

// What a peer has not taken goes along, and so does half a header.
func TestHandedOverWithWhatWaits(t *testing.T) {
	both := twoRelays(t, false)
	j := both[0].join(t, nil)
	big := noise(Backend, 8<<20)
	go func() { _, _ = j.backend.Write(big) }()
	const whole = "\x82\x85\x00\x00\x00\x00hello"
	send(t, j.client, []byte(whole[:3]))
	testkit.Eventually(t, 10*time.Second, func() bool {
		waits := false
		both[0].Each(func(l *Live) bool {
			waits = l.Bytes[Client] == 3 && l.Bytes[Backend] > 1<<20
			return true
		})
		return waits
	}, "bytes wait for a client that does not read")
	c := &carriage{}
	if h, err := c.bring(both[0].Relay, both[1].Relay); err != nil || h.Handed != 1 {
		t.Fatalf("%+v, %v", h, err)
	}
	expect(t, steadily(j.client), string(big))
	send(t, j.client, []byte(whole[3:]))
	expect(t, j.backend, whole)
	_, _ = j.client.Close(), j.backend.Close()
	if s := within(t, "Closed", j.owner.closed); s.Frames != [2]uint64{1, 1} || s.Bytes != [2]uint64{uint64(len(whole)), uint64(len(big))} {
		t.Errorf("the account over both relays is %+v", s)
	}
}

func steadily(p *peer) *peer { return &peer{Conn: steady{p.Conn}, tcp: p.tcp} }

// Pairs that nobody takes go on where they were, and what was ordered meanwhile
// is done then. An error keeps all.
func TestHandoverRefused(t *testing.T) {
	both := twoRelays(t, false)
	id := NewID()
	stays, goes := both[0].join(t, func(k *Call) { k.ID = id }), both[0].join(t, nil)
	talk := func(j joined) {
		t.Helper()
		hello := mine(Client, opText, "hello")
		send(t, j.client, hello)
		expect(t, j.backend, string(hello))
	}
	broken := errors.New("the other process has died")
	if _, err := both[0].HandOver(func([]Handed) ([]bool, error) { return nil, broken }, func(Owner) { t.Error("gone") }); !errors.Is(err, broken) {
		t.Fatalf("error %v, want %v", err, broken)
	}
	talk(stays)
	talk(goes)
	c := &carriage{refuse: func(h *Handed) bool {
		if h.ID != id {
			return false
		}
		if !both[0].End(id, 1012, "service restart", 10*time.Second) {
			t.Error("a pair that rests is not known")
		}
		return true
	}}
	h, err := c.bring(both[0].Relay, both[1].Relay)
	if want := (Handover{Handed: 1, Refused: 1}); err != nil || h != want {
		t.Fatalf("%+v (%v), want %+v", h, err, want)
	}
	expectClose(t, stays.client, Client, &Fault{1012, "service restart"})
	talk(goes)
	if a, b := both[0].Stats().Pairs, both[1].Stats().Pairs; a != 1 || b != 1 {
		t.Errorf("%d and %d pairs, want 1 each", a, b)
	}
	both[0].Close()
	within(t, "Closed", stays.owner.closed)
	talk(goes)
	if err := both[0].Receive(&Call{}, &Carried{}, -1); !errors.Is(err, ErrStopping) {
		t.Errorf("a relay that has ended receives: %v", err)
	}
}

// A pair that is cut while it rests has ended here: its owner hears that once.
func TestCutWhileItRests(t *testing.T) {
	both := twoRelays(t, false)
	j := both[0].join(t, nil)
	h, err := both[0].HandOver(func([]Handed) ([]bool, error) {
		for _, e := range both[0].engines {
			l := e.(*loop)
			l.ask(func(*loop) { l.table.each(l.cut) })
		}
		return nil, nil
	}, func(Owner) { t.Error("it is said to be another process's") })
	if err != nil || h != (Handover{}) {
		t.Errorf("%+v (%v), want nothing", h, err)
	}
	within(t, "Closed", j.owner.closed)
}

// What cannot be handed over stays, and is told apart from what only cannot now.
func TestHandoverLeaves(t *testing.T) {
	f := func(what string, secure bool, edit func(*Call), do func(joined), want Handover) {
		t.Helper()
		both := twoRelays(t, secure)
		j := both[0].join(t, edit)
		do(j)
		c := &carriage{}
		testkit.Eventually(t, 10*time.Second, func() bool {
			h, err := c.bring(both[0].Relay, both[1].Relay)
			if err != nil {
				t.Fatal(err)
			}
			return h == want
		}, fmt.Sprintf("%s: %+v", what, want))
		if n := both[0].Stats().Pairs; n != 1 {
			t.Errorf("%s: %d pairs stay, want 1", what, n)
		}
	}
	begun := string(appendFrame(nil, opText&^0x80, true, []byte("a")))
	begun = "\x01" + begun[1:]
	f("TLS", true, nil, func(joined) {}, Handover{Fixed: 1})
	f("ended", false, nil, func(j joined) { _ = j.backend.CloseWrite() }, Handover{Fixed: 1})
	f("said Close", false, nil, func(j joined) { send(t, j.client, mine(Client, opClose, "\x03\xe8")) }, Handover{Fixed: 1})
	f("in a guarded message", false, func(k *Call) { k.Guard = &Guard{} }, func(j joined) {
		send(t, j.client, []byte(begun))
		expect(t, j.backend, begun)
	}, Handover{Busy: 1})
	f("in half a header", false, func(k *Call) { k.Guard = &Guard{} }, func(j joined) {
		send(t, j.client, []byte(begun[:1]))
		b := appendFrame(nil, opText, false, []byte("b")) // told apart by what passes behind it
		send(t, j.backend, b)
		expect(t, j.client, string(b))
	}, Handover{Busy: 1})
}

// The relay that receives a pair does all for it that the first would have done.
func TestReceivedPairsAreCaredFor(t *testing.T) {
	bring := func(edit func(*Call), settings Call) (joined, [2]rig) {
		t.Helper()
		both := twoRelays(t, false)
		j := both[0].join(t, edit)
		c := &carriage{settings: settings}
		if h, err := c.bring(both[0].Relay, both[1].Relay); err != nil || h.Handed != 1 {
			t.Fatalf("%+v, %v", h, err)
		}
		return j, both
	}
	with := func(k Call) func(*Call) {
		return func(c *Call) { c.Idle, c.Ping, c.Guard = k.Idle, k.Ping, k.Guard }
	}
	idle := Call{Idle: 100 * time.Millisecond}
	j, _ := bring(with(Call{Idle: time.Hour}), idle)
	expectClose(t, j.client, Client, faultIdle)

	pings := Call{Ping: 50 * time.Millisecond}
	j, _ = bring(with(pings), pings)
	if f, err := readFrame(j.client); err != nil || f.op != 0x80|opPing {
		t.Errorf("%+v (%v), want a Ping", f, err)
	}

	guard := Call{Guard: &Guard{Messages: Rate{1, 3}}}
	j, _ = bring(with(guard), guard)
	for range 3 {
		send(t, j.client, mine(Client, opText, "x"))
	}
	send(t, j.client, mine(Client, opText, "x"))
	expectClose(t, j.client, Client, faultMessageRate)

	// What the first did not judge the second does not either: it may be in the
	// middle of something.
	j, _ = bring(nil, guard)
	many := ""
	for range 20 {
		many += string(mine(Client, opText, "x"))
	}
	send(t, j.client, []byte(many))
	expect(t, j.backend, many)

	j, both := bring(nil, Call{})
	var id uint64
	both[1].Each(func(l *Live) bool { id = l.ID; return true })
	if !both[1].End(id, 1001, "bye", 10*time.Second) {
		t.Error("its number leads nowhere")
	}
	expectClose(t, j.client, Client, &Fault{1001, "bye"})
}

// The numbers of pairs of two processes do not meet.
func TestContinueIDs(t *testing.T) {
	was := LastID()
	ContinueIDs(was + 10)
	if id := NewID(); id <= was+10 {
		t.Errorf("the next number is %d, want one above %d", id, was+10)
	}
	ContinueIDs(1)
	if LastID() < was+11 {
		t.Error("numbers come twice")
	}
}
