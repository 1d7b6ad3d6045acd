package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/holdfast-lb/holdfast/admin"
	"github.com/holdfast-lb/holdfast/balancer"
	"github.com/holdfast-lb/holdfast/discovery"
	"github.com/holdfast-lb/holdfast/metrics"
)

// newDiscovery makes the sources of backends, of which there are none yet.
func (a *app) newDiscovery() *discovery.Set {
	return discovery.New(a.log.Logger, func() { nudge(a.found) })
}

// summary counts what runs: the configuration, and the backends that discovery
// has found.
func (a *app) summary() string {
	return a.full.Summary()
}

// takeFound puts the backends that discovery has found in force, as a reload
// does; but no file is read, and nothing else changes.
func (a *app) takeFound() {
	if a.leaving {
		return // the sources are closed, and name nobody
	}
	full := a.cfg.WithBackends(a.discovery.Backends())
	pools, err := a.registry.Compile(full.Pools)
	if err != nil { // each list was judged when it came
		a.log.Error("backends found are not taken, which is a mistake in Holdfast: please report it", "error", err)
		return
	}
	before := a.pools
	changes := membershipChanges(before, pools)
	if len(changes) == 0 {
		return
	}
	rt := a.runtime.Repool(a.cfg, pools)
	a.registry.Commit(pools)
	a.proxy.Swap(rt)
	a.full, a.pools, a.runtime = full, pools, rt
	a.prober.Reconcile(a.targets())
	a.carryDrains(a.cfg, before, pools)
	for _, c := range changes {
		for _, name := range c.gone {
			a.metrics.Forget(c.pool, name)
		}
		a.log.Info("backends changed", "pool", c.pool, "joined", few(c.joined), "left", few(c.left))
		a.events.Publish(admin.Event{Kind: "discovery", Level: admin.Info, State: "changed", Pool: c.pool, Message: c.String()})
	}
}

// membership is who came to a pool and who left it, by name.
type membership struct {
	pool         string
	joined, left []string
	gone         []string // of those who left, the names that nobody has now
}

// String is for people.
func (m membership) String() string {
	var parts []string
	if len(m.joined) > 0 {
		parts = append(parts, "joined: "+few(m.joined))
	}
	if len(m.left) > 0 {
		parts = append(parts, "left: "+few(m.left))
	}
	return strings.Join(parts, "; ")
}

// few lists some names and counts the others.
func few(names []string) string {
	const shown = 8
	if n := len(names); n > shown {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:shown], ", "), n-shown)
	}
	return strings.Join(names, ", ")
}

// member is what a backend is to its pool.
type member struct {
	key           balancer.Key
	name          string
	weight, limit int
}

func membersOf(p *balancer.Pool) (members map[member]bool, names map[string]bool) {
	members, names = map[member]bool{}, map[string]bool{}
	for _, b := range p.Backends() {
		members[memberOf(b)], names[b.Name()] = true, true
	}
	return members, names
}

func memberOf(b *balancer.Backend) member {
	return member{b.Key(), b.Name(), b.Weight(), b.MaxConnections()}
}

// membershipChanges tells who came and left. A backend that has another name,
// weight or limit did both.
func membershipChanges(before, now *balancer.Pools) (all []membership) {
	for _, p := range now.All() {
		was := before.Pool(p.Name())
		had, _ := membersOf(was)
		has, names := membersOf(p)
		m := membership{pool: p.Name()}
		for _, b := range p.Backends() {
			if !had[memberOf(b)] {
				m.joined = append(m.joined, b.Name())
			}
		}
		for _, b := range was.Backends() {
			if has[memberOf(b)] {
				continue
			}
			m.left = append(m.left, b.Name())
			if !names[b.Name()] {
				m.gone = append(m.gone, b.Name())
			}
		}
		if len(m.joined)+len(m.left) > 0 {
			all = append(all, m)
		}
	}
	return all
}

// discoveryStatus is what the admin API shows of a pool's source; nil: it has
// none.
func discoveryStatus(all map[string]discovery.Status, pool string) *admin.Discovery {
	s, ok := all[pool]
	if !ok {
		return nil
	}
	return &admin.Discovery{Source: s.Source, Backends: s.Backends, Trouble: s.Trouble, Answered: s.Answered}
}

// discoverySamples is what a scrape of /metrics asks.
func (a *app) discoverySamples() (out []metrics.DiscoverySample) {
	for pool, s := range a.discovery.Status() {
		out = append(out, metrics.DiscoverySample{Pool: pool, Backends: s.Backends, OK: s.Trouble == "", Answered: s.Answered})
	}
	slices.SortFunc(out, func(x, y metrics.DiscoverySample) int { return strings.Compare(x.Pool, y.Pool) })
	return out
}
