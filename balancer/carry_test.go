package balancer

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/holdfast-lb/holdfast/config"
)

// handedOver is a registry that goes on where r is, told by what would lie
// between the two processes.
func handedOver(t rapid.TB, r *Registry) *Registry {
	t.Helper()
	next := NewRegistry()
	if err := next.Inherit(carriedBy(t, r)); err != nil {
		t.Fatal(err)
	}
	return next
}

func carriedBy(t rapid.TB, r *Registry) *Carried {
	t.Helper()
	text, err := json.Marshal(r.Carry())
	if err != nil {
		t.Fatal(err)
	}
	c := new(Carried)
	if err := json.Unmarshal(text, c); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return c
}

// expectSameCarried fails the test unless both say the same, by the same clock.
func expectSameCarried(t rapid.TB, got, want *Carried) {
	t.Helper()
	a, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a, b) {
		t.Errorf("carried on:\n%s\nwhat came:\n%s", a, b)
	}
}

// What backends are goes on in the next process, to the nanosecond.
func TestInheritedBackendsAreWhatTheyWere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pool := func() config.Pool {
			c := probed(config.Pool{SlowStart: rampTime, Backends: backendsOf(equal(10)...)})
			c.Health.Initial, c.Health.LoadReports = "down", true
			c.Passive = &config.Passive{Failures: 5, Window: 10 * time.Second, Eject: 30 * time.Second, MaxEjectedPercent: 50}
			return c
		}
		r, p := compiled(t, pool())
		time.Sleep(time.Minute)
		for i := range 10 {
			if i != 6 { // which was never up
				setHealth(t, r, p, i, true)
			}
		}
		time.Sleep(time.Minute)
		setHealth(t, r, p, 0, false)
		r.SetMode(p.Backends()[1].Key(), Drain)
		r.SetMode(p.Backends()[2].Key(), Maintenance)
		fail(p, 3, 5)
		setHealth(t, r, p, 4, false)
		setHealth(t, r, p, 4, true)
		r.SetReport(p.Backends()[5].Key(), &LoadReport{Load: 0.25, Capacity: 7, Drain: true, At: time.Now()})
		time.Sleep(10 * time.Second)

		was, before := carriedBy(t, r), r.Snapshot()
		next := handedOver(t, r)
		var heard told
		next.OnChange(heard.hear)
		if _, ok := next.Adopt(p.Backends()[0].Key()); ok {
			t.Error("a lease of pools that nobody has committed")
		}
		p = reload(t, next, pool())
		if now := next.Snapshot(); !reflect.DeepEqual(inWalls(now), inWalls(before)) {
			t.Errorf("status\n%+v, was\n%+v", now, before)
		}
		expectSameCarried(t, next.Carry(), was)
		// Picks go by it: b4 has been on the ramp for ten seconds.
		expectUsable(t, p, 4, 7, 8, 9)
		if parts := p.parts(&p.members[4], p.rampClock()); parts != whole/3 {
			t.Errorf("on the ramp with %d of %d parts", parts, whole)
		}
		// The ejection ends when it would have, and had a record.
		time.Sleep(20*time.Second - time.Nanosecond)
		expectUsable(t, p, 4, 7, 8, 9)
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		expectUsable(t, p, 3, 4, 7, 8, 9)
		fail(p, 3, 5)
		if s := next.Snapshot()[3]; time.Until(s.Until) != time.Minute {
			t.Errorf("the second ejection in a row lasts %v", time.Until(s.Until))
		}
		// b6, which was never up in a new pool, is no newcomer; b0 is.
		setHealth(t, next, p, 6, true)
		setHealth(t, next, p, 0, true)
		if p.members[6].state.ramp.Load() != 0 || p.members[0].state.ramp.Load() == 0 {
			t.Error("who is proven has been forgotten")
		}
		if got := heard.all(); strings.Join(got, ", ") != "b3 returned, b3 ejected" {
			t.Errorf("told %q", got)
		}
	})
}

