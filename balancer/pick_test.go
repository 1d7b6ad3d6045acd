package balancer

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/config"
)

// forEachBalance runs f for every algorithm, and once for each way to stick.
func forEachBalance(t *testing.T, f func(t *testing.T, c config.Pool, q Query)) {
	t.Helper()
	for _, balance := range balances {
		t.Run(balance, func(t *testing.T) {
			f(t, config.Pool{Balance: balance}, Query{Hash: HashKey([]byte("room 7"))})
		})
	}
	t.Run("sticky table", func(t *testing.T) {
		f(t, config.Pool{Sticky: byQuery()}, Query{StickyKey: []byte("room 7")})
	})
	t.Run("sticky cookie", func(t *testing.T) {
		f(t, config.Pool{Sticky: byCookie("")}, Query{})
	})
}

func TestPickGoesByHealthModeLimitAndTried(t *testing.T) {
	forEachBalance(t, func(t *testing.T, c config.Pool, q Query) {
		c = probed(c)
		c.Backends = backendsOf(1, 2, 3)
		r, p := compiled(t, c)
		all := p.Backends()
		// only: over many picks exactly these are seen, or err.
		only := func(tried *Tried, wantErr error, allowed ...int) {
			t.Helper()
			for range 50 {
				l, err := p.Pick(&q, tried)
				if !errors.Is(err, wantErr) {
					t.Fatalf("error %v, want %v", err, wantErr)
				}
				if err != nil {
					if l.Held() || l.Backend() != nil {
						t.Fatal("a refusal came with a lease")
					}
					continue
				}
				if i := slices.Index(all, l.Backend()); !slices.Contains(allowed, i) {
					t.Fatalf("picked %d, want one of %v", i, allowed)
				}
				l.Done()
			}
		}
		only(nil, nil, 0, 1, 2)
		setHealth(t, r, p, 1, false)
		only(nil, nil, 0, 2)
		r.SetMode(all[0].Key(), Drain)
		only(nil, nil, 2)
		only(triedOf(all[2]), ErrNoneUsable)
		r.SetMode(all[2].Key(), Maintenance)
		only(nil, ErrNoneUsable)
		setHealth(t, r, p, 1, true)
		only(nil, nil, 1)
		r.SetMode(all[0].Key(), Ready)
		r.SetMode(all[2].Key(), Ready)
		only(triedOf(all[0], all[1]), nil, 2)
		only(triedOf(all...), ErrNoneUsable)
	})
}

func triedOf(backends ...*Backend) *Tried {
	var t Tried
	for _, b := range backends {
		t.Add(b)
	}
	return &t
}

func TestPickRefusesWhenAllAreFull(t *testing.T) {
	forEachBalance(t, func(t *testing.T, c config.Pool, q Query) {
		c = probed(c)
		c.Backends = backendsOf(1, 1, 1)
		for i := range c.Backends {
			c.Backends[i].MaxConnections = 5
		}
		r, p := compiled(t, c)
		setHealth(t, r, p, 2, false)
		var leases []Lease
		for range 10 {
			leases = append(leases, pick(t, p, q))
		}
		if got := activeOf(p); !slices.Equal(got, []int{5, 5, 0}) {
			t.Fatalf("active %v, want [5 5 0]", got)
		}
		if _, err := p.Pick(&q, nil); !errors.Is(err, ErrAllFull) {
			t.Fatalf("error %v, want %v", err, ErrAllFull)
		}
		if _, err := p.Pick(&q, triedOf(p.Backends()...)); !errors.Is(err, ErrNoneUsable) {
			t.Fatalf("all tried: error %v, want %v", err, ErrNoneUsable)
		}
		leases[3].Done()
		again := pick(t, p, q)
		if again.Backend() != leases[3].Backend() {
			t.Fatalf("picked %s, want the only one with room, %s", again.Backend().Name(), leases[3].Backend().Name())
		}
	})
}

func TestPickNeverPassesMaxConnections(t *testing.T) {
	forEachBalance(t, func(t *testing.T, c config.Pool, q Query) {
		c.Backends = backendsOf(1, 2, 1)
		for i := range c.Backends {
			c.Backends[i].MaxConnections = 3 + i
		}
		_, p := compiled(t, c)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				q := q
				for i := range 2000 {
					q.Kind = Kind(i % 2)
					l, err := p.Pick(&q, nil)
					if errors.Is(err, ErrAllFull) {
						continue
					}
					if err != nil {
						t.Error(err)
						return
					}
					b := l.Backend()
					if n := b.State().Active(); n > b.MaxConnections() {
						t.Errorf("%s holds %d leases, its limit is %d", b.Name(), n, b.MaxConnections())
					}
					if q.Kind == Socket {
						l.Opened()
					}
					l.Done()
				}
			})
		}
		wg.Wait()
		if got := activeOf(p); !slices.Equal(got, []int{0, 0, 0}) {
			t.Errorf("active %v after all leases were returned", got)
		}
	})
}

