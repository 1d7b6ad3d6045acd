package balancer

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-lb/holdfast/config"
	"pgregory.net/rapid"
)

// told is what a registry has told of changes, in a few words each.
type told struct {
	mu    sync.Mutex
	lines []string
}

func (t *told) hear(c Change) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines = append(t.lines, strings.TrimSpace(fmt.Sprintf("%s %s", c.Backend,
		[...]string{"ejected", "returned", "withheld", "panic", "calm"}[c.Kind])))
}

func (t *told) all() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.lines)
}

// watched is a probed pool with passive verdicts, and what it tells.
func watched(t testing.TB, percent int, weights ...int) (*Registry, *Pool, *told) {
	t.Helper()
	c := probed(config.Pool{Backends: backendsOf(weights...)})
	c.Passive = &config.Passive{Failures: 5, Window: 10 * time.Second, Eject: 30 * time.Second, MaxEjectedPercent: percent}
	r := NewRegistry()
	heard := new(told)
	r.OnChange(heard.hear)
	return r, reload(t, r, c), heard
}

// fail reports n failures of p's i-th backend.
func fail(p *Pool, i, n int) {
	for range n {
		p.Backends()[i].Report(ServerError)
	}
}

// picked are the backends that 200 picks find.
func picked(t *testing.T, p *Pool) []int {
	t.Helper()
	var found []int
	for range 200 {
		l := pick(t, p, Query{})
		if i := slices.Index(p.Backends(), l.Backend()); !slices.Contains(found, i) {
			found = append(found, i)
		}
		l.Done()
	}
	slices.Sort(found)
	return found
}

func expectPicked(t *testing.T, p *Pool, want ...int) {
	t.Helper()
	if got := picked(t, p); !slices.Equal(got, want) {
		t.Errorf("picks find %v, want %v", got, want)
	}
}

func TestEjectionGrowsAndEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, p, heard := watched(t, 50, 1, 1, 1)
		fail(p, 0, 4)
		expectPicked(t, p, 0, 1, 2)
		fail(p, 0, 1)
		expectPicked(t, p, 1, 2)
		s := r.Snapshot()[0]
		if !s.Ejected || s.Usable() || !s.Up || time.Until(s.Until) != 30*time.Second || !strings.Contains(s.Reason, "5 of 5 failed within 10s, the last: server error") {
			t.Errorf("status %+v", s)
		}
		// Probes do not bring it back, and failures of those under way do not count.
		setHealth(t, r, p, 0, true)
		fail(p, 0, 20)
		time.Sleep(30*time.Second - time.Millisecond)
		synctest.Wait()
		expectPicked(t, p, 1, 2)
		for times := 2; times <= 12; times++ {
			time.Sleep(time.Second)
			synctest.Wait()
			expectPicked(t, p, 0, 1, 2)
			fail(p, 0, 5)
			want := min(time.Duration(times)*30*time.Second, maxEjection)
			if got := time.Until(r.Snapshot()[0].Until); got != want {
				t.Fatalf("ejection %d lasts %v, want %v", times, got, want)
			}
			time.Sleep(want)
			synctest.Wait()
		}
		// Good behaviour is rewarded.
		time.Sleep(time.Hour)
		fail(p, 0, 5)
		if got := time.Until(r.Snapshot()[0].Until); got != 30*time.Second {
			t.Errorf("an ejection after an hour lasts %v", got)
		}
		if all := heard.all(); all[0] != "b0 ejected" || all[1] != "b0 returned" {
			t.Errorf("told %q", all)
		}
		time.Sleep(time.Hour)
	})
}

func TestEjectionNeedsAShareOfFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, p, heard := watched(t, 50, 1, 1, 1)
		for range 1000 {
			p.Backends()[0].Report(Succeeded)
		}
		fail(p, 0, 200)
		if len(heard.all()) > 0 {
			t.Errorf("200 failures of 1,200 eject: %q", heard.all())
		}
		// A burst of nothing but clean ends is no failure at all.
		for range 10_000 {
			p.Backends()[1].Report(Succeeded)
		}
		// Slowly, they never come together.
		for range 50 {
			fail(p, 2, 4)
			time.Sleep(11 * time.Second)
		}
		if len(heard.all()) > 0 {
			t.Errorf("told %q", heard.all())
		}
	})
}

func TestEjectionIsBounded(t *testing.T) {
	f := func(percent int, weights []int, most int) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			r, p, heard := watched(t, percent, weights...)
			for i := range weights {
				fail(p, i, 50)
			}
			ejected := 0
			for _, s := range r.Snapshot() {
				if s.Ejected {
					ejected++
				}
			}
			if ejected != most {
				t.Errorf("%d of %d are ejected, want %d at %d %%", ejected, len(weights), most, percent)
			}
			withheld := 0
			for _, line := range heard.all() {
				if strings.HasSuffix(line, "withheld") {
					withheld++
				}
			}
			if withheld != len(weights)-most {
				t.Errorf("told %q", heard.all())
			}
			time.Sleep(time.Hour)
		})
	}
	f(50, equal(1), 0)
	f(50, equal(2), 1)
	f(50, equal(3), 1)
	f(50, equal(10), 5)
	f(0, equal(10), 0)
	f(100, equal(3), 3)
}

