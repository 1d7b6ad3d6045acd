package balancer

import (
	"errors"
	"sync/atomic"
	"time"
)

// Pick's refusals. They are final for now: nothing waits inside a pick.
var (
	// ErrPaced: there are usable backends with room, but each has had all the
	// handshakes that it may have for now, or the whole pool has.
	ErrPaced = errors.New("pick backend: the limit of handshakes a second is met")
	// ErrNoneUsable: no backend of the pool is up and ready, or each that is
	// has been tried already by this request.
	ErrNoneUsable = errors.New("pick backend: none is usable")
	// ErrAllFull: there are usable backends, but each holds as many leases as
	// its max_connections allows.
	ErrAllFull = errors.New("pick backend: every usable one is at max_connections")
)

// Pools are all pools of one configuration. They are immutable, and stay
// usable after a newer generation has been committed.
type Pools struct {
	byName map[string]*Pool
	sorted []*Pool // by name
}

// Pool is the pool with that name, or nil.
func (ps *Pools) Pool(name string) *Pool { return ps.byName[name] }

// All are the pools in the order of their names. The caller must not change
// the slice.
func (ps *Pools) All() []*Pool { return ps.sorted }

// Pool is a set of backends that can stand in for each other, and the rule by
// which one is picked. It is safe for use by any number of goroutines.
type Pool struct {
	name     string
	balance  algorithm
	tryAny   bool // when_all_down: try
	probed   bool // the pool has health checks
	startsUp bool // health of a backend that nobody has probed yet
	backends []*Backend

	slowStart time.Duration
	catchesUp bool // behind the ramp newcomers are held to twice their share
	clock     clock
	rampEnd   atomic.Int64 // when the last ramp ends; 0: nobody is on one, or catches up

	registry *Registry
	passive  *passive    // nil: live traffic has no say
	panics   atomic.Bool // below the panic floor

	rate  rate   // of handshakes in the whole pool
	begun *meter // for rate; all generations of the pool have the same
	each  rate   // of handshakes for each backend

	discover bool // its backends come and go by themselves

	reports bool // health.load_reports: its backends may say how full they are
	weighs  bool // the algorithm goes by that

	members  []member // the backends once more, as a pick wants to read them
	rotation *rotation
	dice     dice
	sticky   *Sticky
}

// Name is the pool's name in the configuration.
func (p *Pool) Name() string { return p.name }

// Backends are the members in the order of the configuration. The caller must
// not change the slice.
func (p *Pool) Backends() []*Backend { return p.backends }

// Sticky is the pool's rule of stickiness, or nil if it has none.
func (p *Pool) Sticky() *Sticky { return p.sticky }

// member is what a pick reads of a backend, side by side with the others.
type member struct {
	state   *State
	backend *Backend
	weight  uint32
	limit   uint32 // leases; maxLeases when the configuration sets none
	seed    uint64 // of the backend's draw in `hash`
}

// algorithm is one of the configuration's `balance` values.
type algorithm uint8

const (
	leastConn algorithm = iota
	powerOfTwo
	roundRobin
	random
	hash
	first
)

// algorithms are the names in the configuration.
var algorithms = map[string]algorithm{
	"least_conn":  leastConn,
	"p2c":         powerOfTwo,
	"round_robin": roundRobin,
	"random":      random,
	"hash":        hash,
	"first":       first,
}

// choose takes a lease by the pool's algorithm. It returns nil if no member
// admits one. (A switch, not an interface: what is passed to an interface
// method moves to the heap.)
func (p *Pool) choose(a *ask) *member {
	if len(p.members) == 0 {
		return nil // discovery has found none
	}
	switch p.balance {
	case powerOfTwo:
		return p.pickPowerOfTwo(a)
	case roundRobin:
		return p.pickRoundRobin(a)
	case random:
		return p.pickRandom(a)
	case hash:
		return p.pickHash(a)
	case first:
		return p.pickFirst(a)
	default:
		return p.pickLeastConn(a)
	}
}
