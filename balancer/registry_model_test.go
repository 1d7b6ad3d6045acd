package balancer

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"runtime"
	"slices"
	"testing"

	"github.com/holdfast-lb/holdfast/config"
	"pgregory.net/rapid"
)

// model is the Registry as its users understand it, written down a second
// time without concurrency, weak pointers or packed words.
type model struct {
	r           *Registry
	generations []*Pools // the last one is committed; the others are still held
	leases      []*modelLease
	live        map[Key]*modelBackend
	config      map[string]config.Pool // committed
}

type modelLease struct {
	lease Lease
	key   Key
	kind  string
}

type modelBackend struct {
	up      bool
	initial bool
	probed  bool
	mode    Mode
	reports bool // it is listened to
	report  *LoadReport
}

// drawPools is a configuration over few addresses, so that they come, go and
// come again, in two pools that share them.
func drawPools(t *rapid.T) map[string]config.Pool {
	pools := map[string]config.Pool{}
	for _, name := range []string{"a", "b"} {
		var backends []config.Backend
		for i := range 4 {
			if rapid.Bool().Draw(t, fmt.Sprintf("%s has %d", name, i)) {
				backends = append(backends, config.Backend{
					Name:           fmt.Sprintf("n%d", rapid.IntRange(0, 99).Draw(t, "name")),
					URL:            fmt.Sprintf("http://10.0.0.%d:9000", i),
					Weight:         rapid.IntRange(1, 3).Draw(t, "weight"),
					MaxConnections: rapid.IntRange(0, 3).Draw(t, "limit"),
				})
			}
		}
		if len(backends) == 0 {
			continue
		}
		c := config.Pool{
			Balance:     rapid.SampledFrom(balances).Draw(t, "balance"),
			Backends:    backends,
			WhenAllDown: rapid.SampledFrom([]string{"fail", "try"}).Draw(t, "when all down"),
			Health: config.Health{
				Type:    rapid.SampledFrom([]string{"", "http"}).Draw(t, "checks"),
				Initial: rapid.SampledFrom([]string{"up", "down"}).Draw(t, "initial"),

				LoadReports: rapid.Bool().Draw(t, "load reports"),
			},
		}
		if rapid.Bool().Draw(t, "sticky") {
			c.Sticky = byQuery()
		}
		pools[name] = c
	}
	return pools
}

// Reload compiles and commits; the pools of before may still be held by some.
func (m *model) Reload(t *rapid.T) { m.commit(t, drawPools(t)) }

func (m *model) commit(t *rapid.T, pools map[string]config.Pool) {
	m.config = pools
	ps, err := m.r.Compile(pools)
	if err != nil {
		t.Fatal(err)
	}
	m.r.Commit(ps)
	if len(m.generations) == 0 || rapid.Bool().Draw(t, "somebody holds the old pools") {
		m.generations = append(m.generations, ps)
	} else {
		m.generations = []*Pools{ps}
	}
	live := map[Key]*modelBackend{}
	for name, c := range pools {
		for _, cb := range c.Backends {
			scheme, address := cb.Target()
			key := Key{Pool: name, Scheme: scheme, Address: address}
			b := m.live[key]
			if b == nil {
				b = &modelBackend{up: c.Health.Initial == "up"}
			}
			b.probed = c.Health.Type != ""
			b.initial = !b.probed || c.Health.Initial == "up"
			b.up = b.up || !b.probed
			if b.reports = c.Health.LoadReports; !b.reports {
				b.report = nil
			}
			live[key] = b
		}
	}
	m.live = live
}

// Drop compiles something, good or bad, and does not commit it.
func (m *model) Drop(t *rapid.T) {
	before := m.r.Snapshot()
	pools := drawPools(t)
	broken := rapid.Bool().Draw(t, "broken")
	if broken {
		pools["c"] = config.Pool{Backends: []config.Backend{{URL: "nonsense"}}}
	}
	if _, err := m.r.Compile(pools); (err != nil) != broken {
		t.Fatalf("error %v", err)
	}
	if got := m.r.Snapshot(); !reflect.DeepEqual(got, before) {
		t.Fatalf("Compile has left a trace: %+v, before %+v", got, before)
	}
}