func expectUsable(t *testing.T, p *Pool, want ...int) {
	t.Helper()
	var got []int
	for i, b := range p.Backends() {
		if b.State().Usable() {
			got = append(got, i)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("picks may find %v, want %v", got, want)
	}
}

// inWalls are statuses without readings of this process's clock, and with their
// reports by value.
func inWalls(list []BackendStatus) []any {
	var all []any
	for _, s := range list {
		var report LoadReport
		if s.Report != nil {
			report = *s.Report
			report.At = report.At.UTC()
		}
		s.Report, s.Since, s.Until = nil, s.Since.UTC(), s.Until.UTC()
		all = append(all, s, report)
	}
	return all
}

// The first configuration of the next process may be another one: then what
// was carried meets the rules of a reload.
func TestInheritedBackendsMeetANewConfiguration(t *testing.T) {
	f := func(what string, change func(c *config.Pool), want func(s []BackendStatus) bool) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			c := probed(config.Pool{SlowStart: rampTime, Backends: backendsOf(1, 1, 1)})
			c.Health.LoadReports = true
			c.Passive = &config.Passive{Failures: 5, Window: 10 * time.Second, Eject: 30 * time.Second, MaxEjectedPercent: 50}
			r, p := compiled(t, c)
			setHealth(t, r, p, 0, false)
			r.SetMode(p.Backends()[1].Key(), Drain)
			r.SetReport(p.Backends()[1].Key(), &LoadReport{Load: 1})
			fail(p, 2, 5)
			change(&c)
			next := handedOver(t, r)
			reload(t, next, c)
			if s := next.Snapshot(); !want(s) {
				t.Errorf("%s: %+v", what, s)
			}
			time.Sleep(time.Hour) // an ejection ends, whoever is left
			synctest.Wait()
		})
	}
	f("nothing", func(*config.Pool) {}, func(s []BackendStatus) bool {
		return !s[0].Up && s[1].Mode == Drain && s[1].Report != nil && s[2].Ejected
	})
	f("no checks", func(c *config.Pool) { c.Health = config.Health{} }, func(s []BackendStatus) bool {
		return s[0].Up && s[0].Why == "not probed" && s[1].Mode == Drain && s[1].Report == nil && s[2].Ejected
	})
	f("no passive verdicts", func(c *config.Pool) { c.Passive = nil }, func(s []BackendStatus) bool {
		return !s[0].Up && s[1].Mode == Drain && !s[2].Ejected
	})
	f("fewer", func(c *config.Pool) { c.Backends = c.Backends[:1] }, func(s []BackendStatus) bool {
		return len(s) == 1 && !s[0].Up
	})
	f("another name", func(c *config.Pool) { c.Backends[0].Name = "x" }, func(s []BackendStatus) bool {
		return s[0].Name == "x" && !s[0].Up
	})
	f("a newcomer", func(c *config.Pool) {
		c.Backends = append(c.Backends, config.Backend{Name: "new", URL: "http://10.9.9.9:1"})
	}, func(s []BackendStatus) bool {
		return len(s) == 4 && s[3].Up && s[3].Mode == Ready && !s[0].Up
	})
}

// A backend that is new to a pool at work is a newcomer in the next process too.
func TestNewcomerAfterInheritRamps(t *testing.T) {
	r, _ := compiled(t, slow("random", 1, 1))
	p := reload(t, handedOver(t, r), slow("random", 1, 1, 1))
	if p.members[2].state.ramp.Load() == 0 || p.members[0].state.ramp.Load() != 0 {
		t.Error("the newcomer is not on the ramp, or others are")
	}
}

// What the operator wants of a backend that discovery has lost is carried too,
// be it lost before or after.
func TestInheritKeepsModesOfWhatDiscoveryHasLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		with := func(n int) config.Pool {
			c := probed(config.Pool{Backends: backendsOf(equal(n)...)})
			c.Discovery = &config.Discovery{}
			return c
		}
		r, p := compiled(t, with(3))
		r.SetMode(p.Backends()[1].Key(), Maintenance)
		r.SetMode(p.Backends()[2].Key(), Drain)
		reload(t, r, with(2))
		time.Sleep(parkedFor / 2)
		was := carriedBy(t, r)
		r = handedOver(t, r)
		reload(t, r, with(2))
		expectSameCarried(t, r.Carry(), was)
		reload(t, r, with(1))
		time.Sleep(parkedFor / 2)
		p = reload(t, r, with(3))
		if a, b := p.Backends()[1].State().Mode(), p.Backends()[2].State().Mode(); a != Maintenance || b != Drain {
			t.Errorf("found again in modes %s and %s", a, b)
		}
		r.SetMode(p.Backends()[2].Key(), Drain)
		reload(t, r, with(2))
		time.Sleep(parkedFor / 2)
		r = handedOver(t, r)
		reload(t, r, with(1))
		time.Sleep(parkedFor/2 + 1)
		p = reload(t, r, with(3))
		if a, b := p.Backends()[1].State().Mode(), p.Backends()[2].State().Mode(); a != Maintenance || b != Ready {
			t.Errorf("found again in modes %s and %s", a, b)
		}
	})
}

