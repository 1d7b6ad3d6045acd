package listener

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// ledgerModel is a ledger as its users understand it: who is there, by address.
type ledgerModel struct {
	l      *ledger
	listed []*Conn  // on the books
	places []*place // of those that were detached
	gone   []*place // given up
}

var modelAddrs = []addrKey{noAddr, 1, 2, 3}

// has is how many connections an address has, noAddr too.
func (m *ledgerModel) has(k addrKey) (n int) {
	for _, c := range m.listed {
		if c.key == k {
			n++
		}
	}
	for _, p := range m.places {
		if p.key == k {
			n++
		}
	}
	return n
}

func (m *ledgerModel) Enter(t *rapid.T) {
	k := rapid.SampledFrom(modelAddrs).Draw(t, "address")
	most, mostEach := rapid.IntRange(0, 6).Draw(t, "most"), rapid.IntRange(0, 3).Draw(t, "most each")
	c := &Conn{key: k}
	full := most > 0 && len(m.listed)+len(m.places) >= most
	fullEach := k != noAddr && mostEach > 0 && m.has(k) >= mostEach
	why, ok := m.l.enter(c, most, mostEach)
	switch {
	case ok == (full || fullEach), !ok && (why == RefusedMaxConnections) != full:
		t.Fatalf("%d let in: %t, %v", k, ok, why)
	case ok:
		m.listed = append(m.listed, c)
	}
}

// Move is what a PROXY header does.
func (m *ledgerModel) Move(t *rapid.T) {
	c := m.draw(t)
	if c.key != noAddr {
		t.Skip("it has an address")
	}
	k, most := rapid.SampledFrom(modelAddrs[1:]).Draw(t, "address"), rapid.IntRange(0, 3).Draw(t, "most each")
	full := most > 0 && m.has(k) >= most
	if ok := m.l.move(c, k, most); ok == full {
		t.Fatalf("moved to %d: %t", k, ok)
	}
}

func (m *ledgerModel) draw(t *rapid.T) *Conn {
	if len(m.listed) == 0 {
		t.Skip("nobody is there")
	}
	return rapid.SampledFrom(m.listed).Draw(t, "connection")
}

func (m *ledgerModel) forget(c *Conn) {
	m.listed = slices.DeleteFunc(m.listed, func(other *Conn) bool { return other == c })
}

func (m *ledgerModel) Leave(t *rapid.T) {
	c := m.draw(t)
	m.l.leave(c)
	m.forget(c)
}

// Detach is what a handshake does: the socket still counts.
func (m *ledgerModel) Detach(t *rapid.T) {
	c := m.draw(t)
	m.l.strike(c)
	m.forget(c)
	m.places = append(m.places, &place{socket: &socket{ledger: m.l}, key: c.key})
}

func (m *ledgerModel) End(t *rapid.T) {
	if len(m.places) == 0 {
		t.Skip("nobody was detached")
	}
	p := rapid.SampledFrom(m.places).Draw(t, "place")
	p.Leave()
	m.places = slices.DeleteFunc(m.places, func(other *place) bool { return other == p })
	m.gone = append(m.gone, p)
}

// EndAgain does nothing.
func (m *ledgerModel) EndAgain(t *rapid.T) {
	if len(m.gone) == 0 {
		t.Skip("nobody is gone")
	}
	rapid.SampledFrom(m.gone).Draw(t, "place").Leave()
}

// Allow has an address remembered, for a while.
func (m *ledgerModel) Allow(t *rapid.T) {
	m.l.allow(rapid.SampledFrom(modelAddrs).Draw(t, "address"), rapid.IntRange(0, 3).Draw(t, "a second"))
}

func (m *ledgerModel) Later(t *rapid.T) {
	m.l.epoch = m.l.epoch.Add(-time.Duration(rapid.IntRange(0, 2000).Draw(t, "ms")) * time.Millisecond)
}

// Check: the books hold who is there, no more and no less.
func (m *ledgerModel) Check(t *rapid.T) {
	if n := m.l.open.Load(); n != int64(len(m.listed)+len(m.places)) {
		t.Fatalf("%d are open, want %d and %d", n, len(m.listed), len(m.places))
	}
	seen := 0
	m.l.each(func(c *Conn) {
		if seen++; !slices.Contains(m.listed, c) {
			t.Fatalf("a connection of %d is on the list", c.key)
		}
	})
	if seen != len(m.listed) {
		t.Fatalf("%d are on the list, want %d", seen, len(m.listed))
	}
	for i := range m.l.shards {
		s := &m.l.shards[i]
		remembered := 0
		for k, u := range s.uses {
			if u.conns == 0 {
				remembered++
			}
			if int(u.conns) != m.has(k) {
				t.Fatalf("%d has %d, want %d", k, u.conns, m.has(k))
			}
		}
		if s.remembered != remembered {
			t.Fatalf("%d are remembered, want %d", s.remembered, remembered)
		}
	}
	for _, k := range modelAddrs[1:] {
		if u, known := m.l.shard(k).uses[k]; !known && m.has(k) > 0 || int(u.conns) != m.has(k) {
			t.Fatalf("%d has %d, want %d", k, u.conns, m.has(k))
		}
	}
}

// TestLedgerModel has connections come, move, go and be detached in every order:
// no count is ever negative, lost or doubled.
func TestLedgerModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &ledgerModel{l: newLedger()}
		t.Repeat(rapid.StateMachineActions(m))
	})
}
