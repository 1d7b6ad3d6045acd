package balancer

import (
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-lb/holdfast/config"
)

func TestOneAddressInTwoPoolsIsTwoBackends(t *testing.T) {
	r := NewRegistry()
	ps, err := r.Compile(map[string]config.Pool{
		"a": probed(config.Pool{Backends: backendsOf(1)}),
		"b": probed(config.Pool{Backends: backendsOf(1)}),
	})
	if err != nil {
		t.Fatal(err)
	}
	r.Commit(ps)
	a, b := ps.Pool("a"), ps.Pool("b")
	setHealth(t, r, a, 0, false)
	pick(t, b, Query{})
	if !b.Backends()[0].State().Up() || a.Backends()[0].State().Active() != 0 {
		t.Error("two pools share a verdict or a count because they share an address")
	}
}

func TestCommitInitialHealth(t *testing.T) {
	f := func(h config.Health, wantUp bool, wantWhy string) {
		t.Helper()
		r, _ := compiled(t, config.Pool{Health: h, Backends: backendsOf(1)})
		got := r.Snapshot()[0]
		if got.Up != wantUp || got.Why != wantWhy {
			t.Errorf("%+v: up %v, why %q, want %v, %q", h, got.Up, got.Why, wantUp, wantWhy)
		}
	}
	f(config.Health{}, true, "not probed")
	f(config.Health{Initial: "down"}, true, "not probed")
	f(config.Health{Type: "http", Initial: "down"}, false, "not probed yet")
	f(config.Health{Type: "http", Initial: "up"}, true, "not probed yet")
}

// What an operator edits does not make another backend.
func TestReloadKeepsCountsHealthAndMode(t *testing.T) {
	f := func(what string, change func(c *config.Pool)) {
		t.Helper()
		config1 := func() config.Pool { return probed(config.Pool{Backends: backendsOf(1, 1, 1)}) }
		r, p := compiled(t, config1())
		setHealth(t, r, p, 1, false)
		r.SetMode(p.Backends()[2].Key(), Drain)
		socket := pick(t, p, Query{Kind: Socket})
		socket.Opened()
		request := pick(t, p, Query{})
		since := r.Snapshot()[1].Since

		c := config1()
		change(&c)
		p = reload(t, r, c)
		status := map[string]BackendStatus{}
		for _, s := range r.Snapshot() {
			if s.Retired {
				t.Errorf("%s: %s is retired", what, s.Name)
			}
			status[s.Address] = s
		}
		if s := status["10.0.0.0:9000"]; s.Counts != (Counts{Sockets: 1, Requests: 1}) || !s.Up {
			t.Errorf("%s: after the reload %+v", what, s)
		}
		if s := status["10.0.0.1:9000"]; s.Up || s.Why != "test" || !s.Since.Equal(since) {
			t.Errorf("%s: after the reload %+v", what, s)
		}
		if s := status["10.0.0.2:9000"]; s.Mode != Drain {
			t.Errorf("%s: after the reload %+v", what, s)
		}
		// New leases count beside the old ones, and those can be returned.
		var others Tried
		for _, b := range p.Backends() {
			if b.Key() != socket.Backend().Key() {
				others.Add(b)
			}
		}
		next, err := p.Pick(&Query{}, &others)
		if err != nil {
			t.Fatal(err)
		}
		if next.Backend().State() != socket.Backend().State() {
			t.Errorf("%s: the State is another one", what)
		}
		socket.Done()
		request.Done()
		if got := next.Backend().State().Counts(); got != (Counts{Requests: 1}) {
			t.Errorf("%s: counts %+v, want one request", what, got)
		}
	}
	f("nothing", func(*config.Pool) {})
	f("weight", func(c *config.Pool) { c.Backends[0].Weight = 9 })
	f("limit", func(c *config.Pool) { c.Backends[0].MaxConnections = 99 })
	f("name", func(c *config.Pool) { c.Backends[0].Name = "other" })
	f("scheme of the same meaning", func(c *config.Pool) { c.Backends[0].URL = "ws://10.0.0.0:9000" })
	f("algorithm", func(c *config.Pool) { c.Balance = "first" })
	f("order", func(c *config.Pool) { c.Backends[0], c.Backends[2] = c.Backends[2], c.Backends[0] })
	f("checks", func(c *config.Pool) { c.Health.Type, c.Health.Initial = "tcp", "down" })
	f("stickiness", func(c *config.Pool) { c.Sticky = byQuery() })
	f("another backend", func(c *config.Pool) { c.Backends = append(c.Backends, config.Backend{URL: "http://10.9.9.9:1"}) })
}