// Cookies that this process has given lead to the same backends in the next one.
func TestInheritKeepsCookiesGood(t *testing.T) {
	c := stickyPool(byCookie(""), backendsOf(1, 1, 1))
	r, p := compiled(t, c)
	value := []byte(p.Sticky().Encode(p.Backends()[2]))
	for _, r := range []*Registry{handedOver(t, r), NewRegistry()} {
		p = reload(t, r, c)
		id, ok := p.Sticky().Decode(value)
		if r.secret == [secretSize]byte{} || ok != (id == p.Backends()[2].StickyID()) {
			t.Fatal("a cookie leads elsewhere")
		}
		if inherits := len(r.Carry().Backends) > 0 && bytes.Equal(r.secret[:], r.Carry().CookieSecret); !inherits {
			t.Error("the secret is not what is carried on")
		}
		if ok && !strings.HasPrefix(nameOf(t, p, Query{StickyBackend: id}), "b2") {
			t.Error("the cookie does not stick")
		}
	}
}

// What no registry writes is refused whole and by name; what a newer one may
// write is passed over, and what an older one may lack has a default.
func TestInheritJudgesWhatComes(t *testing.T) {
	f := func(text string, wants ...string) {
		t.Helper()
		var c Carried
		err := json.Unmarshal([]byte(text), &c)
		r := NewRegistry()
		if err == nil {
			err = r.Inherit(&c)
		}
		for _, want := range wants {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error %v, want %q", text, err, want)
			}
		}
		if len(wants) == 0 && err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if len(wants) > 0 && len(r.known)+len(r.live)+len(r.parked) > 0 {
			t.Errorf("%s: left a trace", text)
		}
	}
	f(`{}`)
	f(`{"backends":[{"pool":"p","scheme":"http","address":"10.0.0.0:9000"}]}`)
	f(`{"backends":[{"pool":"p","address":"a:1","colour":"red"}],"moon":"full"}`)
	f(`{"cookie_secret":"AAAA"}`, "cookie_secret: it has 3 bytes, 32 are needed")
	f(`{"hash_secret":"AAAA"}`, "hash_secret: read the secret of a hash: it has 3 bytes, 16 are needed")
	f(`{"clock":-1}`, "clock: -1 is no time")
	f(`{"clock":4611686018427387904}`, "clock: 4611686018427387904 is no time")
	f(`{"clock":5,"backends":[{"ramp":6},{"ramp":-1}]}`, "backends[0].ramp: 6", "backends[1].ramp: -1", "there twice")
	f(`{"backends":[{"ejection":{"times":-1}}]}`, "backends[0].ejection.times: -1")
	f(`{"backends":[{"mode":"asleep"}]}`, `"asleep" is none of ready, drain and maintenance`)
	r, _ := compiled(t, config.Pool{Backends: backendsOf(1)})
	if err := r.Inherit(new(Carried)); err == nil {
		t.Error("a registry that is in use has inherited another one")
	}
}

// Defaults are those of a backend that is fine.
func TestInheritDefaults(t *testing.T) {
	var c Carried
	if err := json.Unmarshal([]byte(`{"backends":[{"pool":"p","scheme":"http","address":"10.0.0.0:9000","report":{}}]}`), &c); err != nil {
		t.Fatal(err)
	}
	r := NewRegistry()
	if err := r.Inherit(&c); err != nil {
		t.Fatal(err)
	}
	p := reload(t, r, probed(config.Pool{Backends: backendsOf(1)}))
	s := r.Snapshot()[0]
	if !s.Up || s.Mode != Ready || s.Ejected || time.Since(s.Since) > time.Hour || p.rampClock() != 0 || r.secret == [secretSize]byte{} {
		t.Errorf("%+v", s)
	}
}

