package memory

import (
	"math"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// Short begins at 85 percent, ends below 75, and stays as it is in between.
func TestShortHasTwoEdges(t *testing.T) {
	var s state
	now := time.Unix(0, 0)
	for i, step := range []struct {
		live int64
		want bool
	}{
		{0, false}, {740, false}, {840, false}, {850, true}, {900, true}, {2000, true}, {800, true}, {750, true}, {749, false}, {849, false}, {1000, true},
	} {
		s.take(reading{rest: 0, objects: 5000, live: step.live}, 1000, now)
		if s.short != step.want {
			t.Fatalf("step %d: with %d of 1000 in use short is %t", i, step.live, s.short)
		}
	}
}

// Stacks and the runtime's own memory count, garbage does not.
func TestGarbageIsNotUsed(t *testing.T) {
	r := reading{rest: 100, objects: 900, live: 200}
	if r.used() != 300 {
		t.Errorf("used is %d, want 300", r.used())
	}
	var s state
	s.take(r, 1000, time.Unix(0, 0))
	if s.short {
		t.Error("garbage makes memory short")
	}
}

// A reading is doubted if it looks short and nothing was collected for a
// second; or if memory is short, since what was freed is not seen otherwise.
func TestDoubts(t *testing.T) {
	const limit = 1000
	began := time.Unix(100, 0)
	full := reading{rest: 100, objects: 800, live: 200, cycles: 1}
	f := func(s state, r reading, after time.Duration, want bool) {
		t.Helper()
		if got := s.doubts(r, limit, began.Add(after)); got != want {
			t.Errorf("%+v, %v behind a collection, %+v: doubts is %t", s, after, r, got)
		}
	}
	f(state{cycles: 1, collected: began}, full, collectEvery, true)
	f(state{cycles: 1, collected: began}, full, collectEvery-1, false)
	f(state{cycles: 0, collected: began}, full, collectEvery, false)
	f(state{cycles: 1, collected: began}, reading{rest: 100, objects: 600, cycles: 1}, collectEvery, false)
	f(state{cycles: 1, collected: began, short: true}, reading{rest: 100, objects: 600, cycles: 1}, collectEvery, true)
}

// A limit that cannot be multiplied by 100 is compared all the same.
func TestHugeLimit(t *testing.T) {
	if over(1<<30, math.MaxInt64-1, beginsAt) || !over(math.MaxInt64-2, math.MaxInt64-1, beginsAt) {
		t.Error("a huge limit is compared wrongly")
	}
}

// hoard is what the test below holds on to.
var hoard [][]byte

// The watch sees memory being taken and given back. What is garbage it finds out
// by itself.
func TestWatch(t *testing.T) {
	runtime.GC()
	r := newSamples().read()
	if r.live <= 0 || r.rest <= 0 || r.objects <= 0 || r.cycles <= 0 {
		t.Fatalf("a figure is missing: %+v", r)
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // nobody else collects
	runtime.GC()
	r = newSamples().read()
	cycles := r.cycles
	const spare = 64 << 20
	before := debug.SetMemoryLimit(r.used() + spare)
	defer debug.SetMemoryLimit(before)
	changes := make(chan bool, 8)
	w := Start(func(short bool, used int64) {
		if used <= 0 {
			t.Errorf("%d bytes are in use", used)
		}
		changes <- short
	})
	defer w.Close()
	if w.Limit() != r.used()+spare {
		t.Errorf("the limit is %d", w.Limit())
	}
	for range 60 {
		hoard = [][]byte{make([]byte, 1<<20)}
	}
	hoard = nil
	testkit.Eventually(t, 20*time.Second, func() bool { return newSamples().read().cycles > cycles }, "the garbage is collected")
	testkit.Eventually(t, 20*time.Second, func() bool { return w.Used() > 0 }, "the watch looks")
	if w.Short() || len(changes) > 0 {
		t.Errorf("garbage makes memory short: %d of %d are in use", w.Used(), w.Limit())
	}
	for range 62 {
		hoard = append(hoard, make([]byte, 1<<20))
	}
	wait := func(want bool) {
		t.Helper()
		select {
		case short := <-changes:
			if short != want || w.Short() != want {
				t.Fatalf("the watch says short %t, want %t", short, want)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("the watch has not said short %t: %d of %d are in use", want, w.Used(), w.Limit())
		}
	}
	wait(true)
	hoard = nil
	wait(false)
}

// Without a limit nothing is watched.
func TestNoLimit(t *testing.T) {
	before := debug.SetMemoryLimit(math.MaxInt64)
	defer debug.SetMemoryLimit(before)
	w := Start(func(bool, int64) { t.Error("something has changed") })
	if w.Limit() != 0 || w.Short() || w.Used() != 0 {
		t.Errorf("limit %d, short %t, used %d", w.Limit(), w.Short(), w.Used())
	}
	w.Close()
}