// Pick picks from the committed or older pools, and checks what it got, or why
// it got nothing, against every backend's status.
func (m *model) Pick(t *rapid.T) {
	ps := rapid.SampledFrom(m.generations).Draw(t, "generation")
	if len(ps.All()) == 0 {
		t.Skip("no pools")
	}
	p := rapid.SampledFrom(ps.All()).Draw(t, "pool")
	key := []byte{byte(rapid.IntRange(0, 3).Draw(t, "key"))}
	q := Query{Kind: rapid.SampledFrom([]Kind{Request, Socket}).Draw(t, "kind"), Hash: HashKey(key), StickyKey: key}
	var tried Tried
	for _, b := range p.Backends() {
		if rapid.IntRange(0, 9).Draw(t, "tried") == 0 {
			tried.Add(b)
		}
	}
	bar := barUnusable
	if p.tryAny && !slices.ContainsFunc(p.Backends(), func(b *Backend) bool { return b.State().Up() && b.State().Mode() == Ready && !b.State().AsksDrain() }) {
		bar = barMode
	}
	// Of a backend that is retired the last report stands while somebody holds
	// an older pool of it; which that was the model does not keep.
	usableOnes, unsure, roomy := 0, 0, map[*Backend]bool{}
	for _, b := range p.Backends() {
		if usable(b.State().word.Load(), bar) && !tried.Has(b) {
			usableOnes++
			roomy[b] = b.MaxConnections() == 0 || m.held(b.Key()) < b.MaxConnections()
			if now := m.live[b.Key()]; p.reports && now != nil && now.report != nil && now.report.Capacity > 0 {
				roomy[b] = roomy[b] && m.held(b.Key()) < now.report.Capacity
			}
			if !roomy[b] {
				delete(roomy, b)
			} else if p.reports && m.live[b.Key()] == nil {
				unsure++
			}
		}
	}
	l, err := p.Pick(&q, &tried)
	switch {
	case len(roomy) > 0 && len(roomy) == unsure && errors.Is(err, ErrAllFull):
	case len(roomy) > 0:
		if err != nil || !roomy[l.Backend()] {
			t.Fatalf("picked %+v, %v, want one of %d", l.Backend(), err, len(roomy))
		}
		kind := "request"
		if q.Kind == Socket {
			kind = "handshake"
		}
		m.leases = append(m.leases, &modelLease{lease: l, key: l.Backend().Key(), kind: kind})
	case usableOnes > 0:
		if !errors.Is(err, ErrAllFull) {
			t.Fatalf("error %v, want %v", err, ErrAllFull)
		}
	default:
		if !errors.Is(err, ErrNoneUsable) {
			t.Fatalf("error %v, want %v", err, ErrNoneUsable)
		}
	}
}

func (m *model) held(key Key) int {
	n := 0
	for _, l := range m.leases {
		if l.key == key {
			n++
		}
	}
	return n
}

func (m *model) Open(t *rapid.T) {
	var handshakes []*modelLease
	for _, l := range m.leases {
		if l.kind == "handshake" {
			handshakes = append(handshakes, l)
		}
	}
	if len(handshakes) == 0 {
		t.Skip("no handshake")
	}
	l := rapid.SampledFrom(handshakes).Draw(t, "lease")
	l.lease.Opened()
	l.kind = "socket"
}

func (m *model) Done(t *rapid.T) {
	if len(m.leases) == 0 {
		t.Skip("no lease")
	}
	i := rapid.IntRange(0, len(m.leases)-1).Draw(t, "lease")
	m.leases[i].lease.Done()
	m.leases = slices.Delete(m.leases, i, i+1)
}

// HandOver goes on with another registry, which is told what this one carries,
// under the same configuration or another, and takes open sockets in.
func (m *model) HandOver(t *rapid.T) {
	same := rapid.Bool().Draw(t, "same configuration")
	was := carriedBy(t, m.r)
	leases := m.leases
	m.r, m.generations, m.leases = handedOver(t, m.r), nil, nil
	if same {
		m.commit(t, m.config)
		now := m.r.Carry()
		now.Clock = was.Clock
		expectSameCarried(t, now, was)
	} else {
		m.Reload(t)
	}
	for _, l := range leases {
		if l.kind != "socket" {
			l.lease.Done()
			continue
		}
		next, ok := m.r.Adopt(l.key)
		if ok != (m.live[l.key] != nil) {
			t.Fatalf("a socket on %+v is adopted: %v", l.key, ok)
		}
		l.lease.Done()
		if l.lease = next; ok {
			m.leases = append(m.leases, l)
		}
	}
}

