package balancer

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-lb/holdfast/config"
)

const rampTime = 30 * time.Second

// slow is a probed pool with slow start.
func slow(balance string, weights ...int) config.Pool {
	return probed(config.Pool{Balance: balance, SlowStart: rampTime, Backends: backendsOf(weights...)})
}

// arrivals takes leases, perStep of them every step, and tells what share of
// each second's the backend i got. None is returned.
func arrivals(t *testing.T, p *Pool, i int, seconds, perSecond int) []float64 {
	t.Helper()
	shares := make([]float64, seconds)
	for s := range shares {
		got := 0
		for range perSecond {
			if l := pick(t, p, Query{Kind: Socket}); l.Backend() == p.Backends()[i] {
				got++
			}
			time.Sleep(time.Second / time.Duration(perSecond))
		}
		shares[s] = float64(got) / float64(perSecond)
	}
	return shares
}

// plot logs a curve, a line a point; go test -v shows it.
func plot(t *testing.T, name string, shares []float64, want func(second int) float64) {
	t.Helper()
	var b strings.Builder
	for s, share := range shares {
		if s%2 == 0 {
			fmt.Fprintf(&b, "\n%3d s %5.1f %% (%5.1f) %s", s, 100*share, 100*want(s), strings.Repeat("#", int(80*share)))
		}
	}
	t.Logf("%s: share of new sockets at the backend that came back, and along the ramp%s", name, b.String())
}

// A backend that recovers among three full neighbours gets new sockets along
// the ramp, and the neighbours all others.
func TestSlowStartAlongTheRamp(t *testing.T) {
	part := func(s int) float64 { return max(0.1, math.Min(1, (float64(s)+0.5)/rampTime.Seconds())) }
	fair := func(s int) float64 { return part(s) / (3 + part(s)) }
	f := func(balance string, want func(s int) float64) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			r, p := compiled(t, slow(balance, 1, 1, 1, 1))
			setHealth(t, r, p, 0, true)
			setHealth(t, r, p, 0, false)
			setSockets(p, []int{0, 50_000, 50_000, 50_000})
			p.members[0].state.setStatus(bitDown, bitDown)
			time.Sleep(time.Minute)
			setHealth(t, r, p, 0, true)
			shares := arrivals(t, p, 0, 30, 1000)
			plot(t, balance, shares, want)
			for s := 0; s < len(shares); s += 3 {
				got, along := 0., 0.
				for k := range 3 {
					got, along = got+shares[s+k]/3, along+want(s+k)/3
				}
				// 3,000 draws: 0.04 is more than five standard deviations.
				if math.Abs(got-along) > 0.04 {
					t.Errorf("%s: a share of %.3f from second %d on, want %.3f", balance, got, s, along)
				}
			}
			// The others are served alike.
			if got := activeOf(p)[1:]; balance != "random" && balance != "p2c" && slices.Max(got)-slices.Min(got) > 300 {
				t.Errorf("%s: the neighbours have %v", balance, got)
			}
			setSockets(p, []int{50_000, 50_000, 50_000, 50_000})
			time.Sleep(time.Second)
			for range 40 {
				pick(t, p, Query{}) // one sees that it has caught up, another that nobody is left
			}
			if p.rampEnd.Load() != 0 {
				t.Errorf("%s: picks look at the clock after the ramp", balance)
			}
		})
	}
	f("least_conn", fair)
	f("round_robin", fair)
	f("random", fair)
	// Two are drawn, and an empty one wins over any other.
	f("p2c", func(s int) float64 { return fair(s) + (1-fair(s))*part(s)/(2+part(s)) })
}

// A newcomer that has a load gets no more of it than its weight so far allows.
func TestSlowStartMeasuresLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, p := compiled(t, slow("least_conn", 1, 1))
		setHealth(t, r, p, 0, false)
		setSockets(p, []int{1000, 1000})
		p.members[0].state.setStatus(bitDown, bitDown)
		setHealth(t, r, p, 0, true)
		time.Sleep(rampTime / 2)
		for range 500 {
			pick(t, p, Query{})
		}
		// With half its weight it is as full as a neighbour with 2,000.
		if got := activeOf(p); got[0] != 1000 || got[1] != 1500 {
			t.Errorf("%v are active, want [1000 1500]", got)
		}
	})
}

