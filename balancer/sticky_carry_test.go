package balancer

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/holdfast-lb/holdfast/config"
)

// inheritTables has next remember what r does, by way of JSON.
func inheritTables(t rapid.TB, r, next *Registry) (chunks int) {
	t.Helper()
	r.CarryTables(func(c *TableChunk) bool {
		chunks++
		text, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		if len(text) > 64<<10 {
			t.Fatalf("a chunk of %d bytes", len(text))
		}
		var came TableChunk
		if err := json.Unmarshal(text, &came); err != nil {
			t.Fatal(err)
		}
		if err := next.InheritTable(&came); err != nil {
			t.Fatal(err)
		}
		return true
	})
	return chunks
}

// remembers is what r would carry of its tables, in an order of its own: entries
// by the pool and the size of their table.
func remembers(r *Registry) map[string][][2]uint64 {
	all := map[string][][2]uint64{}
	r.CarryTables(func(c *TableChunk) bool {
		name := fmt.Sprintf("%s, %d sets for %s", c.Pool, c.Sets, c.TTL)
		for e := range slices.Chunk(c.Entries, entrySize) {
			all[name] = append(all[name], [2]uint64{uint64(binary.LittleEndian.Uint32(e)), binary.LittleEndian.Uint64(e[4:])})
		}
		return true
	})
	for _, list := range all {
		slices.SortFunc(list, func(a, b [2]uint64) int { return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1])) })
	}
	return all
}

func roomy(n int) *config.Sticky {
	s := byQuery()
	s.MaxEntries = n
	return s
}

// visits are the backends that clients go to, by their names.
func visits(t testing.TB, p *Pool, n int) []string {
	t.Helper()
	list := make([]string, n)
	for i := range list {
		c := client{key: fmt.Sprint("client ", i)}
		list[i] = c.visit(t, p)
	}
	return list
}

// Clients stick in the next process, whether its table came before or after its
// configuration, and whether that has the same size or another.
func TestInheritedTablesStick(t *testing.T) {
	const clients = 2000
	f := func(what string, change func(s *config.Sticky), before bool) {
		t.Helper()
		c := stickyPool(roomy(10*clients), backendsOf(equal(7)...))
		r, p := compiled(t, c)
		want := visits(t, p, clients)
		next := handedOver(t, r)
		change(c.Sticky)
		if before {
			inheritTables(t, r, next)
			p = reload(t, next, c)
		} else {
			p = reload(t, next, c)
			inheritTables(t, r, next)
		}
		got := visits(t, p, clients)
		// Keys that others are mistaken for by their tags: one in 60,000.
		lost := 0
		for i := range got {
			if got[i] != want[i] {
				lost++
			}
		}
		if lost > 3 {
			t.Errorf("%s, before the configuration %v: %d of %d clients were sent elsewhere", what, before, lost, clients)
		}
		for i := range clients { // all of them again, some by now in another table
			c := client{key: fmt.Sprint("client ", i)}
			if again := c.visit(t, p); again != got[i] {
				t.Fatalf("%s: client %d went on from %s to %s", what, i, got[i], again)
			}
		}
	}
	for _, before := range []bool{true, false} {
		f("the same", func(*config.Sticky) {}, before)
		f("larger", func(s *config.Sticky) { s.MaxEntries *= 3 }, before)
		f("smaller", func(s *config.Sticky) { s.MaxEntries /= 2 }, before)
		f("for longer", func(s *config.Sticky) { s.TTL *= 2 }, before)
		f("by a header", func(s *config.Sticky) { s.By = "header" }, before)
	}
}

// What a table that was resized has not taken over yet is carried too.
func TestInheritTakesTheOlderTable(t *testing.T) {
	c := stickyPool(roomy(1000), backendsOf(equal(7)...))
	r, p := compiled(t, c)
	want := visits(t, p, 20)
	c.Sticky = roomy(5000)
	p = reload(t, r, c)
	visits(t, p, 5) // have moved
	next := handedOver(t, r)
	inheritTables(t, r, next)
	p = reload(t, next, c)
	if now, was := remembers(next), remembers(r); len(was) != 2 || !maps.EqualFunc(now, was, slices.Equal) {
		t.Errorf("remembers %v, was %v", now, was)
	}
	if got := visits(t, p, 20); !slices.Equal(got, want) {
		t.Errorf("clients are at %v, were at %v", got, want)
	}
}

