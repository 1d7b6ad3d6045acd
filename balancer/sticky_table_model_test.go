package balancer

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestStickyTableModel holds the table to a map: what is remembered is what was
// put, nothing is remembered past its ttl, a key among fewer than a set's is
// never forgotten before, and a change of size or ttl moves what is asked for.
func TestStickyTableModel(t *testing.T) {
	type entry struct {
		mark uint32
		used time.Duration
	}
	rapid.Check(t, func(t *rapid.T) {
		ttl := time.Duration(rapid.IntRange(1, 100).Draw(t, "ttl")) * time.Minute
		table := newStickyTable(ttl, rapid.IntRange(1, 64).Draw(t, "size"), nil)
		model := map[uint64]entry{}
		// Time passes by the tables' having begun earlier.
		now := time.Duration(0)
		// Few keys, spread over the sets by their upper bits, each with a
		// tag of its own: a set of 16 holds them all.
		keys := make([]uint64, 12)
		for i := range keys {
			keys[i] = rapid.Uint64().Draw(t, "key")&^0xfffff | uint64(i+1)
		}
		moved := false
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				k, mark := rapid.SampledFrom(keys).Draw(t, "key"), uint32(rapid.IntRange(1, markMask).Draw(t, "mark"))
				was := table.get(k)
				if got := table.put(k, was, mark); got != mark {
					t.Fatalf("put %x for %x gives %x", mark, k, got)
				}
				model[k] = entry{mark, now}
			},
			"put late": func(t *rapid.T) {
				k, mark := rapid.SampledFrom(keys).Draw(t, "key"), uint32(rapid.IntRange(1, markMask).Draw(t, "mark"))
				is := table.get(k)
				if is == 0 {
					t.Skip("nothing to come too late for")
				}
				if got := table.put(k, is^1, mark); got != is {
					t.Fatalf("a late put of %x for %x gives %x, want what stands, %x", mark, k, got, is)
				}
				model[k] = entry{is, now}
			},
			"get": func(t *rapid.T) {
				k := rapid.SampledFrom(keys).Draw(t, "key")
				e, known := model[k]
				idle := now - e.used
				switch got := table.get(k); {
				case got == 0:
					if known && idle < ttl-ttl/ttlTicks*2 && !moved {
						t.Fatalf("%x is forgotten after %v of %v", k, idle, ttl)
					}
					delete(model, k)
				case !known || got != e.mark:
					t.Fatalf("%x has mark %x, want %x", k, got, e.mark)
				case idle > ttl+ttl/ttlTicks*2:
					t.Fatalf("%x is remembered after %v of %v", k, idle, ttl)
				default:
					model[k] = entry{e.mark, now}
				}
			},
			"wait": func(t *rapid.T) {
				d := time.Duration(rapid.Int64Range(0, int64(2*ttl)).Draw(t, "pause"))
				now += d
				table.epoch = table.epoch.Add(-d)
				if older := table.older.Load(); older != nil {
					older.epoch = older.epoch.Add(-d)
				}
			},
			"resize": func(t *rapid.T) {
				// What the table before the last had and nobody has asked
				// for since is lost; so says newStickyTable.
				moved = moved || table.older.Load() != nil
				table = newStickyTable(ttl, rapid.IntRange(1, 64).Draw(t, "size"), table)
			},
		})
	})
}
