package balancer

import (
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/holdfast-lb/holdfast/config"
	"pgregory.net/rapid"
)

// TestLeastConnIsExact takes thousands of leases at once and asks for a
// perfect result.
func TestLeastConnIsExact(t *testing.T) {
	const pickers, rounds = 30, 60
	f := func(weights, before []int, leases int, want ...int) {
		t.Helper()
		_, p := compiled(t, config.Pool{Balance: "least_conn", Backends: backendsOf(weights...)})
		for range rounds {
			setSockets(p, before)
			start := make(chan struct{})
			var wg sync.WaitGroup
			for g := range pickers {
				wg.Go(func() {
					<-start
					for range leases / pickers {
						l, err := p.Pick(&Query{Kind: Socket}, nil)
						if err != nil {
							t.Error(err)
							return
						}
						// Its word changes, its load does not.
						if g%2 == 0 {
							l.Opened()
						}
					}
				})
			}
			close(start)
			wg.Wait()
			if got := activeOf(p); !slices.Equal(got, want) {
				t.Fatalf("weights %v, %d leases: %v, want %v", weights, leases, got, want)
			}
		}
	}
	f([]int{1, 1, 1}, []int{0, 0, 0}, 3000, 1000, 1000, 1000)
	f([]int{1, 2, 1}, []int{0, 0, 0}, 3000, 750, 1500, 750)
	f([]int{3, 5, 7}, []int{0, 0, 0}, 3000, 600, 1000, 1400)
	// A backend that comes late is filled up first.
	f([]int{1, 1, 1}, []int{700, 650, 0}, 1650, 1000, 1000, 1000)
	f([]int{1, 2, 1}, []int{0, 40, 0}, 360, 100, 200, 100)
}

// setSockets sets the leases out by backend.
func setSockets(p *Pool, counts []int) {
	for i := range p.members {
		p.members[i].state.word.Store(uint64(counts[i]) * oneSocket)
	}
}

// TestLeastConnIsExactAtEveryMoment is the harder question: later picks make
// up for a wrong one, so thousands hide what a handful shows. The pickers run
// into each other at a barrier, a few picks each, very many times. A picker
// that counts with Add, or that swaps whatever word it finds in the end, fails
// within the first hundred rounds.
func TestLeastConnIsExactAtEveryMoment(t *testing.T) {
	f := func(weights []int, pickers, each, rounds int, want ...int) {
		t.Helper()
		_, p := compiled(t, config.Pool{Balance: "least_conn", Backends: backendsOf(weights...)})
		var round, arrived atomic.Int64
		var wg sync.WaitGroup
		for range pickers {
			wg.Go(func() {
				for r := range int64(rounds) {
					for round.Load() <= r {
						runtime.Gosched()
					}
					for range each {
						if _, err := p.Pick(&Query{}, nil); err != nil {
							t.Error(err)
						}
					}
					arrived.Add(1)
				}
			})
		}
		wrong := 0
		for range rounds {
			setSockets(p, make([]int, len(weights)))
			arrived.Store(0)
			round.Add(1)
			for arrived.Load() < int64(pickers) {
				runtime.Gosched()
			}
			if got := activeOf(p); !slices.Equal(got, want) {
				wrong++
				if wrong == 1 {
					t.Errorf("weights %v: %v, want %v", weights, got, want)
				}
			}
		}
		wg.Wait()
		if wrong > 0 {
			t.Errorf("weights %v: wrong in %d of %d rounds", weights, wrong, rounds)
		}
	}
	f([]int{1, 1, 1}, 3, 1, 20_000, 1, 1, 1)
	f([]int{1, 1, 1}, 2, 3, 20_000, 2, 2, 2)
	f([]int{1, 2, 1}, 4, 1, 20_000, 1, 2, 1)
	f([]int{1, 2, 1}, 2, 4, 20_000, 2, 4, 2)
	f(equal(100), 2, 50, 1000, equal(100)...)
}

// TestLeastConnInterleaved leaves nothing to luck: the two halves of a pick,
// the look and the swap, are played in a drawn order for many pickers, and no
// two backends may ever be more than one lease apart.
func TestLeastConnInterleaved(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		_, p := compiled(t, config.Pool{Backends: backendsOf(1, 1, 1)})
		type picker struct {
			m *member
			w uint64
		}
		a := &ask{unit: oneRequest, bar: barUnusable}
		pickers := make([]picker, 6)
		for _, i := range rapid.SliceOfN(rapid.IntRange(0, len(pickers)-1), 1, 200).Draw(rt, "schedule") {
			if k := &pickers[i]; k.m == nil {
				k.m, k.w = p.lightest(a)
			} else {
				k.m.swap(a, k.w) // if it fails, look again
				k.m = nil
			}
			if got := activeOf(p); slices.Max(got)-slices.Min(got) > 1 {
				rt.Fatalf("%v leases are out", got)
			}
		}
	})
}

// While leases also come back, a pick may go by a count that has just fallen,
// but by no more than the pickers at work; once they are still, the next picks
// level the rest.
func TestLeastConnLevelsAfterChurn(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(16))
	const pickers, each = 20, 90
	_, p := compiled(t, config.Pool{Backends: backendsOf(1, 1, 1)})
	var wg sync.WaitGroup
	for range pickers {
		wg.Go(func() {
			var held [each]Lease
			for i := range 20 * each {
				if l := &held[i%each]; l.Held() {
					l.Done()
				}
				var err error
				if held[i%each], err = p.Pick(&Query{}, nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	got := activeOf(p)
	if got[0]+got[1]+got[2] != pickers*each {
		t.Fatalf("%v leases are out, want %d in all", got, pickers*each)
	}
	if slices.Max(got)-slices.Min(got) > pickers {
		t.Errorf("%v leases are out, %d pickers should keep them closer", got, pickers)
	}
	for range 3 * pickers {
		pick(t, p, Query{})
	}
	if got := activeOf(p); slices.Max(got)-slices.Min(got) > 1 {
		t.Errorf("%v leases are out, want them equal", got)
	}
}

// Requests that come one at a time find all backends idle. They must be spread
// by weight and without regard to the place in the list.
func TestLeastConnSpreadsTies(t *testing.T) {
	f := func(weights, before []int, want ...float64) {
		t.Helper()
		_, p := compiled(t, config.Pool{Backends: backendsOf(weights...)})
		setSockets(p, before)
		const picks = 60_000
		got := make([]float64, len(weights))
		for range picks {
			l := pick(t, p, Query{})
			got[slices.Index(p.Backends(), l.Backend())] += 1. / picks
			l.Done()
		}
		for i := range want {
			if math.Abs(got[i]-want[i]) > 0.02 {
				t.Fatalf("weights %v, leases %v: shares %.3f, want %.3f", weights, before, got, want)
			}
		}
	}
	f([]int{1, 1, 1}, []int{0, 0, 0}, 1./3, 1./3, 1./3)
	f([]int{1, 2, 1}, []int{0, 0, 0}, .25, .5, .25)
	f([]int{1, 1, 1, 1}, []int{1, 0, 0, 1}, 0, .5, .5, 0)
	f([]int{1, 1, 1, 1}, []int{0, 1, 1, 0}, .5, 0, 0, .5)
	f([]int{1, 2, 4}, []int{3, 6, 12}, 1./7, 2./7, 4./7)
	f([]int{1, 2, 4}, []int{3, 5, 12}, 0, 1, 0)
}