// Who is on the ramp and who is not.
func TestSlowStartWhen(t *testing.T) {
	f := func(what string, do func(r *Registry, p *Pool) *Pool, want ...bool) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			c := slow("least_conn", 1, 1)
			c.Health.Initial = "down"
			r, p := compiled(t, c)
			for i := range 2 {
				setHealth(t, r, p, i, true)
			}
			time.Sleep(time.Hour)
			if do != nil {
				p = do(r, p)
			}
			for i, on := range want {
				if got := p.parts(&p.members[i], p.clock.now()) < whole; got != on {
					t.Errorf("%s: backend %d is on the ramp: %v, want %v", what, i, got, on)
				}
			}
			if on := slices.Contains(want, true); on != (p.rampClock() != 0) {
				t.Errorf("%s: the pool knows of it: %v, want %v", what, !on, on)
			}
		})
	}
	key := func(p *Pool) Key { return p.Backends()[0].Key() }
	three := func(initial string) config.Pool {
		c := slow("least_conn", 1, 1, 1)
		c.Health.Initial = initial
		return c
	}
	f("all came at once", nil, false, false)
	f("recovered", func(r *Registry, p *Pool) *Pool {
		r.SetHealth(key(p), false, "", epoch)
		r.SetHealth(key(p), true, "", epoch)
		return p
	}, true, false)
	f("another good verdict", func(r *Registry, p *Pool) *Pool {
		r.SetHealth(key(p), true, "", epoch)
		return p
	}, false, false)
	f("left a drain", func(r *Registry, p *Pool) *Pool {
		r.SetMode(key(p), Drain)
		r.SetMode(key(p), Ready)
		return p
	}, true, false)
	f("drains", func(r *Registry, p *Pool) *Pool {
		r.SetMode(key(p), Drain)
		return p
	}, false, false)
	f("left maintenance, and is found up", func(r *Registry, p *Pool) *Pool {
		r.SetMode(key(p), Maintenance)
		r.SetMode(key(p), Ready)
		r.SetHealth(key(p), true, "", epoch)
		return p
	}, true, false)
	f("came by a reload and is up", func(r *Registry, _ *Pool) *Pool { return reload(t, r, three("up")) }, false, false, true)
	f("came by a reload and is found up", func(r *Registry, _ *Pool) *Pool {
		p := reload(t, r, three("down"))
		time.Sleep(time.Hour)
		r.SetHealth(p.Backends()[2].Key(), true, "", epoch)
		return p
	}, false, false, true)
	f("a reload while it is on the ramp", func(r *Registry, p *Pool) *Pool {
		r.SetHealth(key(p), false, "", epoch)
		r.SetHealth(key(p), true, "", epoch)
		time.Sleep(time.Second)
		return reload(t, r, slow("p2c", 1, 1))
	}, true, false)
	f("long ago", func(r *Registry, p *Pool) *Pool {
		r.SetHealth(key(p), false, "", epoch)
		r.SetHealth(key(p), true, "", epoch)
		time.Sleep(rampTime)
		for range 40 {
			pick(t, p, Query{})
		}
		return p
	}, false, false)
}

