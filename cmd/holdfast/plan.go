package main

import (
	"cmp"
	"errors"
	"os"
	"path/filepath"
	"slices"

	"github.com/holdfast-lb/holdfast/admin"
	"github.com/holdfast-lb/holdfast/balancer"
	"github.com/holdfast-lb/holdfast/certs"
	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/proxy"
)

// errPlanning refuses a plan beside another, which may be large, or wait for a
// file that cannot be read.
var errPlanning = admin.Conflict("planning", "another plan is being made", "ask again when it is answered")

// orderPlan tells what a reload with another configuration in the place of the
// one that runs would do, or what is wrong with it. It does what a reload does
// up to the point where that would leave a trace. What may take long, reading
// that text and the files that it names, is done on the caller's goroutine: the
// command's obeys signals meanwhile.
func (a *app) orderPlan(p admin.Proposal) (plan admin.Plan, mistakes []string, err error) {
	if !a.planning.TryLock() {
		return plan, nil, errPlanning
	}
	defer a.planning.Unlock()
	name := filepath.Join(filepath.Dir(a.source.path), p.Name)
	cfg, warnings, err := config.Parse(p.Text, "", name, config.Options{Environ: os.Environ(), Overrides: a.source.overrides})
	for _, w := range warnings {
		plan.Warnings = append(plan.Warnings, w.String())
	}
	if err != nil {
		return plan, mistakesOf(err), nil
	}
	var pools *balancer.Pools
	if !a.onCommand(func() { pools, err = a.plan(cfg, &plan) }) {
		return plan, nil, errEnding
	}
	if err == nil {
		_, err = proxy.Compile(cfg, pools)
		_, certsErr := certs.New(certs.Options{}).Prepare(cfg.Listeners)
		_, hooksErr := a.webhooks.Prepare(cfg.Webhooks)
		err = errors.Join(certsErr, err, hooksErr)
	}
	if err != nil {
		return admin.Plan{Warnings: plan.Warnings}, mistakesOf(err), nil
	}
	return plan, nil, nil
}

// plan tells what becomes of the pools, on the command's goroutine, so that no
// reload comes between.
func (a *app) plan(cfg *config.Config, plan *admin.Plan) (*balancer.Pools, error) {
	found := a.discovery.Prepare(cfg.Pools)
	full := cfg.WithBackends(found.Backends())
	found.Drop()
	pools, err := a.registry.Compile(full.Pools)
	if err != nil {
		return nil, err
	}
	plan.Changes = config.Diff(a.full, full)
	plan.Backends = planBackends(a.registry.Snapshot(), pools)
	for i := range plan.Backends {
		b := &plan.Backends[i]
		if b.Fate != "retire" && b.Fate != "retired" {
			plan.SocketsStay += b.Sockets
			continue
		}
		plan.SocketsRetire += b.Sockets
		pool, stays := cfg.Pools[b.Pool]
		if !stays {
			pool = a.cfg.Pools[b.Pool]
		}
		if b.Fate == "retire" && b.Sockets > 0 && pool.Drain.WhenRemoved == "drain" {
			b.After = "are drained"
		}
	}
	for pool, m := range a.registry.Moves(pools) {
		plan.Keys += int64(m.Keys)
		plan.KeysMoved += int64(m.Moved)
		if m.Carried {
			plan.KeysCarried = append(plan.KeysCarried, pool)
		}
	}
	slices.Sort(plan.KeysCarried)
	return pools, nil
}

// planBackends tells what becomes of the backends that there are, and which
// come, pool by pool.
func planBackends(now []balancer.BackendStatus, next *balancer.Pools) []admin.PlannedBackend {
	coming := map[balancer.Key]*balancer.Backend{}
	for _, p := range next.All() {
		for _, b := range p.Backends() {
			coming[b.Key()] = b
		}
	}
	var list []admin.PlannedBackend
	for _, was := range now {
		one := admin.PlannedBackend{
			Pool: was.Pool, Name: was.Name, Address: was.Scheme + "://" + was.Address, Sockets: int64(was.Sockets),
		}
		b := coming[was.Key()]
		delete(coming, was.Key())
		switch {
		case b == nil && was.Retired:
			one.Fate = "retired"
		case b == nil:
			one.Fate = "retire"
			if was.Sockets > 0 {
				one.After = "stay until they end"
			}
		case was.Retired:
			one.Fate, one.Name = "return", b.Name()
		case b.Name() != was.Name || b.Weight() != was.Weight || b.MaxConnections() != was.MaxConnections:
			one.Fate, one.Name = "change", b.Name()
		default:
			one.Fate = "stay"
		}
		list = append(list, one)
	}
	for key, b := range coming {
		list = append(list, admin.PlannedBackend{Pool: key.Pool, Name: b.Name(), Address: key.Scheme + "://" + key.Address, Fate: "add"})
	}
	slices.SortStableFunc(list, func(a, b admin.PlannedBackend) int {
		return cmp.Or(cmp.Compare(a.Pool, b.Pool), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Address, b.Address))
	})
	return list
}

// mistakesOf takes an error of a configuration apart.
func mistakesOf(err error) (mistakes []string) {
	var list config.Errors
	if errors.As(err, &list) {
		for _, e := range list {
			mistakes = append(mistakes, e.Error())
		}
		return mistakes
	}
	for _, e := range parts(err) {
		mistakes = append(mistakes, e.Error())
	}
	return mistakes
}
