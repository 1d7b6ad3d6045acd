package balancer

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-lb/holdfast/config"
	"pgregory.net/rapid"
)

// No second has more than n, whenever they come and whatever is put back.
func TestRateIsNeverPassed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 3000).Draw(t, "a second")
		r, m := newRate(n), &meter{}
		now := int64(1)
		var taken []int64
		for range rapid.IntRange(1, 600).Draw(t, "handshakes") {
			switch rapid.IntRange(0, 4).Draw(t, "when") {
			case 0:
				now += int64(rapid.IntRange(0, int(time.Second)).Draw(t, "later"))
			case 1, 2:
				now += int64(r.wait(m, now))
			}
			if ready := r.wait(m, now) == 0; r.take(m, now) != ready {
				t.Fatalf("wait says %v, take the contrary", ready)
			} else if ready && rapid.IntRange(0, 9).Draw(t, "fails") == 0 {
				r.putBack(m)
			} else if ready {
				taken = append(taken, now)
			}
		}
		for i, from := range taken {
			if k := i + n; k < len(taken) && taken[k]-from < int64(time.Second) {
				t.Fatalf("%d within %v, %d a second are allowed", n+1, time.Duration(taken[k]-from), n)
			}
		}
	})
}

// A rate that is always asked gives nearly all that it may.
func TestRateIsUsed(t *testing.T) {
	for _, n := range []int{1, 2, 10, 99, 100, 250, 1000, 50_000} {
		r, m := newRate(n), &meter{}
		got := 0
		for now := int64(1); now <= int64(20*time.Second); got++ {
			if !r.take(m, now) {
				now += int64(r.wait(m, now))
				r.take(m, now)
			}
		}
		if got < 20*n*98/100 || got > 20*n+n/burstShare+1 {
			t.Errorf("%d a second: %d in 20 s", n, got)
		}
	}
	var none rate
	for range 1000 {
		if !none.take(&meter{}, 1) || none.wait(&meter{}, 1) != 0 {
			t.Fatal("no rate bounds all the same")
		}
	}
}

// storm asks for sockets for a time, from many sides at once, and tells how
// many each backend got.
func paced(limits config.PoolLimits, balance string, weights ...int) config.Pool {
	return config.Pool{Balance: balance, Limits: limits, Backends: backendsOf(weights...)}
}

func TestPickKeepsTheRates(t *testing.T) {
	f := func(limits config.PoolLimits, balance string, perBackend, inAll int) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			_, p := compiled(t, paced(limits, balance, 1, 2, 1))
			began := time.Now()
			var got [3]atomic.Int64
			var refused atomic.Int64
			var wg sync.WaitGroup
			for g := range 8 {
				wg.Go(func() {
					q := Query{Kind: Socket, Hash: uint64(g)}
					for time.Since(began) < 10*time.Second {
						l, err := p.Pick(&q, nil)
						switch err {
						case nil:
							for i, b := range p.Backends() {
								if b == l.Backend() {
									got[i].Add(1)
								}
							}
							l.Done()
						case ErrPaced:
							refused.Add(1)
							if p.Wait() == 0 {
								time.Sleep(time.Microsecond)
							}
							time.Sleep(p.Wait())
						default:
							t.Error(err)
						}
					}
				})
			}
			wg.Wait()
			sum := 0
			for i := range got {
				n := int(got[i].Load())
				if sum += n; n > 10*perBackend+1 {
					t.Errorf("%s %+v: backend %d had %d in 10 s", balance, limits, i, n)
				}
			}
			if sum > 10*inAll+1 || balance == "least_conn" && sum < 10*inAll*97/100 || refused.Load() == 0 {
				t.Errorf("%s %+v: %d in 10 s, %d refused", balance, limits, sum, refused.Load())
			}
			// Requests have no such limit.
			for range 1000 {
				pick(t, p, Query{})
			}
		})
	}
	for _, balance := range balances {
		f(config.PoolLimits{HandshakesPerSecondPerBackend: 100}, balance, 100, 300)
		f(config.PoolLimits{HandshakesPerSecond: 50}, balance, 50, 50)
		f(config.PoolLimits{HandshakesPerSecond: 120, HandshakesPerSecondPerBackend: 100}, balance, 100, 120)
	}
}

// Who may wait does so for the backend that he sticks to; who may not goes
// elsewhere this once.
func TestStickyUnderARate(t *testing.T) {
	f := func(patient bool, wantErr error) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			c := paced(config.PoolLimits{HandshakesPerSecondPerBackend: 10}, "least_conn", 1, 1)
			c.Sticky = byQuery()
			_, p := compiled(t, c)
			q := Query{Kind: Socket, StickyKey: []byte("someone"), Patient: patient}
			home := pick(t, p, q)
			home.Done()
			l, err := p.Pick(&q, nil)
			if err != wantErr || err == nil && l.Backend() == home.Backend() {
				t.Fatalf("patient %v: %v, %v", patient, l.Backend(), err)
			}
			if !p.Returns(&q) || p.Returns(&Query{Kind: Socket, StickyKey: []byte("nobody")}) {
				t.Error("a stranger is taken for a returning player, or the other way round")
			}
			time.Sleep(time.Second)
			if again := pick(t, p, q); again.Backend() != home.Backend() {
				t.Errorf("patient %v: came back to %s, its home is %s", patient, again.Backend().Name(), home.Backend().Name())
			}
		})
	}
	f(true, ErrPaced)
	f(false, nil)
}

// Who loses the race for a new key follows the one who won it, and what the
// backend of his own choice would have begun for him is not counted there.
func TestStickyRaceUnderARate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // whose time stands still
		c := paced(config.PoolLimits{HandshakesPerSecondPerBackend: 1 << 20}, "least_conn", 1, 1, 1)
		c.Sticky = byQuery()
		_, p := compiled(t, c)
		const rooms, players = 300, 8
		for room := range rooms {
			key := fmt.Append(nil, room)
			start := make(chan struct{})
			var wg sync.WaitGroup
			for range players {
				wg.Go(func() {
					<-start
					if _, err := p.Pick(&Query{Kind: Socket, StickyKey: key}, nil); err != nil {
						t.Error(err)
					}
				})
			}
			close(start)
			wg.Wait()
		}
		begun := int64(0)
		for i := range p.members {
			begun += (p.members[i].state.begun.due.Load() - p.clock.now()) / p.each.interval
		}
		if begun != rooms*players {
			t.Errorf("%d handshakes are counted, want %d", begun, rooms*players)
		}
	})
}

func TestReloadKeepsTheRates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := paced(config.PoolLimits{HandshakesPerSecond: 1}, "least_conn", 1, 1)
		r, p := compiled(t, c)
		pick(t, p, Query{Kind: Socket})
		p = reload(t, r, c)
		if _, err := p.Pick(&Query{Kind: Socket}, nil); err != ErrPaced {
			t.Errorf("error %v, want %v: a reload is no new second", err, ErrPaced)
		}
		if wait := p.Wait(); wait != time.Second {
			t.Errorf("the next one is said to come in %v", wait)
		}
	})
}

func TestPacedPickDoesNotAllocate(t *testing.T) {
	_, p := compiled(t, paced(config.PoolLimits{HandshakesPerSecond: 5, HandshakesPerSecondPerBackend: 1 << 20}, "least_conn", 1, 1))
	if allocs := testing.AllocsPerRun(200, func() {
		q := Query{Kind: Socket}
		if l, err := p.Pick(&q, nil); err == nil {
			l.Done()
		}
	}); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}