func TestPickWhenAllDown(t *testing.T) {
	forEachBalance(t, func(t *testing.T, c config.Pool, q Query) {
		f := func(whenAllDown string, upBackend int, tried []int, wantErr error, want ...string) {
			t.Helper()
			c := probed(c)
			c.WhenAllDown = whenAllDown
			c.Backends = backendsOf(1, 1, 1)
			r, p := compiled(t, c)
			for i := range 3 {
				setHealth(t, r, p, i, i == upBackend)
			}
			r.SetMode(p.Backends()[2].Key(), Drain)
			var set Tried
			for _, i := range tried {
				set.Add(p.Backends()[i])
			}
			for range 20 {
				l, err := p.Pick(&q, &set)
				if !errors.Is(err, wantErr) {
					t.Fatalf("error %v, want %v", err, wantErr)
				}
				if err == nil {
					if name := l.Backend().Name(); !slices.Contains(want, name) {
						t.Fatalf("picked %s, want one of %v", name, want)
					}
					l.Done()
				}
			}
		}
		f("fail", -1, nil, ErrNoneUsable)
		f("try", -1, nil, nil, "b0", "b1")
		f("try", -1, []int{0}, nil, "b1")
		f("try", -1, []int{0, 1}, ErrNoneUsable)
		f("try", 1, nil, nil, "b1")
		// One is up, so not all are down, although this request has had it.
		f("try", 1, []int{1}, ErrNoneUsable)
		// The operator's word stands over health.
		f("try", 2, nil, nil, "b0", "b1")
	})
}

// A pick must not wait for whoever holds the Registry: that is a reload, a
// scrape or a verdict.
func TestPickTakesNoLock(t *testing.T) {
	forEachBalance(t, func(t *testing.T, c config.Pool, q Query) {
		c.Backends = backendsOf(1, 1, 1)
		r, p := compiled(t, c)
		r.mu.Lock()
		defer r.mu.Unlock()
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range 100 {
				l, err := p.Pick(&q, nil)
				if err != nil {
					t.Error(err)
					return
				}
				l.Done()
			}
		}()
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			t.Fatal("picks wait for the Registry")
		}
	})
}

func TestPickDoesNotAllocate(t *testing.T) {
	forEachBalance(t, func(t *testing.T, c config.Pool, q Query) {
		for _, n := range []int{3, 100} {
			c.Backends = backendsOf(equal(n)...)
			c.Backends[0].Weight = 2
			_, p := compiled(t, c)
			f := func(name string, tried *Backend) {
				t.Helper()
				if allocs := testing.AllocsPerRun(200, func() {
					q := q
					q.Kind = Socket
					var set Tried
					if tried != nil {
						set.Add(tried)
					}
					l, err := p.Pick(&q, &set)
					if err != nil {
						panic(err)
					}
					l.Opened()
					l.Done()
				}); allocs != 0 {
					t.Errorf("%d backends, %s: %v allocations", n, name, allocs)
				}
			}
			f("first attempt", nil)
			f("retry", p.Backends()[0])

			c.Health.LoadReports = true
			r, listens := compiled(t, c)
			p = listens
			for i, b := range p.Backends() {
				r.SetReport(b.Key(), &LoadReport{Load: float64(i%3)/2 - 0.5, Capacity: 100, Drain: i == 2})
			}
			f("with load reports", nil)
		}
	})
}

func TestPickRefusalDoesNotAllocate(t *testing.T) {
	forEachBalance(t, func(t *testing.T, c config.Pool, q Query) {
		c.Backends, c.WhenAllDown = backendsOf(1, 1), "try"
		_, p := compiled(t, c)
		tried := triedOf(p.Backends()...)
		if allocs := testing.AllocsPerRun(100, func() {
			if _, err := p.Pick(&q, tried); err == nil {
				panic("picked a backend that was tried")
			}
		}); allocs != 0 {
			t.Errorf("%v allocations", allocs)
		}
	})
}

// BenchmarkPick is one pick and its return, on one core and on all, in pools
// whose backends hold a hundred leases each.
func BenchmarkPick(b *testing.B) {
	f := func(name string, c config.Pool) {
		for _, n := range []int{3, 100, 1000} {
			c.Backends = backendsOf(equal(n)...)
			_, p := compiled(b, c)
			for _, m := range p.members {
				m.state.word.Store(100 * oneSocket)
				if c.Health.LoadReports {
					m.state.report.Store((&LoadReport{Load: -1, Capacity: 1000}).word())
				}
			}
			if c.SlowStart != 0 { // one that catches up, and does not come far
				p.members[0].state.word.Store(0)
				p.members[0].state.ramp.Store(1 - int64(c.SlowStart))
				p.rampEnd.Store(1)
			}
			cookie := p.Backends()[1].StickyID()
			loop := func(next func() bool) {
				key := []byte("room 00")
				for i := 0; next(); i++ {
					key[5], key[6] = byte('0'+i/10%10), byte('0'+i%10)
					q := Query{Kind: Socket, Hash: HashKey(key), StickyKey: key, StickyBackend: cookie}
					l, err := p.Pick(&q, nil)
					if err != nil {
						panic(err)
					}
					l.Done()
				}
			}
			b.Run(fmt.Sprintf("%s/%d/one", name, n), func(b *testing.B) {
				b.ReportAllocs()
				loop(b.Loop)
			})
			b.Run(fmt.Sprintf("%s/%d/all", name, n), func(b *testing.B) {
				b.RunParallel(func(pb *testing.PB) { loop(pb.Next) })
			})
		}
	}
	for _, balance := range balances {
		f(balance, config.Pool{Balance: balance})
	}
	f("least_conn_reports", config.Pool{Health: config.Health{LoadReports: true}})
	f("least_conn_catches_up", config.Pool{SlowStart: time.Second})
	f("p2c_reports", config.Pool{Balance: "p2c", Health: config.Health{LoadReports: true}})
	f("sticky_table", config.Pool{Sticky: byQuery()})
	f("sticky_cookie", config.Pool{Sticky: byCookie("")})
}
