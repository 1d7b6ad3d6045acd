package balancer

import (
	"crypto/rand"
	"slices"
	"sync"
	"time"
	"weak"

	"github.com/holdfast-lb/holdfast/internal/keyhash"
)

// Registry owns what outlives a configuration: the State of every backend, and
// who sticks to which. There is one per process. Its methods are safe for
// concurrent use; none of them waits for a pick or holds one up.
type Registry struct {
	secret [secretSize]byte // signs cookies of pools that configure none
	clock  clock
	hash   keyhash.Secret // of sticky keys, so that nobody can aim at one place of a table

	changed func(Change) // set once, before the first Commit; nil: nobody listens

	mu     sync.Mutex
	known  map[Key]record          // guarded by mu
	live   map[Key]*Backend        // guarded by mu; of the committed Pools
	pools  []*Pool                 // guarded by mu; the committed Pools, by name
	tables map[string]*stickyTable // guarded by mu; by pool
	meters map[string]*meter       // guarded by mu; by pool
	parked map[Key]parked          // guarded by mu
}

// parked is the mode of a backend that discovery does not find any more. It is
// the operator's word, so it holds if the backend is found again soon: a name
// that flaps ends no drain.
type parked struct {
	mode Mode
	at   time.Time
}

// parkedFor is for how long. Later the address is taken for somebody else's.
const parkedFor = 10 * time.Minute

// record is how the Registry remembers a backend. The pointer is weak so that
// a retired backend ends with its last lease: those who can still count on a
// State are those who hold it.
type record struct {
	weak weak.Pointer[State]
	name string // the last that it had
}

// state is nil when the State is gone, or never was.
func (r record) state() *State { return r.weak.Value() }

// NewRegistry is an empty registry with a random secret.
func NewRegistry() *Registry {
	r := &Registry{
		clock:  clock{epoch: time.Now()},
		hash:   keyhash.New(),
		known:  map[Key]record{},
		live:   map[Key]*Backend{},
		tables: map[string]*stickyTable{},
		meters: map[string]*meter{},
		parked: map[Key]parked{},
	}
	rand.Read(r.secret[:]) // never fails, by its contract
	return r
}

// find is the State that r knows for a key, or nil.
func (r *Registry) find(key Key) *State {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.known[key].state()
}

// livePool is the committed pool that names a backend, or nil. The caller holds
// mu.
func (r *Registry) livePool(key Key) *Pool {
	if b := r.live[key]; b != nil {
		return b.pool
	}
	return nil
}

// table is the sticky table that r keeps for a pool, or nil.
func (r *Registry) table(pool string) *stickyTable {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tables[pool]
}

// meter is that of a pool, or a new one.
func (r *Registry) meter(pool string) *meter {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m := r.meters[pool]; m != nil {
		return m
	}
	return new(meter)
}

// Commit makes ps the pools that count: its new backends become visible, and
// those it does not name are retired. It cannot fail. Pools that were
// committed before go on working until nobody holds them.
//
// A backend that was not in the Pools committed last, be it new or a retired
// one that comes back, starts ready and with its pool's initial health: a
// verdict is worth nothing after a time in which nobody probed. Its counts are
// the true ones; in a pool with discovery it has the mode that it had ten minutes
// ago or less. All others keep their health and mode, except that in a pool
// without probes every backend is up. A newcomer to a pool that had backends
// before is on the ramp of slow_start once it is up.
//
// If several were compiled before one was committed, only the first committed
// may have been picked from before its Commit.
func (r *Registry) Commit(ps *Pools) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	before := r.live
	r.park(ps, now)
	atWork := make(map[string]bool)
	for key := range before {
		atWork[key.Pool] = true
	}
	r.live = make(map[Key]*Backend, len(before))
	tables := make(map[string]*stickyTable, len(ps.sorted))
	meters := make(map[string]*meter, len(ps.sorted))
	for _, p := range ps.sorted {
		for i, b := range p.backends {
			r.settle(p, i)
			if _, stays := before[b.key]; !stays {
				b.state.proven = atWork[p.name]
				if p.startsUp {
					p.rise(b.state)
				}
				b.state.pardon()
				b.state.reset(p.startsUp, p.firstWhy(), now)
				if was, ok := r.parked[b.key]; ok {
					p.setMode(b.state, was.mode)
					delete(r.parked, b.key)
				}
			} else if !p.probed {
				b.state.setHealth(true, p.firstWhy(), now)
			}
			if p.passive == nil {
				b.state.pardon()
			}
			if !p.reports {
				r.setReport(p, b.state, nil)
			}
			r.live[b.key] = b
		}
		p.resumeRamps()
		if m := r.meters[p.name]; m != nil {
			p.begun = m // one that was committed meanwhile
		}
		meters[p.name] = p.begun
		if s := p.sticky; s != nil && s.table != nil {
			// As with States: one that was committed meanwhile prevails.
			if t := r.tables[p.name]; t != nil && t != s.table && t.fits(s.ttl, s.maxEntries) {
				s.table = t
			}
			tables[p.name] = s.table
		}
	}
	r.pools, r.tables, r.meters = ps.sorted, tables, meters
	for _, p := range ps.sorted {
		r.weighPanic(p)
	}
	r.forget()
}

