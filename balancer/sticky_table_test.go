package balancer

import (
	"fmt"
	"hash/maphash"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// tableKeys are well-mixed keys, as maphash makes them.
func tableKeys(n int) []uint64 {
	seed := maphash.MakeSeed()
	keys := make([]uint64, n)
	for i := range keys {
		keys[i] = maphash.Comparable(seed, i)
	}
	return keys
}

func TestStickyTableRemembersWhatWasPutFirst(t *testing.T) {
	table := newStickyTable(time.Hour, 100, nil)
	f := func(got, want uint32) {
		t.Helper()
		if got != want {
			t.Errorf("got mark %d, want %d", got, want)
		}
	}
	const key = 0x123456789abcdef
	f(table.get(key), 0)
	f(table.put(key, 0, 7), 7)
	f(table.get(key), 7)
	f(table.put(key, 0, 8), 7) // somebody else was quicker
	f(table.put(key, 7, 9), 9) // what was there is replaced
	f(table.put(key, 7, 8), 9)
	f(table.get(key), 9)
	f(table.get(key+1), 0)
	f(table.put(0, 0, markMask), markMask)
	f(table.get(0), markMask)
	f(table.put(1<<64-1, 0, 1), 1)
	f(table.get(1<<64-1), 1)
}

// Many put different marks for the same new key at the same moment: they must
// all be told the same one, and later keys must find it.
func TestStickyTablePutsOfOneKeyAgree(t *testing.T) {
	const putters, rounds = 3, 20_000
	table := newStickyTable(time.Hour, 200, nil) // small, so that it overflows
	keys := tableKeys(rounds)
	var round, arrived atomic.Int64
	var got [putters]uint32
	var wg sync.WaitGroup
	for g := range putters {
		wg.Go(func() {
			for r := range int64(rounds) {
				for round.Load() <= r {
					runtime.Gosched()
				}
				got[g] = table.put(keys[r], 0, uint32(g+1))
				arrived.Add(1)
			}
		})
	}
	wrong := 0
	for _, key := range keys {
		arrived.Store(0)
		round.Add(1)
		for arrived.Load() < putters {
			runtime.Gosched()
		}
		if kept := table.get(key); kept != got[0] || kept != got[1] || kept != got[2] {
			wrong++
		}
	}
	wg.Wait()
	if wrong > 0 {
		t.Errorf("%d of %d keys have gone two ways", wrong, rounds)
	}
}

func TestStickyTableHoldsMaxEntries(t *testing.T) {
	const n = 100_000
	table := newStickyTable(time.Hour, n, nil)
	keys := tableKeys(n)
	for i, key := range keys {
		table.put(key, 0, uint32(i+1))
	}
	lost, mistaken := 0, 0
	for i, key := range keys {
		switch table.get(key) {
		case uint32(i + 1):
		case 0:
			lost++
		default:
			mistaken++
		}
	}
	if lost > n/500 || mistaken > n/5000 {
		t.Errorf("of %d keys %d are lost and %d mistaken for others", n, lost, mistaken)
	}
}

func TestStickyTableGivesUpTheLeastRecentlyUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newStickyTable(time.Hour, 1, nil) // one set
		keys := tableKeys(setSize + 4)
		for i, key := range keys[:setSize] {
			table.put(key, 0, uint32(i+1))
			time.Sleep(time.Minute)
		}
		for _, i := range []int{0, 2} {
			table.get(keys[i])
		}
		time.Sleep(time.Minute)
		for i, key := range keys[setSize:] {
			table.put(key, 0, uint32(setSize+i+1))
		}
		for i, key := range keys {
			want := uint32(i + 1)
			if i == 1 || i >= 3 && i <= 5 {
				want = 0 // the four that nobody used for the longest time
			}
			if got := table.get(key); got != want {
				t.Errorf("key %d: mark %d, want %d", i, got, want)
			}
		}
	})
}

// Between reading the clock and reading the entry another pick may renew the
// entry, which then seems to be used in the future. It must not seem expired.
func TestStickyTableAge(t *testing.T) {
	f := func(word, now, want uint64) {
		t.Helper()
		if got := age(word, now); got != want {
			t.Errorf("entry of %d at %d: age %d, want %d", word, now, got, want)
		}
	}
	f(5, 5, 0)
	f(5, 6, 1)
	f(6, 5, 0)
	f(tickMask, 3, 4)
	f(3, tickMask, 0)
	f(5, 5+ttlTicks, ttlTicks)
	f(1<<tickBits|5, 9, 4)
}

func TestStickyTableMovesOverWhenItChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old := newStickyTable(time.Hour, 100, nil)
		keys := tableKeys(3)
		for i, key := range keys {
			old.put(key, 0, uint32(i+1))
		}
		time.Sleep(30 * time.Minute)
		table := newStickyTable(2*time.Hour, 5000, old)
		if got := table.get(keys[0]); got != 1 {
			t.Errorf("mark %d, want 1 from the older table", got)
		}
		time.Sleep(31 * time.Minute) // a ttl since the older one was used
		if got := table.get(keys[1]); got != 0 {
			t.Errorf("mark %d, want none: it expired in the older table", got)
		}
		time.Sleep(30 * time.Minute)
		if got := table.get(keys[0]); got != 1 {
			t.Errorf("mark %d, want 1: it has moved over", got)
		}
		if got := table.get(keys[2]); got != 0 || table.older.Load() != nil {
			t.Error("the older table is kept although all in it has expired")
		}
	})
}

// Two addresses whose marks collide must still be told apart, and alike in
// every generation that names both.
func TestMarksDoNotCollide(t *testing.T) {
	alone := func(address string) (*Backend, uint32) {
		b := &Backend{key: Key{Pool: "p", Scheme: "http", Address: address}}
		assignMarks([]*Backend{b})
		return b, b.mark
	}
	seen := map[uint32]*Backend{}
	for i := 0; ; i++ {
		b, mark := alone(fmt.Sprintf("10.%d.%d.%d:80", i>>16, i>>8&255, i&255))
		other := seen[mark]
		if other == nil {
			seen[mark] = b
			continue
		}
		byMark := assignMarks([]*Backend{b, other})
		marks := [2]uint32{b.mark, other.mark}
		if b.mark == other.mark || byMark[b.mark] != 0 || byMark[other.mark] != 1 {
			t.Errorf("%s and %s have marks %d and %d", b.Address(), other.Address(), b.mark, other.mark)
		}
		byMark = assignMarks([]*Backend{other, b})
		if [2]uint32{b.mark, other.mark} != marks || byMark[b.mark] != 1 || byMark[other.mark] != 0 {
			t.Error("the order of the configuration changes marks")
		}
		return
	}
}

func BenchmarkStickyTable(b *testing.B) {
	table := newStickyTable(30*time.Minute, 1_000_000, nil)
	keys := tableKeys(100_000)
	for i, key := range keys {
		table.put(key, 0, uint32(i+1))
	}
	b.Run("get", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for i := 0; pb.Next(); i++ {
				table.get(keys[i*7919%len(keys)])
			}
		})
	})
	b.Run("put", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for i := uint64(0); pb.Next(); i++ {
				table.put(scramble(i), 0, 1)
			}
		})
	})
}
