package balancer

import (
	"hash/maphash"
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