// When a pool loses its checks nobody would ever bring a backend up again.
func TestReloadWithoutChecksBringsUp(t *testing.T) {
	c := probed(config.Pool{Backends: backendsOf(1)})
	r, p := compiled(t, c)
	setHealth(t, r, p, 0, false)
	c.Health = config.Health{}
	p = reload(t, r, c)
	if s := r.Snapshot()[0]; !s.Up || s.Why != "not probed" {
		t.Errorf("up %v, why %q", s.Up, s.Why)
	}
	// A verdict of the last probe comes late.
	if r.SetHealth(p.Backends()[0].Key(), false, "refused", time.Now()) || !p.Backends()[0].State().Up() {
		t.Error("a backend without checks was taken down")
	}
}

func TestSettersRefuseStrangers(t *testing.T) {
	r, p := compiled(t, probed(config.Pool{Backends: backendsOf(1, 1)}))
	gone := p.Backends()[1].Key()
	l := pick(t, p, Query{})
	l.Done()
	reload(t, r, probed(config.Pool{Backends: backendsOf(1)}))
	for _, key := range []Key{{}, {Pool: "other", Scheme: "http", Address: "10.0.0.0:9000"}, gone} {
		if r.SetHealth(key, false, "", epoch) || r.SetMode(key, Drain) {
			t.Errorf("%+v is not in the pools, but was changed", key)
		}
	}
}

func TestRetiredBackendIsFoundAgainWithItsCounts(t *testing.T) {
	two, one := probed(config.Pool{Backends: backendsOf(1, 1)}), probed(config.Pool{Backends: backendsOf(1)})
	r, p := compiled(t, two)
	l, err := p.Pick(&Query{Kind: Socket}, triedOf(p.Backends()[0]))
	if err != nil {
		t.Fatal(err)
	}
	l.Opened()
	setHealth(t, r, p, 1, false)
	r.SetMode(p.Backends()[1].Key(), Maintenance)

	reload(t, r, one)
	list := r.Snapshot()
	if len(list) != 2 || !list[1].Retired || list[1].Name != "b1" || list[1].Sockets != 1 || list[1].Weight != 0 {
		t.Fatalf("snapshot %+v, want b1 retired with a socket", list)
	}
	runtime.GC()
	runtime.GC()

	p = reload(t, r, two)
	list = r.Snapshot()
	if len(list) != 2 || list[1].Retired || list[1].Sockets != 1 {
		t.Fatalf("snapshot %+v, want b1 back with its socket", list)
	}
	// What was known of its health and wanted of it is long out of date.
	if !list[1].Up || list[1].Mode != Ready {
		t.Errorf("it came back up=%v %s", list[1].Up, list[1].Mode)
	}
	l.Done()
	if got := p.Backends()[1].State().Active(); got != 0 {
		t.Errorf("%d active after the lease was returned", got)
	}
}

// In a pool with discovery a mode, which is the operator's word, outlives a short
// absence.
func TestDiscoveredBackendKeepsItsMode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		both, one := probed(config.Pool{Backends: backendsOf(1, 1)}), probed(config.Pool{Backends: backendsOf(1)})
		both.Discovery, one.Discovery = &config.Discovery{}, &config.Discovery{}
		r, p := compiled(t, both)
		key := p.Backends()[1].Key()
		f := func(what string, away time.Duration, want Mode) {
			t.Helper()
			reload(t, r, one)
			time.Sleep(away)
			p = reload(t, r, both)
			if got := p.Backends()[1].State().Mode(); got != want {
				t.Errorf("%s: %s, want %s", what, got, want)
			}
		}
		f("ready", time.Second, Ready)
		r.SetMode(key, Drain)
		f("drained", time.Minute, Drain)
		f("drained still", time.Minute, Drain)
		r.SetMode(key, Maintenance)
		f("in maintenance", parkedFor, Maintenance)
		f("away for long", parkedFor+time.Second, Ready)
		r.SetMode(key, Drain)
		reload(t, r, one)
		r.Commit(new(Pools))
		reload(t, r, both)
		if got := r.Snapshot()[1].Mode; got != Ready {
			t.Errorf("after its pool was gone: %s", got)
		}
		if len(r.parked) != 0 {
			t.Errorf("%v is remembered", r.parked)
		}
	})
}