func TestPanicFloor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, p, heard := watched(t, 50, 1, 1, 1, 1)
		fail(p, 0, 5)
		fail(p, 1, 5)
		expectPicked(t, p, 2, 3) // half are left
		setHealth(t, r, p, 2, false)
		expectPicked(t, p, 0, 1, 3) // what probes say is not ignored
		if s := r.Snapshot()[0]; !s.Panic || !s.Usable() || !s.Ejected {
			t.Errorf("status %+v", s)
		}
		setHealth(t, r, p, 2, false)
		setHealth(t, r, p, 2, true)
		expectPicked(t, p, 2, 3)
		// An operator's drain is his own affair: 1 of the 3 others is healthy.
		r.SetMode(p.Backends()[3].Key(), Drain)
		expectPicked(t, p, 0, 1, 2)
		want := []string{"b0 ejected", "b1 ejected", "panic", "calm", "panic"}
		if !slices.Equal(heard.all(), want) {
			t.Errorf("told %q, want %q", heard.all(), want)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		expectPicked(t, p, 0, 1, 2)
		if p.panics.Load() {
			t.Error("panics when nobody is ejected")
		}
	})
}

// A reload keeps ejections, unless the pool has no passive verdicts any more or
// the backend is gone.
func TestReloadAndEjections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, p, _ := watched(t, 50, 1, 1)
		fail(p, 0, 5)
		c := probed(config.Pool{Backends: backendsOf(2, 2), Balance: "p2c"})
		c.Passive = &config.Passive{Failures: 9, Window: time.Second, Eject: time.Second, MaxEjectedPercent: 50}
		p = reload(t, r, c)
		expectPicked(t, p, 1)
		c.Passive = nil
		p = reload(t, r, c)
		expectPicked(t, p, 0, 1)
		fail(p, 0, 100)
		expectPicked(t, p, 0, 1)
		time.Sleep(time.Hour)
	})
}

func TestReportDoesNotAllocate(t *testing.T) {
	_, p, heard := watched(t, 50, 1, 1)
	b := p.Backends()[0]
	if allocs := testing.AllocsPerRun(1000, func() { b.Report(Succeeded) }); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
	fail(p, 1, 5)
	if all := heard.all(); !slices.Contains(all, p.Backends()[1].Name()+" ejected") {
		t.Fatalf("told %q", all)
	}
	b = p.Backends()[1]
	if allocs := testing.AllocsPerRun(1000, func() { b.Report(ServerError) }); allocs != 0 {
		t.Errorf("%v allocations for a failure of a backend that is ejected", allocs)
	}
	_, plain := compiled(t, config.Pool{Backends: backendsOf(1)})
	plain.Backends()[0].Report(ServerError) // no passive: no effect
}

func BenchmarkReport(b *testing.B) {
	_, p, _ := watched(b, 50, 1, 1)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			p.Backends()[0].Report(Succeeded)
		}
	})
}

// Whatever fails in whatever order: never more than allowed are ejected, all
// come back in the end, and the panic floor is what the states say.
func TestEjectionsAgainstModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 6).Draw(rt, "backends")
		percent := rapid.IntRange(0, 100).Draw(rt, "percent")
		steps := rapid.SliceOfN(rapid.IntRange(0, 1<<20), 1, 60).Draw(rt, "steps")
		synctest.Test(t, func(t *testing.T) {
			r, p, _ := watched(t, percent, equal(n)...)
			for _, step := range steps {
				i := step % n
				switch step / n % 5 {
				case 0, 1:
					fail(p, i, 1+step%7)
				case 2:
					time.Sleep(time.Duration(step%60) * time.Second)
				case 3:
					r.SetHealth(p.Backends()[i].Key(), step%2 == 0, "", epoch)
				case 4:
					r.SetMode(p.Backends()[i].Key(), Mode(step%3))
				}
				synctest.Wait()
				ejected, ready, healthy := 0, 0, 0
				for _, s := range r.Snapshot() {
					if s.Ejected {
						ejected++
					}
					if s.Mode == Ready {
						ready++
						if s.Up && !s.Ejected {
							healthy++
						}
					}
				}
				if ejected*100 > percent*n {
					t.Fatalf("%d of %d are ejected at %d %%", ejected, n, percent)
				}
				if p.panics.Load() && healthy*2 >= ready {
					t.Fatalf("panic with %d of %d healthy", healthy, ready)
				}
			}
			time.Sleep(2 * maxEjection)
			synctest.Wait()
			for _, s := range r.Snapshot() {
				if s.Ejected {
					t.Fatalf("%s is still ejected", s.Name)
				}
			}
		})
	})
}
