package main

import (
	"cmp"
	"fmt"
	"time"

	"github.com/holdfast-lb/holdfast/admin"
	"github.com/holdfast-lb/holdfast/balancer"
	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/drain"
	"github.com/holdfast-lb/holdfast/internal/spelling"
	"github.com/holdfast-lb/holdfast/proxy"
)

// newDrainer joins what drains need of the other parts.
func (a *app) newDrainer() *drain.Drainer {
	return drain.New(drain.Options{
		Sockets: func(key balancer.Key) (ids []uint64) {
			a.proxy.Sockets(func(s *proxy.OpenSocket) bool {
				if s.Backend == key && !s.Leaving {
					ids = append(ids, s.ID)
				}
				return true
			})
			return ids
		},
		Left: func(key balancer.Key) int {
			c, _ := a.registry.Counts(key)
			return c.Sockets + c.Handshakes
		},
		Close: func(id uint64, code uint16) bool {
			return a.relay.End(id, code, drain.Reason, drain.Grace)
		},
		Told:  func(key balancer.Key, forced bool) { a.metrics.Drained(key.Pool, forced) },
		Ended: a.drained,
	})
}

// drained notes that a backend is empty.
func (a *app) drained(p drain.Progress) {
	name, live := a.nameOf(p.Key)
	name = cmp.Or(name, p.Name)
	took := p.Expected.Sub(p.Began).Round(time.Millisecond)
	a.log.Info("drain ended", "pool", p.Key.Pool, "backend", name, "sockets", p.Sockets,
		"closed", p.Closed, "forced", p.Forced, "took", took.String())
	a.events.Publish(admin.Event{Kind: "drain", Level: admin.Info, Pool: p.Key.Pool, Backend: name, State: "done",
		Message: fmt.Sprintf("empty after %s: %s closed, %d of them at the deadline", took, spelling.Count(p.Closed+p.Forced, "socket"), p.Forced)})
	if !live {
		a.drainer.Stop(p.Key)
	}
}

// nameOf is a backend's name, empty once nothing knows it any more.
// live tells that the running configuration has it.
func (a *app) nameOf(key balancer.Key) (name string, live bool) {
	for _, b := range a.registry.Snapshot() {
		if b.Key() == key {
			return b.Name, !b.Retired
		}
	}
	return "", false
}

// drainPolicy is how a pool is drained, also one that is gone.
func (a *app) drainPolicy(pool string) config.Drain {
	if p, ok := a.cfg.Pools[pool]; ok {
		return p.Drain
	}
	return config.DefaultDrain()
}

// startDrain begins a drain, or gives one that is under way another deadline.
// What it says comes first: an empty backend is drained at once.
func (a *app) startDrain(key balancer.Key, name string, policy config.Drain, deadline time.Duration) {
	c, _ := a.registry.Counts(key)
	sockets := c.Sockets + c.Handshakes
	until := time.Now().Add(cmp.Or(deadline, policy.Deadline)).Format(time.RFC3339)
	a.log.Info("drain begins", "pool", key.Pool, "backend", name, "sockets", sockets,
		"deadline", until, "closes_per_second", policy.ClosesPerSecond)
	a.events.Publish(admin.Event{Kind: "drain", Level: admin.Info, Pool: key.Pool, Backend: name, State: "begun",
		Message: fmt.Sprintf("begins with %s, until %s", spelling.Count(sockets, "socket"), until)})
	a.drainer.Start(key, name, policy, deadline)
}

// carryDrains brings the drains from the configuration before a reload into
// that after it: those of backends that came back end, those of the others go
// on, and backends that went may begin one.
func (a *app) carryDrains(was *config.Config, before, now *balancer.Pools) {
	live := make(map[balancer.Key]*balancer.Backend)
	for _, p := range now.All() {
		a.drainer.SetPolicy(p.Name(), a.cfg.Pools[p.Name()].Drain)
		for _, b := range p.Backends() {
			live[b.Key()] = b
		}
	}
	for _, key := range a.drainer.Keys() {
		if b := live[key]; b != nil && b.State().Mode() == balancer.Ready && !b.State().AsksDrain() {
			a.drainer.Stop(key)
		}
	}
	if before == nil {
		return
	}
	for _, p := range before.All() {
		c, stays := a.cfg.Pools[p.Name()]
		if !stays {
			c = was.Pools[p.Name()]
		}
		for _, b := range p.Backends() {
			if live[b.Key()] != nil || c.Drain.WhenRemoved != "drain" {
				continue
			}
			if _, begun := a.drainer.Of(b.Key()); !begun && b.State().Active() > 0 {
				a.startDrain(b.Key(), b.Name(), c.Drain, 0)
			}
		}
	}
}

// drainStatus is what the admin API shows of a drain; nil: there is none.
func (a *app) drainStatus(key balancer.Key) *admin.Drain {
	p, ok := a.drainer.Of(key)
	if !ok {
		return nil
	}
	return &admin.Drain{
		Began: p.Began, Deadline: p.Deadline, Expected: p.Expected, Sockets: int64(p.Sockets),
		Left: int64(p.Left), Closed: int64(p.Closed), Forced: int64(p.Forced),
	}
}
