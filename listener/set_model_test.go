package listener

import (
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/holdfast-lb/holdfast/config"
)

// setModel is a Set as its users understand it: names at addresses.
type setModel struct {
	set     *Set
	dir     string
	pending *Change
	next    map[string]string // of pending: name by address
	bound   map[string]string
	taken   map[string]net.Listener // by somebody else
}

func (m *setModel) address(i int) string {
	return fmt.Sprintf("unix:%s", filepath.Join(m.dir, fmt.Sprintf("s%d", i)))
}

// Prepare draws listeners for some of five addresses: it fails, without a
// trace, if one of them is somebody else's, has two listeners, or a change is
// pending.
func (m *setModel) Prepare(t *rapid.T) {
	var listeners []config.Listener
	next := map[string]string{}
	twice, taken := false, false
	for _, i := range rapid.SliceOfN(rapid.IntRange(0, 4), 0, 5).Draw(t, "addresses") {
		l := config.Listener{Name: fmt.Sprintf("n%d", len(listeners)), Address: m.address(i)}
		_, again := next[l.Address]
		twice = twice || again
		taken = taken || m.taken[l.Address] != nil
		next[l.Address] = l.Name
		listeners = append(listeners, l)
	}
	ch, err := m.set.Prepare(listeners)
	if wants := !twice && !taken && m.pending == nil; wants != (err == nil) {
		t.Fatalf("prepare %v: %v; two at an address %t, taken %t, pending %t", next, err, twice, taken, m.pending != nil)
	}
	if err == nil {
		m.pending, m.next = ch, next
	}
}

// Commit brings the pending change into force. A second call does nothing.
func (m *setModel) Commit(t *rapid.T) {
	if m.pending == nil {
		t.Skip("nothing is pending")
	}
	m.pending.Commit()
	m.pending.Abort()
	m.bound, m.pending = m.next, nil
}

// Abort gives the pending change up.
func (m *setModel) Abort(t *rapid.T) {
	if m.pending == nil {
		t.Skip("nothing is pending")
	}
	m.pending.Abort()
	m.pending.Commit()
	m.pending = nil
}

// Take has somebody else listen at an address that is free.
func (m *setModel) Take(t *rapid.T) {
	address := m.address(rapid.IntRange(0, 4).Draw(t, "address"))
	if m.taken[address] != nil || m.bound[address] != "" || m.pending != nil && m.next[address] != "" {
		t.Skip("it is not free")
	}
	ln, err := net.Listen("unix", strings.TrimPrefix(address, unixPrefix))
	if err != nil {
		t.Fatalf("an address that nobody has is not free: %v", err)
	}
	m.taken[address] = ln
}

// Leave ends that.
func (m *setModel) Leave(t *rapid.T) {
	if len(m.taken) == 0 {
		t.Skip("nobody is there")
	}
	address := rapid.SampledFrom(slices.Sorted(maps.Keys(m.taken))).Draw(t, "address")
	m.taken[address].Close()
	delete(m.taken, address)
}

// Check connects to every address: exactly those of the last commit answer.
func (m *setModel) Check(t *rapid.T) {
	for i := range 5 {
		address := m.address(i)
		name := m.bound[address]
		if at := m.set.Addr(name); name != "" && (at == nil || unixPrefix+at.String() != address) {
			t.Fatalf("listener %q is at %v, want %s", name, at, address)
		}
		if m.taken[address] != nil || name == "" && m.pending != nil && m.next[address] != "" {
			continue // somebody else's, or bound and not yet served
		}
		c, err := net.DialTimeout("unix", strings.TrimPrefix(address, unixPrefix), 5*time.Second)
		if (err == nil) != (name != "") {
			t.Fatalf("connect to %s: %v, want an answer: %t", address, err, name != "")
		}
		if err != nil {
			continue
		}
		_ = c.SetDeadline(time.Now().Add(5 * time.Second))
		_, _ = c.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))
		answer := make([]byte, len("HTTP/1.1 200"))
		if _, err := c.Read(answer); err != nil || string(answer) != "HTTP/1.1 200" {
			t.Fatalf("listener %q answers %q, %v", name, answer, err)
		}
		c.Close()
	}
}

// TestSetModel changes a Set in every order of prepare, commit and abort, with
// failures of every kind, and holds it to a model.
func TestSetModel(t *testing.T) {
	opts, _ := metered(hello)
	rapid.Check(t, func(rt *rapid.T) {
		m := &setModel{set: New(opts), dir: t.TempDir(), bound: map[string]string{}, taken: map[string]net.Listener{}}
		defer func() {
			if m.pending != nil {
				m.pending.Abort()
			}
			shutdown(t, m.set)
			for _, ln := range m.taken {
				ln.Close()
			}
		}()
		rt.Repeat(map[string]func(*rapid.T){
			"prepare": m.Prepare, "commit": m.Commit, "abort": m.Abort, "take": m.Take, "leave": m.Leave, "": m.Check,
		})
	})
}