// The operator may have another word about a backend that is away, as long as it
// has sockets.
func TestModeOfRetiredBackend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		both, one := probed(config.Pool{Backends: backendsOf(1, 1)}), probed(config.Pool{Backends: backendsOf(1)})
		f := func(before, word, want Mode, discovery *config.Discovery) {
			t.Helper()
			both.Discovery, one.Discovery = discovery, discovery
			r, p := compiled(t, both)
			key := p.Backends()[1].Key()
			r.SetHealth(key, true, "", time.Now())
			l, err := p.Pick(&Query{Kind: Socket}, triedOf(p.Backends()[0]))
			if err != nil {
				t.Fatal(err)
			}
			r.SetMode(key, before)
			reload(t, r, one)
			if r.SetMode(key, word) {
				t.Error("a retired backend has a mode")
			}
			p = reload(t, r, both)
			if got := p.Backends()[1].State().Mode(); got != want {
				t.Errorf("%s, then %s while it was away: %s, want %s", before, word, got, want)
			}
			l.Done()
		}
		f(Drain, Ready, Ready, &config.Discovery{})
		f(Ready, Drain, Drain, &config.Discovery{})
		f(Drain, Drain, Drain, &config.Discovery{})
		f(Ready, Drain, Ready, nil)
	})
}

// A pool in which discovery has found nothing refuses, whatever its algorithm.
func TestPoolWithoutBackends(t *testing.T) {
	for _, balance := range balances {
		for _, tryAny := range []string{"fail", "try"} {
			c := config.Pool{Balance: balance, WhenAllDown: tryAny, Discovery: &config.Discovery{}, Sticky: byQuery(), SlowStart: time.Minute}
			r, p := compiled(t, c)
			if _, err := p.Pick(&Query{Kind: Socket, Hash: 1, StickyKey: []byte("k")}, nil); !errors.Is(err, ErrNoneUsable) {
				t.Errorf("%s, %s: %v", balance, tryAny, err)
			}
			if p.Wait() != 0 || p.HandshakeRate() != 0 || len(r.Snapshot()) != 0 {
				t.Errorf("%s: wait %v, rate %v, %v", balance, p.Wait(), p.HandshakeRate(), r.Snapshot())
			}
			// The first that come are no newcomers.
			c.Backends = backendsOf(1, 1)
			p = reload(t, r, c)
			if p.rampEnd.Load() != 0 {
				t.Errorf("%s: the first backends are on the ramp", balance)
			}
		}
	}
}

func TestRetiredBackendEndsWithItsLastLease(t *testing.T) {
	r, _ := compiled(t, config.Pool{Backends: backendsOf(1)})
	retire := func() Lease {
		l := pick(t, r.pools[0], Query{})
		reload(t, r, config.Pool{Backends: []config.Backend{{URL: "http://10.1.1.1:1"}}})
		return l
	}
	commitAgain := func() {
		runtime.GC()
		runtime.GC()
		reload(t, r, config.Pool{Backends: []config.Backend{{URL: "http://10.1.1.1:1"}}})
	}
	l := retire()
	commitAgain()
	if len(r.known) != 2 {
		t.Fatalf("%d backends are known, want 2: one has a lease", len(r.known))
	}
	l.Done()
	if got := r.Snapshot(); len(got) != 1 {
		t.Errorf("snapshot %+v, want no retired one without leases", got)
	}
	l = Lease{}
	commitAgain()
	if len(r.known) != 1 {
		t.Errorf("%d backends are known, want 1", len(r.known))
	}
}

// Whoever still holds pools of before a reload picks as before.
func TestOlderPoolsKeepWorking(t *testing.T) {
	r, old := compiled(t, config.Pool{Backends: backendsOf(1, 1)})
	reload(t, r, config.Pool{Backends: []config.Backend{{URL: "http://10.1.1.1:1"}}})
	l := pick(t, old, Query{})
	reload(t, r, config.Pool{Backends: backendsOf(1, 1)})
	active := 0
	for _, s := range r.Snapshot() {
		active += s.Active()
	}
	if active != 1 {
		t.Errorf("%d leases are counted, want the one of the older pools", active)
	}
	l.Done()
}

