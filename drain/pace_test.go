package drain

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// No second, wherever it begins, has more closes than allowed, whenever the
// pace is asked, and whatever it is changed to meanwhile that is slower or the
// same.
func TestPaceIsNeverPassed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		perSecond := rapid.IntRange(1, 5000).Draw(t, "closes per second")
		var p pace
		p.set(perSecond)
		now := time.Unix(0, 0)
		type batch struct {
			at time.Time
			n  int
		}
		var all []batch
		for range rapid.IntRange(1, 400).Draw(t, "looks") {
			// Mostly as soon as it is due, sometimes late, sometimes early.
			switch rapid.IntRange(0, 9).Draw(t, "when") {
			case 0:
				now = now.Add(time.Duration(rapid.IntRange(0, int(time.Second)).Draw(t, "later")))
			case 1:
			default:
				if p.next.After(now) {
					now = p.next
				}
			}
			if n := p.take(now, rapid.Float64Range(0, 0.999).Draw(t, "roll")); n > 0 {
				all = append(all, batch{now, n})
			}
		}
		for i := range all {
			sum := 0
			for k := i; k < len(all) && all[k].at.Sub(all[i].at) < time.Second; k++ {
				sum += all[k].n
			}
			if sum > perSecond {
				t.Fatalf("%d closes in the second from %v, %d are allowed", sum, all[i].at, perSecond)
			}
		}
	})
}

// A pace that is asked in time loses no more than its jitter.
func TestPaceUsesItsTime(t *testing.T) {
	f := func(perSecond int) {
		t.Helper()
		var p pace
		p.set(perSecond)
		began := time.Unix(0, 0)
		now, n := began, 0
		for roll := 0.05; now.Sub(began) < 20*time.Second; roll += 0.1 {
			if roll >= 1 {
				roll -= 1
			}
			n += p.take(now, roll)
			now = p.next
		}
		got := float64(n) / now.Sub(began).Seconds()
		if got > float64(perSecond) || got < 0.93*float64(perSecond) {
			t.Errorf("%d a second are allowed, %.1f came", perSecond, got)
		}
		if want := p.lasts(n).Seconds(); want < 0.97*20 || want > 1.06*20 {
			t.Errorf("%d a second: %d closes are said to last %.1f s, they took 20 s", perSecond, n, want)
		}
	}
	for _, perSecond := range []int{1, 2, 7, 99, 100, 150, 250, 1000, 5000} {
		f(perSecond)
	}
	var p pace
	p.set(100)
	p.set(0)
	if n := p.take(time.Unix(9, 0), 0); n != 0 {
		t.Errorf("a pace of 0 gave %d", n)
	}
}
