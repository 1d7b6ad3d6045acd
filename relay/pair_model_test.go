package relay

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/holdfast-lb/holdfast/internal/sys"
	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// countingOwner counts what it is told of a pair.
type countingOwner struct {
	*owner
	openings, endings atomic.Int32
	summary           Summary // to be read once endings is 1
}

func (o *countingOwner) Opened() {
	o.openings.Add(1)
	o.owner.Opened()
}

func (o *countingOwner) Closed(s Summary) {
	o.summary = s
	o.endings.Add(1)
}

// modelPair is a pair as its two peers understand it.
type modelPair struct {
	joined
	owner *countingOwner
	id    uint64
	sent  [2]bytes.Buffer // by that side
	fin   [2]bool         // that side has ended
	reset bool            // by either side
	told  bool            // the relay was told to end it

	readers sync.WaitGroup
	got     [2]bytes.Buffer // by that side; to be read once readers has ended
}

func (p *modelPair) peer(side int) *peer {
	if side == Client {
		return p.client
	}
	return p.backend
}

// over tells whether the pair must end by itself.
func (p *modelPair) over() bool { return p.reset || p.told || p.fin[Client] && p.fin[Backend] }

// pairModel is a relay's pairs.
type pairModel struct {
	t     *testing.T
	rig   rig
	pairs []*modelPair
}

func (m *pairModel) Join(t *rapid.T) {
	if len(m.pairs) == 8 {
		t.Skip("enough")
	}
	p := &modelPair{id: NewID()}
	p.joined = m.rig.join(m.t, func(c *Call) {
		p.owner = &countingOwner{owner: c.Owner.(*owner)}
		c.Owner, c.ID = p.owner, p.id
	})
	for side := range p.got {
		p.readers.Go(func() {
			_ = p.peer(side).SetReadDeadline(time.Now().Add(time.Minute))
			_, _ = io.Copy(&p.got[side], p.peer(side))
		})
	}
	m.pairs = append(m.pairs, p)
}

// draw chooses a pair, and a side of it that has neither ended nor was reset.
func (m *pairModel) draw(t *rapid.T) (*modelPair, int) {
	if len(m.pairs) == 0 {
		t.Skip("there is no pair")
	}
	p := m.pairs[rapid.IntRange(0, len(m.pairs)-1).Draw(t, "pair")]
	side := rapid.IntRange(Client, Backend).Draw(t, "side")
	if p.fin[side] || p.reset {
		t.Skip("it has ended")
	}
	return p, side
}

// Say sends frames, up to more than a loop reads at once.
func (m *pairModel) Say(t *rapid.T) {
	p, side := m.draw(t)
	size := rapid.SampledFrom([]int{0, 1, 125, 126, 70_000, 300_000}).Draw(t, "size")
	var b []byte
	for i := range rapid.IntRange(1, 3).Draw(t, "frames") {
		b = appendFrame(b, 2, side == Client, bytes.Repeat([]byte{byte('a' + i)}, size))
	}
	if n, err := p.peer(side).Write(b); err == nil || p.told {
		p.sent[side].Write(b[:n])
	} else {
		t.Fatalf("side %d cannot write: %v", side, err)
	}
}

// Fin ends a side's sending direction.
func (m *pairModel) Fin(t *rapid.T) {
	p, side := m.draw(t)
	if err := p.peer(side).CloseWrite(); err != nil && !p.told {
		t.Fatalf("side %d cannot end: %v", side, err)
	}
	p.fin[side] = true
}

// Reset ends a side as a crash does.
func (m *pairModel) Reset(t *rapid.T) {
	p, side := m.draw(t)
	p.peer(side).reset()
	p.reset = true
}

// End has the relay end a pair, if it is still there.
func (m *pairModel) End(t *rapid.T) {
	p, _ := m.draw(t)
	there := m.rig.End(p.id, 4001, "model", 50*time.Millisecond)
	if !there && !p.over() {
		t.Fatal("a pair that nobody has ended is not there")
	}
	p.told = p.told || there
}

