package main

import (
	"fmt"
	"time"

	"github.com/holdfast-lb/holdfast/admin"
	"github.com/holdfast-lb/holdfast/balancer"
	"github.com/holdfast-lb/holdfast/relay"
)

// eventsKept is how many events the admin API remembers.
const eventsKept = 1000

var errEnding = admin.Conflict("stopping", "the process is ending", "ask the one that takes its place")

// control is what the admin API may do.
func (a *app) control() admin.Control {
	c := admin.Control{SetMode: a.setMode}
	if a.source != nil {
		c.Reload, c.Plan, c.Upgrade = a.orderReload, a.orderPlan, a.orderUpgrade
	}
	return c
}

// onCommand has the command's goroutine run f, and returns when it has. It is
// false if that goroutine is ending the process and runs nothing else.
func (a *app) onCommand(f func()) bool {
	done := make(chan struct{})
	select {
	case a.orders <- func() { defer close(done); f() }:
		<-done
		return true
	case <-a.ending:
		return false
	}
}

// nudge has whoever follows c do what is to be done once more. It does not wait.
func nudge(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// follow has f done on the command's goroutine after each nudge, until the
// process ends.
func (a *app) follow(c <-chan struct{}, f func()) {
	for {
		select {
		case <-c:
			if !a.onCommand(f) {
				return
			}
		case <-a.ending:
			return
		}
	}
}

// orderReload is reload for other goroutines.
func (a *app) orderReload() (outcome admin.Outcome, err error) {
	if !a.onCommand(func() {
		if err = a.settled(); err == nil {
			outcome = a.reload()
		}
	}) {
		return outcome, errEnding
	}
	return outcome, err
}

// settled refuses orders during an upgrade: the successor knows what was before.
func (a *app) settled() error {
	if a.succession != nil {
		return errUpgrading
	}
	return nil
}

var modes = map[string]balancer.Mode{
	"ready": balancer.Ready, "drain": balancer.Drain, "maintenance": balancer.Maintenance,
}

// setMode obeys an operator's order for one backend or a whole pool.
func (a *app) setMode(o admin.Order) (err error) {
	if !a.onCommand(func() { err = a.obey(o) }) {
		return errEnding
	}
	return err
}

// obey is setMode on the command's goroutine, so that no reload comes between.
func (a *app) obey(o admin.Order) error {
	if err := a.settled(); err != nil {
		return err
	}
	list, err := a.meant(o)
	if err != nil {
		return err
	}
	probes := false
	mode := modes[o.Mode]
	for _, b := range list {
		key := b.Key()
		if b.Retired && mode == balancer.Maintenance {
			return admin.Conflict("retired", fmt.Sprintf("%s/%s is retired", b.Pool, b.Name),
				"it gets nothing new and is not probed; a drain has its sockets leave")
		}
		if (b.Retired || b.Mode != mode) && a.registry.SetMode(key, mode) {
			a.log.Info("mode changed", "pool", b.Pool, "backend", b.Name, "from", b.Mode.String(), "to", o.Mode)
			a.events.Publish(admin.Event{Kind: "mode", Level: admin.Info, Pool: b.Pool, Backend: b.Name, State: o.Mode,
				Message: fmt.Sprintf("%s, was %s", o.Mode, b.Mode)})
			probes = probes || mode == balancer.Maintenance || b.Mode == balancer.Maintenance
		}
		switch mode {
		case balancer.Drain:
			if _, under := a.drainer.Of(key); !under || o.Deadline > 0 {
				a.startDrain(key, b.Name, a.drainPolicy(b.Pool), o.Deadline)
			}
		case balancer.Ready:
			if b.Retired || !b.AsksDrain() {
				a.drainer.Stop(key)
			}
		}
	}
	if probes {
		a.prober.Reconcile(a.targets())
	}
	return nil
}

// meant are the backends that an order is for. Those that are retired have no
// mode any more, but sockets that may be drained; they are meant where there
// are no others.
func (a *app) meant(o admin.Order) ([]balancer.BackendStatus, error) {
	var current, retired []balancer.BackendStatus
	_, known := a.cfg.Pools[o.Pool]
	for _, b := range a.registry.Snapshot() {
		if b.Pool != o.Pool {
			continue
		}
		known = true
		switch {
		case o.Backend != "" && b.Name != o.Backend:
		case b.Retired:
			retired = append(retired, b)
		default:
			current = append(current, b)
		}
	}
	switch {
	case len(current) > 0:
		return current, nil
	case len(retired) > 0:
		return retired, nil
	case !known:
		return nil, admin.NoPool(o.Pool)
	}
	return nil, admin.NoBackend(o.Pool, o.Backend)
}

// Ten minutes of samples, one a second.
const (
	samplesKept    = 601
	sampleInterval = time.Second
)

// sample adds to the history until the process ends.
func (a *app) sample() {
	tick := time.NewTicker(sampleInterval)
	defer tick.Stop()
	for {
		total := a.relay.Stats()
		s := admin.Sample{
			At:              time.Now().UnixMilli(),
			ClientToBackend: flow(&total, relay.Client),
			BackendToClient: flow(&total, relay.Backend),
		}
		for _, b := range a.registry.Snapshot() {
			s.Active.Sockets += int64(b.Sockets)
			s.Active.Requests += int64(b.Requests)
			s.Active.Handshakes += int64(b.Handshakes)
		}
		a.history.Add(s)
		select {
		case <-tick.C:
		case <-a.ending:
			return
		}
	}
}

// processStatus is what /api/v1/status shows beside what package admin knows.
func (a *app) processStatus() admin.Status {
	st := admin.Status{Began: a.began}
	if c := a.loaded.Load(); c != nil {
		st.Configuration = *c
	}
	total := a.relay.Stats()
	st.ClientToBackend = flow(&total, relay.Client)
	st.BackendToClient = flow(&total, relay.Backend)
	return st
}

func flow(s *relay.Stats, side int) admin.Flow {
	f := admin.Flow{Bytes: s.Bytes[side]}
	for _, n := range s.Frames[side] {
		f.Frames += n
	}
	return f
}