// park remembers the modes of backends that ps, with discovery, does not name.
// The caller holds mu.
func (r *Registry) park(ps *Pools, now time.Time) {
	named := make(map[Key]bool)
	for _, p := range ps.sorted {
		for _, b := range p.backends {
			named[b.key] = true
		}
	}
	for key := range r.live {
		if p := ps.byName[key.Pool]; p != nil && p.discover && !named[key] {
			if mode := r.known[key].state().Mode(); mode != Ready {
				r.parked[key] = parked{mode, now}
			}
		}
	}
	for key, was := range r.parked {
		if p := ps.byName[key.Pool]; p == nil || !p.discover || now.Sub(was.at) > parkedFor {
			delete(r.parked, key)
		}
	}
}

// repark is for a new word of the operator's about a retired backend. The
// caller holds mu.
func (r *Registry) repark(key Key, mode Mode) {
	discovers := slices.ContainsFunc(r.pools, func(p *Pool) bool { return p.name == key.Pool && p.discover })
	switch {
	case r.known[key].state() == nil || !discovers:
	case mode == Ready:
		delete(r.parked, key)
	default:
		r.parked[key] = parked{mode, time.Now()}
	}
}

// settle registers the State of p's i-th backend, or, if another Pools with
// the same key was committed since p was compiled, gives it the State that
// this one brought along.
func (r *Registry) settle(p *Pool, i int) {
	b := p.backends[i]
	if s := r.known[b.key].state(); s != nil && s != b.state {
		b.state, p.members[i].state = s, s
	}
	r.known[b.key] = record{weak: weak.Make(b.state), name: b.name}
}

// forget drops the records of backends that nobody can reach any more.
func (r *Registry) forget() {
	for key, rec := range r.known {
		if rec.state() == nil {
			delete(r.known, key)
		}
	}
}

// SetHealth records a verdict on a backend's health: whether it is up, why in
// a few words, and when this was found. The next pick goes by it; leases that
// are out stay. It reports whether the verdict was taken: it is not if the
// committed pools do not name the backend, or do not probe it, so a probe that
// a reload overtook does no harm.
func (r *Registry) SetHealth(key Key, up bool, why string, at time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.livePool(key)
	if p == nil || !p.probed {
		return false
	}
	s := r.known[key].state()
	if up && !s.Up() {
		p.rise(s)
	}
	s.setHealth(up, why, at)
	r.weighPanic(p)
	return true
}

// SetMode changes what the operator wants of a backend. Once it has returned,
// no pick gives a backend in [Drain] or [Maintenance] to anybody; leases that
// are out stay. A backend that leaves [Maintenance] starts with its pool's
// initial health, as nobody has probed it. SetMode reports whether the
// committed pools name the backend; of one that is retired, in a pool with
// discovery, it remembers the mode for when the backend comes back.
func (r *Registry) SetMode(key Key, mode Mode) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.livePool(key)
	if p == nil {
		r.repark(key, mode)
		return false
	}
	s := r.known[key].state()
	was := s.Mode()
	if was == Maintenance && mode != Maintenance {
		s.setHealth(p.startsUp, p.firstWhy(), time.Now())
	}
	if mode == Maintenance {
		r.setReport(p, s, nil) // nobody asks it any more
	}
	p.setMode(s, mode)
	r.weighPanic(p)
	return true
}

// setMode brings the mode of s, a member of p, and its own wish into its word.
// The caller holds Registry.mu.
func (p *Pool) setMode(s *State, mode Mode) {
	was, next := s.word.Load()&modeBits, mode.bits(s.AsksDrain())
	if was != 0 && next == 0 && s.Up() {
		p.rise(s)
	}
	s.setStatus(modeBits, next)
}

// Counts are the leases out of a backend, retired or not. ok is false if
// nobody can have one any more.
func (r *Registry) Counts(key Key) (c Counts, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.known[key].state()
	if s == nil {
		return Counts{}, false
	}
	return s.Counts(), true
}