// An entry keeps its age, and the one that was used last prevails.
func TestInheritedEntriesAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := stickyPool(roomy(100), backendsOf(1, 1, 1))
		r, p := compiled(t, c)
		one := client{key: "one"}
		one.visit(t, p)
		time.Sleep(20 * time.Minute)
		next := handedOver(t, r)
		if inheritTables(t, r, next) != 1 {
			t.Error("one entry is not one chunk")
		}
		reload(t, next, c)
		time.Sleep(9 * time.Minute)
		if n := len(remembers(next)); n != 1 {
			t.Errorf("forgotten a minute early: %v", remembers(next))
		}
		time.Sleep(2 * time.Minute)
		if n := len(remembers(next)); n != 0 || inheritTables(t, r, next) != 0 {
			t.Errorf("remembered a minute late: %v", remembers(next))
		}

		// It moves here, then there.
		key := Query{StickyKey: []byte("two")}
		table, hash := next.tables["p"], next.hash.Hash(key.StickyKey)
		first, second := p.Backends()[0].mark, p.Backends()[1].mark
		r.tables["p"].put(hash, 0, first)
		time.Sleep(time.Minute)
		table.put(hash, 0, second)
		inheritTables(t, r, next)
		if got := table.get(hash); got != second {
			t.Errorf("an older memory prevails: %x", got)
		}
		time.Sleep(time.Minute)
		r.tables["p"].put(hash, first, first)
		inheritTables(t, r, next)
		if got := table.get(hash); got != first {
			t.Errorf("an older memory has stayed: %x", got)
		}
	})
}

// Among more keys than a set holds those that were used last stay, wherever.
func TestInheritIntoAFullTable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := newStickyTable(time.Hour, 1, nil), newStickyTable(time.Hour, 1, nil) // one set each
		keys := tableKeys(2 * setSize)
		for i, key := range keys { // by turns, later and later
			[]*stickyTable{here, there}[i%2].put(key, 0, uint32(i+1))
			time.Sleep(time.Minute)
		}
		r := NewRegistry()
		r.tables["p"] = here
		there.carry("p", make([]byte, 0, entrySize), func(c *TableChunk) bool {
			if err := r.InheritTable(c); err != nil {
				t.Fatal(err)
			}
			return true
		})
		for i, key := range keys {
			want := uint32(i + 1)
			if i < setSize {
				want = 0
			}
			if got := here.get(key); got != want {
				t.Errorf("key %d: mark %d, want %d", i, got, want)
			}
		}
	})
}

// TestCarriedTablesAreWhatTheyWere draws tables of any size and history. In one of
// the same size each entry is found as it was; by another one each key is.
func TestCarriedTablesAreWhatTheyWere(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		size := rapid.IntRange(1, 200).Draw(rt, "size")
		ttl := time.Duration(rapid.IntRange(1, 1000).Draw(rt, "ttl")) * time.Second
		keys := rapid.SliceOfN(rapid.Uint64(), 1, 100).Draw(rt, "keys")
		pauses := rapid.SliceOfN(rapid.Int64Range(0, int64(ttl/8)), len(keys), len(keys)).Draw(rt, "pauses")
		other := rapid.IntRange(1, 200).Draw(rt, "other size")
		synctest.Test(t, func(t *testing.T) {
			c := probed(config.Pool{Sticky: &config.Sticky{By: "query", Name: "q", TTL: ttl, MaxEntries: size}, Backends: backendsOf(1)})
			r, _ := compiled(t, c)
			table := r.tables["p"]
			for i, key := range keys {
				key = key&^(1<<(64-tagShift)-1) | uint64(i+1) // a tag of its own: none is mistaken for another
				keys[i] = key
				table.put(key, table.get(key), uint32(i+1))
				time.Sleep(time.Duration(pauses[i]))
			}
			same, another := handedOver(t, r), handedOver(t, r)
			inheritTables(t, r, same)
			reload(t, same, c)
			inheritTables(t, r, same) // twice changes nothing
			c.Sticky.MaxEntries = other
			reload(t, another, c)
			inheritTables(t, r, another)
			if now, was := remembers(same), remembers(r); !maps.EqualFunc(now, was, slices.Equal) {
				t.Fatalf("remembers %v, was %v", now, was)
			}
			for _, key := range keys {
				want := table.get(key)
				if got := same.tables["p"].get(key); got != want {
					t.Fatalf("%x has mark %d, want %d", key, got, want)
				}
				if got := another.tables["p"].get(key); got != want {
					t.Fatalf("%x has mark %d in a table of another size, want %d", key, got, want)
				}
			}
		})
	})
}