// Adopt takes in an open socket of another process.
func (m *model) Adopt(t *rapid.T) {
	key := m.anyKey(t)
	l, ok := m.r.Adopt(key)
	if ok != (m.live[key] != nil) {
		t.Fatalf("adopted: %v", ok)
	}
	if ok {
		m.leases = append(m.leases, &modelLease{lease: l, key: key, kind: "socket"})
	}
}

// anyKey is a backend, known or not.
func (m *model) anyKey(t *rapid.T) Key {
	return Key{
		Pool:    rapid.SampledFrom([]string{"a", "b"}).Draw(t, "pool"),
		Scheme:  "http",
		Address: fmt.Sprintf("10.0.0.%d:9000", rapid.IntRange(0, 3).Draw(t, "address")),
	}
}

func (m *model) SetHealth(t *rapid.T) {
	key, up := m.anyKey(t), rapid.Bool().Draw(t, "up")
	b := m.live[key]
	taken := b != nil && b.probed
	if got := m.r.SetHealth(key, up, "verdict", epoch); got != taken {
		t.Fatalf("verdict taken: %v, want %v", got, taken)
	}
	if taken {
		b.up = up
	}
}

func (m *model) SetMode(t *rapid.T) {
	key, mode := m.anyKey(t), rapid.SampledFrom([]Mode{Ready, Drain, Maintenance}).Draw(t, "mode")
	b := m.live[key]
	if got := m.r.SetMode(key, mode); got != (b != nil) {
		t.Fatalf("mode taken: %v", got)
	}
	if b != nil {
		if b.mode == Maintenance && mode != Maintenance {
			b.up = b.initial
		}
		b.mode = mode
		if mode == Maintenance {
			b.report = nil
		}
	}
}

func (m *model) SetReport(t *rapid.T) {
	key := m.anyKey(t)
	var report *LoadReport
	if rapid.Bool().Draw(t, "says something") {
		report = &LoadReport{
			Load:     rapid.SampledFrom([]float64{-1, 0, 0.5, 1}).Draw(t, "load"),
			Capacity: rapid.IntRange(0, 3).Draw(t, "capacity"),
			Drain:    rapid.Bool().Draw(t, "drain"),
		}
	}
	b := m.live[key]
	taken := b != nil && b.reports && b.mode != Maintenance
	if got := m.r.SetReport(key, report); got != taken {
		t.Fatalf("report taken: %v, want %v", got, taken)
	}
	if taken {
		b.report = report
	}
}

// Collect is what decides when a retired backend ends.
func (m *model) Collect(*rapid.T) { runtime.GC() }

// Check compares everything that can be seen.
func (m *model) Check(t *rapid.T) {
	want := map[Key]Counts{}
	for key := range m.live {
		want[key] = Counts{}
	}
	for _, l := range m.leases {
		c := want[l.key]
		switch l.kind {
		case "request":
			c.Requests++
		case "handshake":
			c.Handshakes++
		case "socket":
			c.Sockets++
		}
		want[l.key] = c
	}
	got := map[Key]Counts{}
	for _, s := range m.r.Snapshot() {
		if _, twice := got[s.Key()]; twice {
			t.Fatalf("%+v is listed twice", s.Key())
		}
		got[s.Key()] = s.Counts
		b := m.live[s.Key()]
		if s.Retired != (b == nil) {
			t.Fatalf("%+v: retired %v", s.Key(), s.Retired)
		}
		if b != nil && !reflect.DeepEqual(s.Report, b.report) {
			t.Fatalf("%+v: report %+v, want %+v", s.Key(), s.Report, b.report)
		}
		if b != nil && (s.Up != b.up || s.Mode != b.mode) {
			t.Fatalf("%+v: up %v, %s, want %v, %s", s.Key(), s.Up, s.Mode, b.up, b.mode)
		}
	}
	if !maps.Equal(got, want) {
		t.Fatalf("counts %+v, want %+v", got, want)
	}
}

func TestRegistryAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &model{r: NewRegistry()}
		m.Reload(t)
		t.Repeat(rapid.StateMachineActions(m))
	})
}