// Carrying holds nobody up, and sees each backend at one moment.
func TestCarryWhilePicksGoOn(t *testing.T) {
	c := probed(config.Pool{Backends: backendsOf(1, 1, 1), Sticky: byQuery(), SlowStart: time.Second})
	c.Health.LoadReports = true
	c.Passive = &config.Passive{Failures: 5, Window: 10 * time.Second, Eject: 30 * time.Second, MaxEjectedPercent: 50}
	r, p := compiled(t, c)
	var stop atomic.Bool
	var wg sync.WaitGroup
	for g := range 2 {
		wg.Go(func() {
			key := []byte("room 00")
			for i := 0; !stop.Load(); i++ {
				key[5], key[6] = byte('0'+g), byte('0'+i%10)
				if l, err := p.Pick(&Query{Kind: Socket, StickyKey: key}, nil); err == nil {
					l.Opened()
					l.Backend().Report(Outcome(i % 6))
					l.Done()
				}
			}
		})
	}
	wg.Go(func() {
		for i := 0; !stop.Load(); i++ {
			key := p.Backends()[i%3].Key()
			r.SetHealth(key, i%2 == 0, "test", time.Now())
			r.SetMode(key, Mode(i%5%3))
			r.SetReport(key, &LoadReport{Load: 0.5})
			if l, ok := r.Adopt(key); ok {
				l.Done()
			}
		}
	})
	for range 50 {
		next := handedOver(t, r)
		reload(t, next, c)
		expectSameModes(t, next)
	}
	stop.Store(true)
	wg.Wait()
	for _, b := range p.Backends() { // ends the timers of ejections
		r.mu.Lock()
		b.state.pardon()
		r.mu.Unlock()
	}
}

// expectSameModes fails the test unless r could have come by a reload.
func expectSameModes(t *testing.T, r *Registry) {
	t.Helper()
	list := r.Snapshot()
	if len(list) != 3 {
		t.Fatalf("%d backends", len(list))
	}
	for _, s := range list {
		if s.Why != "test" && s.Why != "not probed yet" || s.Mode > Maintenance || s.Active() != 0 {
			t.Errorf("%+v", s)
		}
	}
}

// FuzzInherit takes anything for what another process has carried.
func FuzzInherit(f *testing.F) {
	r, p := compiled(f, probed(config.Pool{Backends: backendsOf(1, 1)}))
	r.SetMode(p.Backends()[0].Key(), Drain)
	seed, err := json.Marshal(r.Carry())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add([]byte(`{"clock":9,"backends":[{"pool":"p","scheme":"http","address":"10.0.0.0:9000","down":true,"mode":"maintenance","ramp":3,` +
		`"report":{"load":1e300,"capacity":-5,"drain":true},"ejection":{"times":3,"until":"2999-01-01T00:00:00Z","why":"x"}}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var c Carried
		if json.Unmarshal(text, &c) != nil {
			return
		}
		r := NewRegistry()
		if r.Inherit(&c) != nil {
			return
		}
		pool := probed(config.Pool{SlowStart: time.Minute, Sticky: byQuery(), Backends: backendsOf(1, 1), WhenAllDown: "try"})
		pool.Health.LoadReports = true
		pool.Passive = &config.Passive{Failures: 1, Window: time.Second, Eject: time.Second, MaxEjectedPercent: 100}
		p := reload(t, r, pool)
		for _, b := range p.Backends() {
			if l, ok := r.Adopt(b.Key()); ok {
				l.Done()
			}
			b.Report(ServerError)
			r.SetMode(b.Key(), Ready)
		}
		if l, err := p.Pick(&Query{Kind: Socket, StickyKey: []byte("x")}, nil); err == nil {
			l.Done()
		}
		if _, err := json.Marshal(r.Carry()); err != nil {
			t.Errorf("what was inherited cannot be carried: %v", err)
		}
		for _, b := range r.live {
			b.state.pardon()
		}
	})
}