// A table of many keys comes in chunks, and a receiver may have had enough.
func TestCarryTablesInChunks(t *testing.T) {
	const n = 20_000
	c := stickyPool(roomy(n), backendsOf(1, 1, 1))
	name := strings.Repeat("long", 512)
	r := NewRegistry()
	ps, err := r.Compile(map[string]config.Pool{name: c, "q": c, "unsticky": {Backends: backendsOf(1)}})
	if err != nil {
		t.Fatal(err)
	}
	r.Commit(ps)
	for i := range n {
		l := pick(t, ps.Pool(name), Query{StickyKey: fmt.Appendf(nil, "client %d", i)})
		l.Done()
	}
	l := pick(t, ps.Pool("q"), Query{StickyKey: []byte("x")})
	l.Done()
	next := handedOver(t, r)
	if chunks := inheritTables(t, r, next); chunks < n/chunkEntries+1 || chunks > n/chunkEntries+2 {
		t.Errorf("%d chunks for %d entries", chunks, n)
	}
	if len(remembers(next)) != 0 {
		t.Error("what was not committed is carried on")
	}
	next.Commit(ps)
	for _, until := range []int{1, 2, 6} {
		chunks := 0
		r.CarryTables(func(*TableChunk) bool { chunks++; return chunks < until })
		if chunks != until {
			t.Errorf("%d chunks, %d were asked for", chunks, until)
		}
	}
}

func TestInheritTableJudgesWhatComes(t *testing.T) {
	entry := func(set uint32, mark, age uint64) []byte {
		b := binary.LittleEndian.AppendUint32(nil, set)
		return binary.LittleEndian.AppendUint64(b, 5<<tagShift|mark<<markShift|age)
	}
	good := entry(1, 7, 0)
	f := func(c TableChunk, want string) {
		t.Helper()
		r := NewRegistry()
		c.Pool = "p"
		if err := r.InheritTable(&c); err == nil || !strings.Contains(err.Error(), "pool p: "+want) {
			t.Errorf("%+v: error %v, want %q", c, err, want)
		}
	}
	f(TableChunk{TTL: time.Hour, Entries: good}, "sets: 0 is out of range")
	f(TableChunk{TTL: time.Hour, Sets: -5, Entries: good}, "sets: -5 is out of range")
	f(TableChunk{TTL: time.Hour, Sets: maxSets + 1, Entries: good}, "sets: 16777217 is out of range")
	f(TableChunk{Sets: 2, Entries: good}, "ttl: 0s is too short")
	f(TableChunk{Sets: 2, TTL: time.Hour, Entries: good[1:]}, "entries: 11 bytes")
	f(TableChunk{Sets: 2, TTL: time.Hour, Entries: slices.Concat(good, entry(2, 7, 0))}, "entries[1]: no table has set 2")
	f(TableChunk{Sets: 2, TTL: time.Hour, Entries: entry(1<<32-1, 7, 0)}, "entries[0]")
	f(TableChunk{Sets: 2, TTL: time.Hour, Entries: entry(1, 0, 0)}, "entries[0]")
	f(TableChunk{Sets: 2, TTL: time.Hour, Entries: entry(1, 7, ttlTicks+1)}, "entries[0]")

	// What a pool has no use for is no mistake.
	r, _ := compiled(t, config.Pool{Backends: backendsOf(1)})
	c := TableChunk{Pool: "p", Sets: 2, TTL: time.Hour, Entries: good}
	if err := r.InheritTable(&c); err != nil || len(r.tables) > 0 {
		t.Errorf("%v, tables %v", err, r.tables)
	}
	// Nor is another size of set, or a shorter time here than there.
	r, _ = compiled(t, stickyPool(roomy(9), backendsOf(1)))
	c.TTL, c.Entries = 1000*time.Hour, entry(1, 7, 200)
	if err := r.InheritTable(&c); err != nil || len(remembers(r)) > 0 {
		t.Errorf("%v, remembers %v", err, remembers(r))
	}
}