// Check: what the relay counts is what there is.
func (m *pairModel) Check(t *rapid.T) {
	sure := 0
	for i, p := range m.pairs {
		if opened, ended := p.owner.openings.Load(), p.owner.endings.Load(); opened != 1 || ended > 1 || ended == 1 && !p.over() {
			t.Fatalf("pair %d was opened %d times and has ended %d times; over: %t", i, opened, ended, p.over())
		}
		if !p.over() {
			sure++
		}
	}
	if n := m.rig.Stats().Pairs; n < int64(sure) || n > int64(len(m.pairs)) {
		t.Fatalf("%d pairs are counted, there are %d to %d", n, sure, len(m.pairs))
	}
}

// finish ends what is left, and settles the accounts.
func (m *pairModel) finish(t *rapid.T, farewell bool) {
	if farewell {
		for _, p := range m.pairs {
			p.told = true
		}
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		_ = m.rig.Farewell(ctx, 1001, "bye")
	}
	for _, p := range m.pairs {
		for side := range p.fin {
			if !p.fin[side] && !p.reset {
				_ = p.peer(side).CloseWrite()
				p.fin[side] = true
			}
		}
	}
	for began := time.Now(); m.rig.Stats().Pairs > 0; time.Sleep(time.Millisecond) {
		if time.Since(began) > 10*time.Second {
			for i, p := range m.pairs {
				t.Logf("pair %d: ended %d times, fin %v, reset %t, told %t, sent %d and %d", i, p.owner.endings.Load(), p.fin, p.reset, p.told, p.sent[0].Len(), p.sent[1].Len())
			}
			t.Fatalf("%d pairs have not ended", m.rig.Stats().Pairs)
		}
	}
	var total Stats
	for i, p := range m.pairs {
		p.readers.Wait()
		if p.owner.endings.Load() != 1 {
			t.Fatalf("pair %d has ended %d times", i, p.owner.endings.Load())
		}
		for side := range p.sent {
			sent, got := p.sent[side].Bytes(), p.got[1-side].Bytes()
			counted := p.owner.summary.Bytes[side]
			total.Bytes[side] += counted
			whole := !p.reset && !p.told
			switch {
			case counted > uint64(len(sent)), whole && counted != uint64(len(sent)):
				t.Fatalf("pair %d, side %d: %d bytes are counted, %d were sent", i, side, counted, len(sent))
			case whole && !bytes.Equal(sent, got), !bytes.HasPrefix(sent, got) && !p.ownClose(side, got):
				t.Fatalf("pair %d, side %d: %d bytes were sent, and %d others have arrived", i, side, len(sent), len(got))
			}
		}
	}
	if is := m.rig.Stats(); is.Bytes != total.Bytes {
		t.Fatalf("%v bytes are counted in all, %v by pair", is.Bytes, total.Bytes)
	}
}

// ownClose tells whether got is what a side has sent up to the end of a frame,
// and the relay's Close behind it.
func (p *modelPair) ownClose(side int, got []byte) bool {
	if !p.told {
		return false
	}
	sent := p.sent[side].Bytes()
	n := 0
	for n < len(sent) && n < len(got) && sent[n] == got[n] {
		n++
	}
	// The first byte of a Close is that of no frame that was sent.
	return n < len(got) && got[n] == 0x88 && len(got)-n < 140
}

// TestPairModel has pairs opened, used, ended, half-closed, reset and told to
// end in every order, and settles the accounts: each ends once, what was sent
// has arrived whole or up to a point, and the counts are the sums of the pairs'.
func TestPairModel(t *testing.T) {
	testkit.Checks(15) // a pair that is reset may take a second to end
	for _, kind := range []struct{ portable, secure, spliced bool }{{}, {spliced: true}, {secure: true}, {portable: true}} {
		if !kind.portable && !sys.HasPoller {
			continue
		}
		t.Run(fmt.Sprintf("portable %t, TLS %t, spliced %t", kind.portable, kind.secure, kind.spliced), func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(rt *rapid.T) {
				r, err := New(Options{Loops: 2, Portable: kind.portable})
				if err != nil {
					t.Fatal(err)
				}
				defer r.Close()
				if kind.spliced {
					spliceAll(r)
				}
				m := &pairModel{t: t, rig: rig{r, [2]bool{kind.secure, kind.secure}}}
				rt.Repeat(map[string]func(*rapid.T){
					"join": m.Join, "say": m.Say, "fin": m.Fin, "reset": m.Reset, "end": m.End, "": m.Check,
				})
				m.finish(rt, rapid.Bool().Draw(rt, "farewell"))
			})
		})
	}
}
