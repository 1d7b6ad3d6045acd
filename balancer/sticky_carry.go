package balancer

import (
	"encoding/binary"
	"fmt"
	"time"
)

// TableChunk is a part of a pool's table of sticky keys, as plain data for the
// process that goes on in this one's place; see [Carried]. It is of use only with
// the HashSecret that it was made under.
type TableChunk struct {
	Pool       string        `json:"pool"`
	TTL        time.Duration `json:"ttl"` // in nanoseconds
	MaxEntries int           `json:"max_entries,omitempty"`
	// Sets is how many sets the table has. A key's place depends on it.
	Sets int `json:"sets"`
	// Entries are 12 bytes each, in little endian: the number of the set (4), and
	// the entry's word as stickyTable has it (8), but for the ticks: those since
	// it was last used, 256 a ttl.
	Entries []byte `json:"entries"`
}

const (
	entrySize = 4 + 8
	// chunkEntries is how many a chunk has at most: 60 KiB of JSON, which leave
	// 4 for the name of the pool.
	chunkEntries = 60 << 10 / (entrySize * 4 / 3)
	// maxSets bounds what a chunk can have made: a table of 2 GiB, for 134 million
	// keys. Larger ones are not carried.
	maxSets = 1 << 24
)

// CarryTables yields who sticks to which in the committed pools, until yield
// returns false. Picks go on meanwhile: an entry that one of them changes is
// yielded as it was or as it is. A chunk is valid during the call only, and has at
// most 64 KiB as JSON, unless its pool has a name of more than 3 KiB.
func (r *Registry) CarryTables(yield func(*TableChunk) bool) {
	r.mu.Lock()
	pools := r.pools
	r.mu.Unlock()
	buf := make([]byte, 0, chunkEntries*entrySize)
	for _, p := range pools {
		if p.sticky == nil || p.sticky.table == nil {
			continue
		}
		t := p.sticky.table
		if !t.carry(p.name, buf, yield) {
			return
		}
		if older := t.older.Load(); older != nil && !older.carry(p.name, buf, yield) {
			return
		}
	}
}

// carry yields what t remembers, in chunks of what buf holds. It is false if
// yield was.
func (t *stickyTable) carry(pool string, buf []byte, yield func(*TableChunk) bool) bool {
	if len(t.sets) > maxSets {
		return true
	}
	c := &TableChunk{Pool: pool, TTL: t.ttl, MaxEntries: t.maxEntries, Sets: len(t.sets)}
	now := t.now()
	entries := buf
	for s := range t.sets {
		for i := range t.sets[s] {
			word := t.sets[s][i].Load()
			old := age(word, now)
			if word == 0 || old > ttlTicks {
				continue
			}
			entries = binary.LittleEndian.AppendUint32(entries, uint32(s))
			entries = binary.LittleEndian.AppendUint64(entries, word&^tickMask|old)
			if len(entries) < cap(buf) {
				continue
			}
			if c.Entries = entries; !yield(c) {
				return false
			}
			entries = buf
		}
	}
	if c.Entries = entries; len(entries) > 0 {
		return yield(c)
	}
	return true
}

// InheritTable has r remember what another process did, whose secret it has
// inherited. Before the first Compile it makes the table, which that takes over;
// afterwards it adds to the one of the pool that is committed under that name,
// if it has one, and picks go on meanwhile. Of two memories of a key the one that
// was used last prevails, so a table may be carried more than once. The error is
// for what no registry yields; what stood before that is remembered.
func (r *Registry) InheritTable(c *TableChunk) error {
	switch {
	case c.Sets < 1 || c.Sets > maxSets:
		return fmt.Errorf("inherit sticky table of pool %s: sets: %d is out of range, 1 to %d", c.Pool, c.Sets, maxSets)
	case c.TTL < time.Millisecond:
		return fmt.Errorf("inherit sticky table of pool %s: ttl: %s is too short, 1ms or more", c.Pool, c.TTL)
	case len(c.Entries)%entrySize != 0:
		return fmt.Errorf("inherit sticky table of pool %s: entries: %d bytes are not a multiple of %d", c.Pool, len(c.Entries), entrySize)
	}
	r.mu.Lock()
	t := r.tables[c.Pool]
	if t == nil && r.pools == nil {
		t = c.table()
		r.tables[c.Pool] = t
	}
	r.mu.Unlock()
	if t != nil && len(t.sets) != c.Sets {
		if t.older.Load() == nil {
			t.older.CompareAndSwap(nil, c.table())
		}
		t = t.older.Load()
	}
	if t == nil || len(t.sets) != c.Sets {
		return nil // it is not kept any more
	}
	for at := 0; at < len(c.Entries); at += entrySize {
		set, word := binary.LittleEndian.Uint32(c.Entries[at:]), binary.LittleEndian.Uint64(c.Entries[at+4:])
		if int(set) >= c.Sets || markOf(word) == 0 || word&tickMask > ttlTicks {
			return fmt.Errorf("inherit sticky table of pool %s: entries[%d]: no table has set %d with %x", c.Pool, at/entrySize, set, word)
		}
		t.inherit(&t.sets[set], word&^tickMask, time.Duration(word&tickMask)*(c.TTL/ttlTicks))
	}
	return nil
}

// table is an empty one of c's measures. One whose sets are not those that
// max_entries asks for here fits no configuration.
func (c *TableChunk) table() *stickyTable {
	t := &stickyTable{sets: make([]stickySet, c.Sets), ttl: c.TTL, epoch: time.Now(), tick: c.TTL / ttlTicks}
	if c.Sets == setsFor(c.MaxEntries) {
		t.maxEntries = c.MaxEntries
	}
	return t
}

// inherit puts an entry, without its ticks, that was last used so long ago,
// unless what stands there was used since.
func (t *stickyTable) inherit(set *stickySet, entry uint64, idle time.Duration) {
	ticks := uint64(idle / t.tick)
	if ticks > ttlTicks {
		return
	}
	now := t.now()
	for {
		e, word, _ := set.findOrPlace(entry>>tagShift, now)
		if word != 0 && age(word, now) <= ticks || e.CompareAndSwap(word, entry|(now-ticks)&tickMask) {
			return
		}
	}
}