// Two results of Compile that both bring a new backend: whichever is committed
// second takes over the first one's State and table.
func TestCommitOutOfOrder(t *testing.T) {
	r := NewRegistry()
	c := config.Pool{Sticky: byQuery(), Backends: backendsOf(1)}
	prepare := func() *Pools {
		ps, err := r.Compile(map[string]config.Pool{"p": c})
		if err != nil {
			t.Fatal(err)
		}
		return ps
	}
	first, second := prepare(), prepare()
	r.Commit(first)
	pick(t, first.Pool("p"), Query{StickyKey: []byte("someone")})
	r.Commit(second)
	pick(t, second.Pool("p"), Query{StickyKey: []byte("someone")})
	r.Commit(first)
	if got := r.Snapshot(); len(got) != 1 || got[0].Requests != 2 {
		t.Errorf("snapshot %+v, want one backend with two requests", got)
	}
	if first.Pool("p").sticky.table != second.Pool("p").sticky.table {
		t.Error("the two have tables of their own")
	}
}

// TestDrainIsFinal: once SetMode has returned nobody gets the backend, so that
// a drain which has counted down to zero stays there.
func TestDrainIsFinal(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(8))
	r, p := compiled(t, config.Pool{Backends: backendsOf(1, 1)})
	key := p.Backends()[0].Key()
	for range 200 {
		var draining atomic.Bool
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range 50 {
					was := draining.Load()
					l := pick(t, p, Query{})
					if was && l.Backend().Key() == key {
						t.Error("picked a backend in drain")
					}
					l.Done()
				}
			})
		}
		r.SetMode(key, Drain)
		draining.Store(true)
		wg.Wait()
		r.SetMode(key, Ready)
	}
}

// TestReloadUnderLoad picks from whatever is committed while every reload
// takes some backends away and brings others, with verdicts and collections
// between. In the end the Registry must know of every lease once.
func TestReloadUnderLoad(t *testing.T) {
	const pickers, reloads = 8, 150
	r := NewRegistry()
	all := backendsOf(equal(6)...)
	var current atomic.Pointer[Pools]
	commit := func(i int) {
		c := config.Pool{
			Balance:  balances[i%len(balances)],
			Backends: []config.Backend{all[i%6], all[(i+1)%6], all[(i+3)%6]},
			Health:   config.Health{Type: "http", Initial: "up"},
		}
		c.Backends[i%3].Weight = 1 + i%4
		if i%2 == 0 {
			c.Sticky = byQuery()
		}
		ps, err := r.Compile(map[string]config.Pool{"p": c})
		if err != nil {
			t.Error(err)
			return
		}
		// In either order: some may pick from what is not committed yet.
		if i%2 == 0 {
			current.Store(ps)
			r.Commit(ps)
		} else {
			r.Commit(ps)
			current.Store(ps)
		}
	}
	commit(0)
	var stop atomic.Bool
	held := make([][]Lease, pickers)
	var wg sync.WaitGroup
	for g := range pickers {
		wg.Go(func() {
			key := []byte{byte(g)}
			for i := 0; !stop.Load(); i++ {
				q := Query{Kind: Kind(i % 2), Hash: HashKey(key), StickyKey: key}
				l, err := current.Load().Pool("p").Pick(&q, nil)
				if err != nil {
					t.Error(err)
					return
				}
				if q.Kind == Socket && i%4 < 2 {
					l.Opened()
				}
				// Keep a hundred, give back the oldest.
				if held[g] = append(held[g], l); len(held[g]) > 100 {
					held[g][0].Done()
					held[g] = held[g][1:]
				}
			}
		})
	}
	for i := range reloads {
		commit(i + 1)
		p := current.Load().Pool("p")
		r.SetHealth(p.Backends()[0].Key(), i%2 == 0, "test", epoch)
		if i%10 == 0 {
			runtime.GC()
		}
		r.Snapshot()
	}
	stop.Store(true)
	wg.Wait()

	type split struct{ requests, handshakes, sockets int }
	want := map[Key]split{}
	for _, leases := range held {
		for i := range leases {
			s := want[leases[i].Backend().Key()]
			switch leases[i].unit {
			case oneRequest:
				s.requests++
			case oneHandshake:
				s.handshakes++
			default:
				s.sockets++
			}
			want[leases[i].Backend().Key()] = s
		}
	}
	for _, s := range r.Snapshot() {
		if got := (split{s.Requests, s.Handshakes, s.Sockets}); got != want[s.Key()] {
			t.Errorf("%s: counts %+v, want %+v", s.Name, got, want[s.Key()])
		}
		delete(want, s.Key())
	}
	for key := range want {
		t.Errorf("%s has leases but is not in the snapshot", key.Address)
	}
	for _, leases := range held {
		for i := range leases {
			leases[i].Done()
		}
	}
	for _, s := range r.Snapshot() {
		if s.Active() != 0 {
			t.Errorf("%s: %+v after all leases were returned", s.Name, s.Counts)
		}
	}
}