// Behind the ramp newcomers that are far behind get at most twice their share
// together, and the others half of theirs, however long that takes.
func TestSlowStartCatchesUp(t *testing.T) {
	f := func(want float64, newcomers int, weights ...int) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			p := withNewcomers(t, newcomers, 50_000, weights...)
			p = reload(t, p.registry, slow("least_conn", weights...))
			time.Sleep(time.Hour)
			before := activeOf(p)
			for range 10_000 {
				pick(t, p, Query{Kind: Socket})
			}
			got := 0.
			for i, n := range activeOf(p)[:newcomers] {
				got += float64(n-before[i]) / 10_000
			}
			// 0.03 is six standard deviations.
			if math.Abs(got-want) > 0.03 {
				t.Errorf("%v: %d newcomers have a share of %.3f behind the ramp, want %.3f", weights, newcomers, got, want)
			}
		})
	}
	f(2./4, 1, 1, 1, 1, 1)
	f(2./10, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1)
	f(3./4, 1, 1, 1)
	f(2./8, 1, 1, 3, 4)
	f((1+5./8)/2, 1, 5, 3)
	f((1+2./3)/2, 2, 1, 1, 1)
	f((1+3./4)/2, 3, 1, 1, 1, 1)
	f(1, 2, 1, 3)
}

// Once newcomers have caught up all get alike, and picks go the short way.
func TestSlowStartHasCaughtUp(t *testing.T) {
	f := func(newcomers int, weights ...int) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			p := withNewcomers(t, newcomers, 2000, weights...)
			time.Sleep(rampTime)
			for range 8000 * len(weights) {
				pick(t, p, Query{Kind: Socket})
			}
			got := activeOf(p)
			for i := range got {
				got[i] /= weights[i]
			}
			if slices.Max(got)-slices.Min(got) > 1 || p.rampEnd.Load() != 0 {
				t.Errorf("%v are active for their weights, want all alike; end of ramps %d", got, p.rampEnd.Load())
			}
			setHealth(t, p.registry, p, 0, false)
			setHealth(t, p.registry, p, 0, true)
			if p.parts(&p.members[0], p.clock.now()) != coldParts || p.rampClock() == 0 {
				t.Error("one that comes back once more is no newcomer")
			}
		})
	}
	f(1, 1, 1, 1, 1)
	f(2, 1, 1, 1)
	f(3, 1, 4, 2, 2, 1)
	f(4, 1, 1, 1, 1) // all at once
}

// withNewcomers is a pool whose first backends come back, and have nothing; of
// the others each has so many sockets for each of its weight.
func withNewcomers(t *testing.T, newcomers, sockets int, weights ...int) *Pool {
	t.Helper()
	r, p := compiled(t, slow("least_conn", weights...))
	counts := make([]int, len(weights))
	for i := range counts[newcomers:] {
		counts[newcomers+i] = sockets * weights[newcomers+i]
	}
	for i := range newcomers {
		setHealth(t, r, p, i, true)
		setHealth(t, r, p, i, false)
	}
	setSockets(p, counts)
	for i := range newcomers {
		p.members[i].state.setStatus(bitDown, bitDown)
		setHealth(t, r, p, i, true)
	}
	return p
}

// All recover at once: somebody is picked all the same, by weight.
func TestSlowStartOfAll(t *testing.T) {
	for _, balance := range balances {
		synctest.Test(t, func(t *testing.T) {
			r, p := compiled(t, slow(balance, 1, 3))
			for _, up := range []bool{true, false, true} {
				for i := range 2 {
					setHealth(t, r, p, i, up)
				}
			}
			for range 400 {
				pick(t, p, Query{})
			}
			if got := activeOf(p); balance == "least_conn" && (got[0] < 95 || got[0] > 105) {
				t.Errorf("%s: %v, want [100 300]", balance, got)
			}
		})
	}
}

func TestSlowStartDoesNotAllocate(t *testing.T) {
	for _, balance := range balances {
		r, p := compiled(t, slow(balance, 1, 2, 1))
		for _, up := range []bool{true, false, true} {
			setHealth(t, r, p, 0, up)
		}
		if allocs := testing.AllocsPerRun(200, func() {
			q := Query{Kind: Socket}
			l, err := p.Pick(&q, nil)
			if err != nil {
				panic(err)
			}
			l.Done()
		}); allocs != 0 || p.rampClock() == 0 {
			t.Errorf("%s: %v allocations", balance, allocs)
		}
	}
}
