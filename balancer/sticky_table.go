package balancer

import (
	"cmp"
	"math/bits"
	"slices"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"
)

// stickyTable remembers a backend for each of many keys, for a time since the
// key was last used, in bounded memory. Reading and writing take no lock and
// allocate nothing.
//
// An entry is one 64-bit word, so it is read and replaced whole:
//
//	63..44       43..16     15..0
//	tag of key   backend    last used, in ticks
//
// 0 is an empty entry. A key's hash selects one set of 16 entries, which are
// two neighbouring cache lines; within it the entry with the key's tag is the
// key's, and a new one takes the place of the one that was not used for the
// longest time. There are two places for each of max_entries keys, since sets
// do not fill evenly: with max_entries keys at once one in a thousand is
// forgotten early, and a table of a million takes up to 16 MB.
//
// Keys are told apart by their set and 20 bits. A new key is taken for an old
// one once in 60,000 times in a full table; it then starts on that one's
// backend, which does no harm.
type stickyTable struct {
	sets       []stickySet
	ttl        time.Duration
	maxEntries int
	epoch      time.Time
	tick       time.Duration
	// older is the table that this one replaced when ttl or max_entries
	// changed, until all in it has expired. What it remembers moves over as it
	// is asked for.
	older atomic.Pointer[stickyTable]
}

// maxEntries keeps a slip of the pen from ending the process, with all its
// sockets, for want of memory: such a table takes 1.6 GB.
const maxEntries = 100_000_000

const (
	setSize   = 16
	ttlTicks  = 256 // a ttl's ticks: it is kept to within 0.4 %
	tickBits  = 16
	markBits  = 28
	tickMask  = 1<<tickBits - 1
	markMask  = 1<<markBits - 1
	markShift = tickBits
	tagShift  = tickBits + markBits
)

type stickySet [setSize]atomic.Uint64

func newStickyTable(ttl time.Duration, maxEntries int, older *stickyTable) *stickyTable {
	t := &stickyTable{
		sets:       make([]stickySet, setsFor(maxEntries)),
		ttl:        ttl,
		maxEntries: maxEntries,
		epoch:      time.Now(),
		tick:       ttl / ttlTicks,
	}
	if older != nil {
		// The same memory without its own predecessor: one step back is
		// enough, and a chain would grow with every reload.
		t.older.Store(&stickyTable{sets: older.sets, ttl: older.ttl, epoch: older.epoch, tick: older.tick})
	}
	return t
}

// setsFor is how many sets a table for so many keys has.
func setsFor(maxEntries int) int { return (2*maxEntries + setSize - 1) / setSize }

// fits reports whether t is the table for that configuration.
func (t *stickyTable) fits(ttl time.Duration, maxEntries int) bool {
	return t != nil && t.ttl == ttl && t.maxEntries == maxEntries
}

// get is the mark of the backend that key was last given; 0: it is not
// remembered. The key counts as used now.
func (t *stickyTable) get(key uint64) uint32 {
	now := t.now()
	set, tag := t.place(key)
	if e, word := set.find(tag, now); e != nil {
		if age(word, now) > 0 {
			// A failed swap means that the entry was renewed or replaced.
			e.CompareAndSwap(word, word&^tickMask|now)
		}
		return markOf(word)
	}
	older := t.older.Load()
	if older == nil {
		return 0
	}
	if time.Since(t.epoch) > older.ttl {
		t.older.Store(nil)
		return 0
	}
	if mark := older.get(key); mark != 0 {
		return t.put(key, 0, mark)
	}
	return 0
}

// put remembers mark for key in place of was, which is what get said. If the
// key has been given another mark meanwhile, that one stays. put returns the
// one that is remembered now.
//
// Puts for one new key end up with one entry. They look for the key and for a
// place in the same pass, and want the same place: so either the second finds
// the first one's entry in its pass, or its swap fails because the first has
// taken the place since, and the next pass finds it.
func (t *stickyTable) put(key uint64, was, mark uint32) uint32 {
	now := t.now()
	set, tag := t.place(key)
	entry := tag<<tagShift | uint64(mark)<<markShift | now
	for {
		e, word, found := set.findOrPlace(tag, now)
		if found && markOf(word) != was {
			return markOf(word)
		}
		if e.CompareAndSwap(word, entry) {
			return mark
		}
	}
}

// place is where key belongs. The set comes from the upper bits of its hash,
// the tag from the lower ones.
func (t *stickyTable) place(key uint64) (set *stickySet, tag uint64) {
	i, _ := bits.Mul64(key, uint64(len(t.sets)))
	return &t.sets[i], key & (1<<(64-tagShift) - 1)
}

// now is the time in ticks. It wraps around after 256 ttl, when an entry that
// was last used a whole turn ago seems to be young for one ttl.
func (t *stickyTable) now() uint64 {
	return uint64(time.Since(t.epoch)/t.tick) & tickMask
}

// find is the entry with that tag, unless it has expired, and its word.
func (s *stickySet) find(tag, now uint64) (*atomic.Uint64, uint64) {
	for i := range s {
		word := s[i].Load()
		if word>>tagShift == tag && word != 0 && age(word, now) <= ttlTicks {
			return &s[i], word
		}
	}
	return nil, 0
}

// findOrPlace is the entry with that tag and true, or the place for a new one
// and false: the tag's own expired entry, the first empty one, or the one that
// was not used for the longest time, of several the first.
func (s *stickySet) findOrPlace(tag, now uint64) (place *atomic.Uint64, held uint64, found bool) {
	const empty, expired = tickMask + 1, tickMask + 2 // beyond any age
	var most uint64
	for i := range s {
		word := s[i].Load()
		a := age(word, now)
		switch {
		case word == 0:
			a = empty
		case word>>tagShift != tag:
		case a <= ttlTicks:
			return &s[i], word, true
		default:
			a = expired
		}
		if place == nil || a > most {
			place, held, most = &s[i], word, a
		}
	}
	return place, held, false
}

// age is how many ticks ago an entry was last used. Somebody may have used it
// after now was read: its age is 0 then, not a whole turn.
func age(word, now uint64) uint64 {
	a := (now - word) & tickMask
	if a > tickMask-ttlTicks {
		return 0
	}
	return a
}

func markOf(word uint64) uint32 { return uint32(word >> markShift & markMask) }

// assignMarks gives every backend the number that the table knows it by, and
// returns the members' indices by it. A mark follows from the backend's
// identity alone, so that it is the same in every generation. If two collide
// (a thousand backends: once in 500 pools), the later address takes the next
// free one.
func assignMarks(backends []*Backend) map[uint32]int32 {
	order := make([]int32, len(backends))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(i, j int32) int {
		a, b := backends[i].key, backends[j].key
		return cmp.Or(cmp.Compare(a.Address, b.Address), cmp.Compare(a.Scheme, b.Scheme))
	})
	byMark := make(map[uint32]int32, len(backends))
	for _, i := range order {
		k := backends[i].key
		mark := uint32(xxhash.Sum64String(k.Scheme+"://"+k.Address)) & markMask
		for _, taken := byMark[mark]; taken || mark == 0; _, taken = byMark[mark] {
			mark = (mark + 1) & markMask
		}
		byMark[mark] = i
		backends[i].mark = mark
	}
	return byMark
}
