package balancer

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-lb/holdfast/config"
)

// listening is a pool whose backends may say how full they are.
func listening(balance string, weights ...int) config.Pool {
	c := probed(config.Pool{Balance: balance, Backends: backendsOf(weights...)})
	c.Health.LoadReports = true
	return c
}

// report has p's i-th backend say something.
func report(t testing.TB, r *Registry, p *Pool, i int, l LoadReport) {
	t.Helper()
	if !r.SetReport(p.Backends()[i].Key(), &l) {
		t.Fatalf("the report of %s was not taken", p.Backends()[i].Name())
	}
}

// Sockets go where there is room: each backend gets as much as the spare part
// of its weight is worth, and never more than the weight itself.
func TestLoadIsWeighed(t *testing.T) {
	f := func(balance string, slack int, say func(i int) LoadReport, want ...int) {
		t.Helper()
		r, p := compiled(t, listening(balance, 1, 1, 2))
		sum := 0
		for i := range want {
			report(t, r, p, i, say(i))
			sum += want[i]
		}
		for range sum {
			pick(t, p, Query{Kind: Socket})
		}
		for i, got := range activeOf(p) {
			if got < want[i]-slack || got > want[i]+slack {
				t.Errorf("%s: %v are active, want %v, give or take %d", balance, activeOf(p), want, slack)
				break
			}
		}
	}
	loads := func(loads ...float64) func(int) LoadReport {
		return func(i int) LoadReport { return LoadReport{Load: loads[i]} }
	}
	f("least_conn", 1, loads(0, 0, 0), 250, 250, 500)
	f("least_conn", 1, loads(0, 0.5, 0.75), 500, 250, 250)
	f("least_conn", 1, loads(-1, 0.5, 0.75), 500, 250, 250) // silence is no load
	f("least_conn", 1, loads(1, 1, 1), 250, 250, 500)       // all full: they share what comes
	f("least_conn", 3, loads(1, 0, 0), 0, 333, 667)
	// p2c is never sent where it did not look: the full one of a pair wins when
	// both draws are its own.
	f("p2c", 120, loads(0.9, 0, 0), 40, 320, 640)
	// Half full of the small one is as good as half full of the large one.
	capacities := []int{100, 300, 200}
	f("least_conn", 20, func(i int) LoadReport { return LoadReport{Load: -1, Capacity: capacities[i]} }, 74, 134, 142)
}

// A backend that says the most gets no more than one that says nothing, and its
// silent neighbours no less.
func TestReportsOnlyTake(t *testing.T) {
	for _, balance := range balances {
		r, p := compiled(t, listening(balance, 1, 1, 1))
		report(t, r, p, 0, LoadReport{Load: 0, Capacity: 1 << 40})
		share := 0
		for i := range 3000 {
			l := pick(t, p, Query{Kind: Socket, Hash: HashKey([]byte{byte(i), byte(i >> 8)})})
			if l.Backend() == p.Backends()[0] {
				share++
			}
		}
		if balance != "first" && (share < 800 || share > 1200) {
			t.Errorf("%s: %d of 3,000", balance, share)
		}
	}
}

// Whatever the algorithm, a backend holds no more than it says that it can.
func TestCapacityBounds(t *testing.T) {
	for _, balance := range balances {
		r, p := compiled(t, listening(balance, 1, 1))
		report(t, r, p, 0, LoadReport{Load: -1, Capacity: 3})
		report(t, r, p, 1, LoadReport{Load: 0.5, Capacity: 5})
		for i := range 8 {
			pick(t, p, Query{Kind: Socket, Hash: HashKey([]byte{byte(i)})})
		}
		if got := activeOf(p); got[0] != 3 || got[1] != 5 {
			t.Errorf("%s: %v are active, want [3 5]", balance, got)
		}
		if _, err := p.Pick(&Query{Kind: Socket, Hash: 1}, nil); !errors.Is(err, ErrAllFull) {
			t.Errorf("%s: error %v, want %v", balance, err, ErrAllFull)
		}
		// What it takes back counts no more.
		if !r.SetReport(p.Backends()[0].Key(), nil) {
			t.Errorf("%s: the report was not taken back", balance)
		}
		if l := pick(t, p, Query{Kind: Socket, Hash: 1}); l.Backend() != p.Backends()[0] {
			t.Errorf("%s: picked %s", balance, l.Backend().Name())
		}
	}
	// max_connections counts if it is less.
	c := listening("least_conn", 1)
	c.Backends[0].MaxConnections = 2
	r, p := compiled(t, c)
	report(t, r, p, 0, LoadReport{Capacity: 3})
	pick(t, p, Query{})
	pick(t, p, Query{})
	if _, err := p.Pick(&Query{}, nil); !errors.Is(err, ErrAllFull) {
		t.Errorf("error %v, want %v", err, ErrAllFull)
	}
}

