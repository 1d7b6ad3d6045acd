package health

import (
	"testing"

	"pgregory.net/rapid"
)

func TestMachine(t *testing.T) {
	// results holds + for a probe that passed and - for one that failed, want
	// the state after each: U or D, in lower case when it did not change.
	f := func(rise, fall int, up bool, results, want string) {
		t.Helper()
		m := NewMachine(rise, fall, up)
		got := ""
		for _, r := range results {
			got += state(m.Observe(r == '+'), m.Up())
		}
		if got != want {
			t.Fatalf("rise %d, fall %d, up %v: %s gives %s, want %s", rise, fall, up, results, got, want)
		}
	}
	// The plain ways up and down.
	f(2, 3, false, "-++", "ddU")
	f(2, 3, true, "---", "uuD")
	f(1, 1, false, "+-+-", "UDUD")
	// Results that confirm the state change nothing.
	f(2, 3, false, "----", "dddd")
	f(2, 3, true, "++++", "uuuu")
	// A count starts anew when it is interrupted.
	f(2, 3, false, "-+-+-++", "ddddddU")
	f(2, 3, true, "--+--+---", "uuuuuuuuD")
	// A flip starts both counts anew.
	f(2, 2, false, "-++-+--++", "ddUuuuDdU")
	// The first result is enough to come up, and not to go down.
	f(3, 3, false, "+--+---", "UuuuuuD")
	f(2, 2, true, "--", "uD")
	f(3, 1, true, "-++-+++", "DdddddU")
	// Less than one counts as one.
	f(0, -1, false, "+-", "UD")
}

func TestMachineSetThresholds(t *testing.T) {
	f := func(before string, rise, fall int, after, want string) {
		t.Helper()
		m := NewMachine(5, 5, true)
		for _, r := range before {
			m.Observe(r == '+')
		}
		m.SetThresholds(rise, fall)
		got := ""
		for _, r := range after {
			got += state(m.Observe(r == '+'), m.Up())
		}
		if got != want {
			t.Fatalf("%s, then rise %d, fall %d: %s gives %s, want %s", before, rise, fall, after, got, want)
		}
	}
	f("---", 5, 4, "-", "D")      // the count is kept
	f("----", 5, 2, "-", "D")     // already past the new threshold: with the next result
	f("----", 5, 2, "+--", "uuD") // unless that is a good one
	f("-----", 2, 5, "++", "dU")  // the state is kept
	f("----", 5, 6, "--", "uD")   // more patience than before
	f("-----++", 0, 5, "+", "U")  // less than one counts as one
	f("-----+++", 5, 5, "-+++++", "dddddU")
}

// Against a model that looks at the whole history: the state differs from the
// last flip's as soon as the last threshold results all contradict it.
func TestMachineAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rise, fall := rapid.IntRange(1, 5).Draw(t, "rise"), rapid.IntRange(1, 5).Draw(t, "fall")
		up := rapid.Bool().Draw(t, "up")
		m := NewMachine(rise, fall, up)
		var since []bool // results since the last flip
		for i, ok := range rapid.SliceOf(rapid.Bool()).Draw(t, "results") {
			since = append(since, ok)
			n := rise
			switch {
			case up:
				n = fall
			case i == 0:
				n = 1
			}
			flip := len(since) >= n
			for _, r := range since[max(0, len(since)-n):] {
				flip = flip && r != up
			}
			if flip {
				up, since = !up, nil
			}
			if changed := m.Observe(ok); changed != flip || m.Up() != up {
				t.Fatalf("result %d: changed %v, up %v, want %v, %v", i, changed, m.Up(), flip, up)
			}
		}
	})
}

func TestMachineDoesNotAllocate(t *testing.T) {
	m := NewMachine(2, 3, false)
	ok := false
	if got := testing.AllocsPerRun(100, func() { m.Observe(ok); ok = !ok }); got != 0 {
		t.Fatalf("%v allocations per result, want 0", got)
	}
}

func state(changed, up bool) string {
	switch {
	case up && changed:
		return "U"
	case up:
		return "u"
	case changed:
		return "D"
	}
	return "d"
}
