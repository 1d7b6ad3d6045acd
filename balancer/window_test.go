package balancer

import (
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The window against a list of what was counted and when.
func TestWindowAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type use struct {
			tick   uint64
			failed bool
		}
		var w window
		var all []use
		tick := uint64(rapid.IntRange(0, windowTicks-1).Draw(t, "begin"))
		passed := uint64(0)
		for range rapid.IntRange(1, 200).Draw(t, "uses") {
			step := uint64(rapid.SampledFrom([]int{0, 0, 0, 1, 1, 3, 9, 10, 11, 500}).Draw(t, "step"))
			tick, passed = (tick+step)%windowTicks, passed+step
			u := use{passed, rapid.Bool().Draw(t, "failed")}
			w.add(tick, u.failed)
			all = append(all, u)
			var failures, sum uint64
			for _, u := range all {
				if passed-u.tick < windowSlots {
					sum++
					if u.failed {
						failures++
					}
				}
			}
			if f, n := w.sum(tick); f != failures || n != sum {
				t.Fatalf("%d failures of %d, want %d of %d", f, n, failures, sum)
			}
		}
	})
}

func TestWindowCountsAll(t *testing.T) {
	var w window
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 5000 {
				w.add(uint64(i/1000), g%2 == 0)
			}
		})
	}
	wg.Wait()
	if f, n := w.sum(4); f != 20_000 || n != 40_000 {
		t.Errorf("%d failures of %d, want 20000 of 40000", f, n)
	}
	if tickOf(int64(25*time.Second), 10*time.Second) != 25 {
		t.Error("a window of 10 s has slots of 1 s")
	}
	// Counts do not run over into the next one.
	w[0].Store(countMask | countMask<<countBits)
	w.add(0, true)
	w.add(0, false)
	if f, n := w.sum(0); f != countMask || n != 2*countMask {
		t.Errorf("%d failures of %d", f, n)
	}
}
