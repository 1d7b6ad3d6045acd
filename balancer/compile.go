package balancer

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/holdfast-lb/holdfast/config"
)

// maxWeight keeps products of weights and counts well inside 64 bits.
const maxWeight = 1 << 20

// Compile prepares the pools of a configuration. It returns all mistakes at
// once, each with its key path; a configuration from config.Load has none.
//
// Compile changes nothing in r, whether it fails, succeeds or its result is
// dropped. The Pools can be picked from at once, into the States that r has
// for the keys it knows; what is new becomes visible in r with
// [Registry.Commit].
//
// A weight of 0 counts as 1, an empty balance as least_conn.
func (r *Registry) Compile(pools map[string]config.Pool) (*Pools, error) {
	ps := &Pools{byName: make(map[string]*Pool, len(pools))}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(pools)) {
		p, err := r.compilePool(name, pools[name])
		if err != nil {
			errs = append(errs, err)
			continue
		}
		ps.byName[name] = p
		ps.sorted = append(ps.sorted, p)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("compile pools: %w", err)
	}
	return ps, nil
}

func (r *Registry) compilePool(name string, c config.Pool) (*Pool, error) {
	path := "pools." + name
	p := &Pool{
		name:     name,
		tryAny:   c.WhenAllDown == "try",
		probed:   c.Health.Type != "",
		startsUp: c.Health.Type == "" || c.Health.Initial == "up",

		slowStart: c.SlowStart,
		clock:     r.clock,

		registry: r,

		rate:  newRate(c.Limits.HandshakesPerSecond),
		begun: r.meter(name),
		each:  newRate(c.Limits.HandshakesPerSecondPerBackend),

		reports:  c.Health.LoadReports,
		discover: c.Discovery != nil,
	}
	if c := c.Passive; c != nil {
		p.passive = &passive{failures: uint64(max(1, c.Failures)), window: c.Window, eject: c.Eject, percent: c.MaxEjectedPercent}
	}
	var known bool
	if p.balance, known = algorithms[cmp.Or(c.Balance, "least_conn")]; !known {
		return nil, fmt.Errorf("%s.balance: %q is not known, use one of least_conn, p2c, round_robin, random, hash, first",
			path, c.Balance)
	}
	p.catchesUp = p.balance == leastConn
	p.weighs = p.reports && (p.balance == leastConn || p.balance == powerOfTwo)
	if len(c.Backends) == 0 && c.Discovery == nil {
		return nil, fmt.Errorf("%s.backends: there are none, write at least one", path)
	}
	names := make(map[Key]string, len(c.Backends))
	for i, cb := range c.Backends {
		b, err := r.compileBackend(p, cb)
		if err != nil {
			return nil, fmt.Errorf("%s.backends[%d].%w", path, i, err)
		}
		if other, twice := names[b.key]; twice {
			return nil, fmt.Errorf("%s.backends[%d].url: %s is %s already, remove one of them", path, i, b.Address(), other)
		}
		names[b.key] = b.name
		p.backends = append(p.backends, b)
		p.members = append(p.members, newMember(b))
	}
	if c.Sticky != nil {
		var err error
		if p.sticky, err = r.compileSticky(p, *c.Sticky); err != nil {
			return nil, fmt.Errorf("%s.sticky.%w", path, err)
		}
	}
	p.dice = newDice(p.members)
	if p.balance == roundRobin {
		p.rotation = newRotation(p.members)
	}
	return p, nil
}

func (r *Registry) compileBackend(p *Pool, c config.Backend) (*Backend, error) {
	scheme, address := c.Target()
	if address == "" {
		return nil, fmt.Errorf("url: %q is not a backend's, write it as http://host:port", c.URL)
	}
	weight := cmp.Or(c.Weight, 1)
	if weight < 1 || weight > maxWeight {
		return nil, fmt.Errorf("weight: %d is out of range, write 1 to %d", weight, maxWeight)
	}
	if c.MaxConnections < 0 {
		return nil, fmt.Errorf("max_connections: %d is negative, write 0 for no limit", c.MaxConnections)
	}
	b := &Backend{
		name:   cmp.Or(c.Name, address),
		key:    Key{Pool: p.name, Scheme: scheme, Address: address},
		weight: weight,
		limit:  c.MaxConnections,
		pool:   p,
	}
	if b.state = r.find(b.key); b.state == nil {
		b.state = newState(b.key, p.startsUp, p.firstWhy(), time.Now())
	}
	return b, nil
}

// firstWhy explains the health of a backend that nobody has probed.
func (p *Pool) firstWhy() string {
	if p.probed {
		return "not probed yet"
	}
	return "not probed"
}

func newMember(b *Backend) member {
	limit := maxLeases
	if b.limit > 0 {
		limit = min(b.limit, maxLeases)
	}
	return member{
		state:   b.state,
		backend: b,
		weight:  uint32(b.weight),
		limit:   uint32(limit),
		seed:    hashSeed(b.key),
	}
}
