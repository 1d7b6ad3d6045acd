package balancer

import (
	"math"
	"slices"
	"testing"

	"github.com/holdfast-lb/holdfast/config"
)

// TestDice adds up the table itself, so it needs no luck.
func TestDice(t *testing.T) {
	f := func(weights ...int) {
		t.Helper()
		members := make([]member, len(weights))
		var total float64
		for i, w := range weights {
			members[i].weight = uint32(w)
			total += float64(w)
		}
		d := newDice(members)
		if d.sides == nil {
			t.Fatalf("weights %v: no table", weights)
		}
		got := make([]float64, len(weights))
		for i, s := range d.sides {
			stay := float64(s.stay) / (1 << 64)
			got[i] += stay / float64(d.n)
			got[s.alias] += (1 - stay) / float64(d.n)
		}
		for i, w := range weights {
			if want := float64(w) / total; math.Abs(got[i]-want) > 1e-12 {
				t.Errorf("weights %v: member %d has probability %v, want %v", weights, i, got[i], want)
			}
		}
	}
	f(1, 2)
	f(1, 2, 1)
	f(1, 1000)
	f(1000, 1, 1, 1, 1)
	f(3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5)
	f(maxWeight, 1, maxWeight)
	if d := newDice(make([]member, 5)); d.sides != nil {
		t.Error("equal weights need no table")
	}
}

func TestRandomSharesByWeight(t *testing.T) {
	f := func(weights, down []int, want ...float64) {
		t.Helper()
		r, p := compiled(t, probed(config.Pool{Balance: "random", Backends: backendsOf(weights...)}))
		for _, i := range down {
			setHealth(t, r, p, i, false)
		}
		const picks = 60_000
		got := make([]float64, len(weights))
		for range picks {
			l := pick(t, p, Query{})
			got[slices.Index(p.Backends(), l.Backend())] += 1. / picks
			l.Done()
		}
		for i := range want {
			if math.Abs(got[i]-want[i]) > 0.02 {
				t.Fatalf("weights %v, down %v: shares %.3f, want %.3f", weights, down, got, want)
			}
		}
	}
	f([]int{1, 1, 1}, nil, 1./3, 1./3, 1./3)
	f([]int{1, 2, 1}, nil, .25, .5, .25)
	f([]int{1, 2, 3, 6}, []int{3}, 1./6, 2./6, 3./6, 0)
	// Draws miss nearly always: the look at each of them decides.
	f([]int{1, 3, 1000, 1000}, []int{2, 3}, .25, .75, 0, 0)
}
