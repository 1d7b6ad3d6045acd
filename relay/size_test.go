//go:build linux && (amd64 || arm64)

package relay

import (
	"runtime"
	"testing"
	"time"
	"unsafe"
)

// What an idle pair owns in this package: docs/performance.md has the table,
// and this test is there to be looked at when it fails.
func TestPairStaysSmall(t *testing.T) {
	f := func(what string, size, planned uintptr) {
		t.Helper()
		if size > planned {
			t.Errorf("%s takes %d bytes, %d are planned for", what, size, planned)
		}
	}
	f("a pair", unsafe.Sizeof(pair{}), 352) // a size class of the allocator
	f("one of its ends", unsafe.Sizeof(end{}), 96)
	f("a scanner", unsafe.Sizeof(Scanner{}), 32)
	f("a watch", unsafe.Sizeof(watch{}), 192) // a size class
	f("a sieve", unsafe.Sizeof(sieve{}), 80)
	f("what is known of a side's life", unsafe.Sizeof(vital{}), 48) // a size class
}

// The same from outside: the heap's growth for each open pair.
func TestPairsOnTheHeap(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector's memory is not ours")
	}
	const n = 8192
	f := func(what string, c *Call, planned uint64) {
		t.Helper()
		var before, after runtime.MemStats
		var tab table
		runtime.GC()
		runtime.ReadMemStats(&before)
		for i := range n {
			p := &pair{id: uint64(i) + 1, watch: newWatch(c)}
			if err := tab.put(p); err != nil {
				t.Fatal(err)
			}
			tab.name(p)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		if each := (after.HeapAlloc - before.HeapAlloc) / n; each > planned || tab.find(n) == nil {
			t.Errorf("%s takes %d bytes of the heap, %d are planned for", what, each, planned)
		}
	}
	f("a pair", &Call{}, 352+80)
	f("a pair with a guard", &Call{Guard: &Guard{}}, 352+192+80)
	f("a pair with Pings and a guard", &Call{Ping: time.Second, Guard: &Guard{}}, 352+192+48+80)
}

func TestWheelCallsOnTime(t *testing.T) {
	f := func(due ...int64) {
		t.Helper()
		var w wheel
		called := map[*pair]int64{}
		for _, d := range due {
			p := &pair{wheel: -1, due: d}
			w.arm(p)
		}
		for now := int64(0); now < 200_000; now += 7 {
			if wait := w.wait(now); w.armed > 0 && wait < 0 {
				t.Fatalf("wait %v with %d armed", wait, w.armed)
			}
			w.advance(now, func(p *pair) {
				called[p] = now
				if now < p.due || now > p.due+2*tickMs {
					t.Errorf("due at %d, called at %d", p.due, now)
				}
			})
		}
		if len(called) != len(due) || w.armed != 0 {
			t.Errorf("%d of %d called, %d still armed", len(called), len(due), w.armed)
		}
	}
	f(1)
	f(31, 32, 33, 64)
	f(65_000, 65_536, 66_000, 131_072, 190_000) // beyond a turn of the wheel
	f(5, 5, 5, 5, 100_000)
}

// Disarming leaves the others of a slot in place, whichever is taken out.
func TestWheelDisarm(t *testing.T) {
	for out := range 3 {
		var w wheel
		var ps []*pair
		for range 3 {
			p := &pair{wheel: -1, due: 1000}
			w.arm(p)
			ps = append(ps, p)
		}
		w.disarm(ps[out])
		w.disarm(ps[out]) // twice does nothing
		n := 0
		w.advance(2000, func(p *pair) {
			n++
			if p == ps[out] {
				t.Errorf("pair %d was called after disarm", out)
			}
		})
		if n != 2 || w.armed != 0 {
			t.Errorf("%d called, %d armed, want 2 and 0", n, w.armed)
		}
	}
}

// A wheel that stood still for longer than a turn catches up in one.
func TestWheelCatchesUp(t *testing.T) {
	var w wheel
	p := &pair{wheel: -1, due: 10}
	w.arm(p)
	q := &pair{wheel: -1, due: 64_000}
	w.arm(q)
	n := 0
	w.advance(10_000_000, func(*pair) { n++ })
	if n != 2 {
		t.Fatalf("%d called, want 2", n)
	}
}

func TestTableTellsGenerationsApart(t *testing.T) {
	var tab table
	a := &pair{}
	if err := tab.put(a); err != nil {
		t.Fatal(err)
	}
	slot, gen := a.slot, a.gen
	if tab.get(slot) != a {
		t.Fatal("a pair is not found under its slot")
	}
	tab.drop(a)
	if tab.get(slot) != nil {
		t.Fatal("a dropped pair is found")
	}
	b := &pair{}
	if err := tab.put(b); err != nil {
		t.Fatal(err)
	}
	if b.slot != slot || b.gen == gen {
		t.Fatalf("slot %d generation %d, want slot %d and a generation other than %d", b.slot, b.gen, slot, gen)
	}
	n := 0
	tab.each(func(*pair) { n++ })
	if n != 1 {
		t.Fatalf("%d pairs, want 1", n)
	}
}

// BenchmarkLook is what a loop does for one chunk of Each.
func BenchmarkLook(b *testing.B) {
	var tab table
	for range chunkSize {
		if err := tab.put(&pair{state: open}); err != nil {
			b.Fatal(err)
		}
	}
	batch := make([]Live, 0, chunkSize)
	b.ReportAllocs()
	for b.Loop() {
		batch = batch[:0]
		tab.some(0, func(p *pair) { batch = append(batch, p.live(1000)) })
	}
	if len(batch) != chunkSize {
		b.Fatalf("%d pairs", len(batch))
	}
}