// A backend is out while it asks for it or an operator wants it so, and each can
// take back their own word only.
func TestAskedDrain(t *testing.T) {
	c := listening("least_conn", 1, 1)
	c.WhenAllDown = "try"
	r, p := compiled(t, c)
	var told []ChangeKind
	r.OnChange(func(c Change) {
		if c.Key != p.Backends()[0].Key() || c.Backend != "b0" {
			t.Errorf("told of %+v", c)
		}
		told = append(told, c.Kind)
	})
	key := p.Backends()[0].Key()
	f := func(what string, usable bool, mode Mode) {
		t.Helper()
		s := r.Snapshot()[0]
		if s.Usable() != usable || s.Mode != mode || p.Backends()[0].State().Mode() != mode {
			t.Errorf("%s: usable %t, %s, want %t, %s", what, s.Usable(), s.Mode, usable, mode)
		}
		tried := triedOf(p.Backends()[1])
		l, err := p.Pick(&Query{}, tried)
		if (err == nil) != usable {
			t.Errorf("%s: pick says %v", what, err)
		}
		if err == nil {
			l.Done()
		}
	}
	asks, content := &LoadReport{Drain: true}, &LoadReport{}
	f("at first", true, Ready)
	r.SetReport(key, asks)
	r.SetReport(key, &LoadReport{Drain: true})
	f("it asks", false, Ready)
	r.SetMode(key, Ready)
	f("undrained, but it asks", false, Ready)
	r.SetHealth(p.Backends()[1].Key(), false, "", time.Now())
	f("it asks, and nobody else is usable", false, Ready)
	r.SetHealth(p.Backends()[1].Key(), true, "", time.Now())
	r.SetMode(key, Drain)
	f("it asks, and an operator drains it", false, Drain)
	r.SetReport(key, content)
	f("an operator drains it", false, Drain)
	r.SetReport(key, asks)
	r.SetMode(key, Ready)
	f("the operator is content, but it asks", false, Ready)
	r.SetReport(key, nil)
	f("nobody wants a drain", true, Ready)

	// Nobody listens to one in maintenance.
	r.SetReport(key, asks)
	r.SetMode(key, Maintenance)
	if r.SetReport(key, asks) {
		t.Error("a report of a backend in maintenance is taken")
	}
	f("maintenance", false, Maintenance)
	r.SetMode(key, Ready)
	f("after the maintenance", true, Ready)

	// A configuration that does not listen forgets what was said.
	r.SetReport(key, asks)
	c.Health.LoadReports = false
	p = reload(t, r, c)
	f("nobody listens", true, Ready)
	if r.SetReport(key, asks) {
		t.Error("a report that nobody listens to is taken")
	}
	want := []ChangeKind{DrainAsked, DrainWithdrawn, DrainAsked, DrainWithdrawn, DrainAsked, DrainWithdrawn, DrainAsked, DrainWithdrawn}
	if len(told) != len(want) {
		t.Fatalf("told %v, want %v", told, want)
	}
	for i := range want {
		if told[i] != want[i] {
			t.Errorf("told %v, want %v", told, want)
		}
	}
}

// A backend that comes back from a drain of its own is a newcomer.
func TestAskedDrainEndsOnTheRamp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := listening("least_conn", 1, 1)
		c.SlowStart = rampTime
		r, p := compiled(t, c)
		setHealth(t, r, p, 0, true)
		report(t, r, p, 0, LoadReport{Drain: true})
		time.Sleep(time.Minute)
		report(t, r, p, 0, LoadReport{})
		if p.parts(&p.members[0], p.clock.now()) != coldParts || p.rampEnd.Load() == 0 {
			t.Error("it is not on the ramp")
		}
		// Both count there: the part that has grown, and what is spare of it.
		time.Sleep(rampTime / 2)
		report(t, r, p, 0, LoadReport{Load: 0.5})
		for range 1000 {
			pick(t, p, Query{})
		}
		if got := activeOf(p); got[0] < 150 || got[0] > 210 {
			t.Errorf("%v are active, want about [200 800] or less", got)
		}
	})
}