// Clients keep their backends, all the time, while the table they are in is
// carried, and while one is taken in.
func TestTablesAreCarriedWhilePicksGoOn(t *testing.T) {
	const clients, rounds = 50, 8 // no set overflows by a few more
	c := stickyPool(roomy(20_000), backendsOf(1, 1, 1))
	r, p := compiled(t, c)
	want := visits(t, p, clients)
	next := handedOver(t, r)
	inheritTables(t, r, next)
	q := reload(t, next, c)
	var stop atomic.Bool
	var wg sync.WaitGroup
	for g, p := range []*Pool{p, q} {
		wg.Go(func() {
			for i := 0; !stop.Load(); i++ {
				who := i % clients
				c := client{key: fmt.Sprint("client ", who)}
				if got := c.visit(t, p); got != want[who] {
					t.Errorf("process %d: client %d went from %s to %s", g, who, want[who], got)
					return
				}
				l := pick(t, p, Query{StickyKey: fmt.Appendf(nil, "%d new %d", g, i%500)})
				l.Done()
			}
		})
	}
	for range rounds {
		inheritTables(t, r, next)
		inheritTables(t, next, r)
	}
	stop.Store(true)
	wg.Wait()
	inheritTables(t, r, next)
	if got := visits(t, q, clients); !slices.Equal(got, want) {
		t.Errorf("clients are at %v, were at %v", got, want)
	}
}

func FuzzInheritTable(f *testing.F) {
	entry := bytes.Repeat([]byte{0}, entrySize)
	entry[8] = 1
	seed, err := json.Marshal(&TableChunk{Pool: "p", TTL: time.Hour, MaxEntries: 9, Sets: 2, Entries: entry})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add([]byte(`{"pool":"p","ttl":9223372036854775807,"sets":2,"max_entries":-9223372036854775808,"entries":"AQAAAAAB/wAAAAAA"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var c TableChunk
		if json.Unmarshal(text, &c) != nil || c.Sets > 1<<12 {
			return
		}
		pool := stickyPool(roomy(9), backendsOf(1, 1))
		before, after := NewRegistry(), NewRegistry()
		errs := [2]error{before.InheritTable(&c)}
		reload(t, before, pool)
		reload(t, after, pool)
		errs[1] = after.InheritTable(&c)
		if (errs[0] == nil) != (errs[1] == nil) {
			t.Errorf("before the configuration %v, after it %v", errs[0], errs[1])
		}
		for _, r := range []*Registry{before, after} {
			visits(t, r.pools[0], 3)
			r.CarryTables(func(c *TableChunk) bool {
				if err := after.InheritTable(c); err != nil {
					t.Errorf("what was inherited cannot be carried: %v", err)
				}
				return true
			})
		}
	})
}

// BenchmarkCarryTable is a million keys out of one table and into another.
func BenchmarkCarryTable(b *testing.B) {
	const n = 1_000_000
	r, _ := compiled(b, stickyPool(roomy(n), backendsOf(1)))
	for i := range uint64(n) {
		r.tables["p"].put(scramble(i+1), 0, 1)
	}
	for b.Loop() {
		next := NewRegistry()
		b.ReportMetric(float64(inheritTables(b, r, next)), "chunks")
	}
}
