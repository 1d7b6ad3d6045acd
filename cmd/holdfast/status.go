package main

import (
	"maps"
	"slices"
	"sync"

	"github.com/holdfast-lb/holdfast/admin"
	"github.com/holdfast-lb/holdfast/balancer"
	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/health"
	"github.com/holdfast-lb/holdfast/listener"
	"github.com/holdfast-lb/holdfast/metrics"
	"github.com/holdfast-lb/holdfast/proxy"
	"github.com/holdfast-lb/holdfast/relay"
)

// probeBook remembers the last verdict on each backend, for the admin API.
type probeBook struct {
	mu   sync.Mutex
	last map[balancer.Key]health.Verdict
}

func (b *probeBook) put(key balancer.Key, v health.Verdict) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.last == nil {
		b.last = make(map[balancer.Key]health.Verdict)
	}
	b.last[key] = v
}

// keep forgets the backends that are not in keys.
func (b *probeBook) keep(keys map[balancer.Key]bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for k := range b.last {
		if !keys[k] {
			delete(b.last, k)
		}
	}
}

func (b *probeBook) get(key balancer.Key) (health.Verdict, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	v, ok := b.last[key]
	return v, ok
}

// targets binds the probes of the running configuration to the registry. It is
// for the command's goroutine.
func (a *app) targets() []health.Target {
	var targets []health.Target
	probed := make(map[balancer.Key]bool)
	for _, pool := range a.pools.All() {
		if a.cfg.Pools[pool.Name()].Health.Type == "" {
			continue
		}
		for _, b := range pool.Backends() {
			key := b.Key()
			if b.State().Mode() == balancer.Maintenance {
				continue // it is not expected to answer
			}
			probed[key] = true
			name, backend := pool.Name(), b.Name()
			t := targetOf(b, a.cfg, a.runtime)
			t.Report = func(v health.Verdict) {
				a.probes.put(key, v)
				a.registry.SetReport(key, reported(v.Report)) // first, so that none begins who wants to end
				a.registry.SetHealth(key, v.Up, v.Why, v.At)
				a.metrics.Probe(name, backend, v.OK, v.Latency)
				if v.Changed {
					a.events.Publish(healthEvent(name, backend, v))
				}
			}
			targets = append(targets, t)
		}
	}
	a.probes.keep(probed)
	return targets
}

// targetOf is what probes need of a backend, but for who is told.
func targetOf(b *balancer.Backend, cfg *config.Config, rt *proxy.Runtime) health.Target {
	key := b.Key()
	return health.Target{
		ID:   key.Pool + " " + key.Scheme + "://" + key.Address,
		Pool: key.Pool, Backend: b.Name(), Scheme: key.Scheme, Address: key.Address, Trust: rt.Trust(b),
		SendProxy: cfg.Pools[key.Pool].SendProxy,
		Spec:      cfg.Pools[key.Pool].Health, InitialUp: b.State().Up(),
	}
}

func healthEvent(pool, backend string, v health.Verdict) admin.Event {
	e := admin.Event{Time: v.At, Kind: "health", Level: admin.Warn, Pool: pool, Backend: backend, State: "down", Message: "down: " + v.Why}
	if v.Up {
		e.Level, e.State, e.Message = admin.Info, "up", "up: "+v.Why
	}
	return e
}

// poolStatus is what /api/v1/pools shows.
func (a *app) poolStatus() []admin.Pool {
	cfg := a.running.Load()
	if cfg == nil {
		return nil
	}
	var out []admin.Pool
	index := make(map[string]int)
	sources := a.discovery.Status()
	for _, name := range slices.Sorted(maps.Keys(cfg.Pools)) {
		index[name] = len(out)
		out = append(out, admin.Pool{Name: name, Balance: cfg.Pools[name].Balance,
			Discovery: discoveryStatus(sources, name), Governor: a.governor(name, cfg.Pools[name])})
	}
	for _, b := range a.registry.Snapshot() {
		i, known := index[b.Pool]
		if !known { // a pool that is gone, with sockets that are not
			i = len(out)
			index[b.Pool] = i
			out = append(out, admin.Pool{Name: b.Pool})
		}
		out[i].Panic = out[i].Panic || b.Panic
		out[i].Backends = append(out[i].Backends, a.backendStatus(b))
	}
	return out
}

// governor is what the admin API shows of a pool's limits and queue; nil: it
// has neither.
func (a *app) governor(name string, p config.Pool) *admin.Governor {
	if p.Limits == (config.PoolLimits{}) && p.Queue.Size == 0 {
		return nil
	}
	return &admin.Governor{
		PerSecond: p.Limits.HandshakesPerSecond, PerSecondBackend: p.Limits.HandshakesPerSecondPerBackend,
		Waiting: a.proxy.Waiting(name), Room: p.Queue.Size,
	}
}

func (a *app) backendStatus(b balancer.BackendStatus) admin.Backend {
	s := admin.Backend{
		Name: b.Name, Address: b.Scheme + "://" + b.Address, State: admin.Down, Mode: b.Mode.String(),
		Usable: b.Usable(), Retired: b.Retired,
		Weight: b.Weight, MaxConnections: b.MaxConnections,
		Active:     admin.Active{Sockets: int64(b.Sockets), Requests: int64(b.Requests), Handshakes: int64(b.Handshakes)},
		Handshakes: b.Given,
		Why:        b.Why, Since: b.Since,
		Drain: a.drainStatus(b.Key()), Report: reportStatus(b.Report),
	}
	if b.Ejected {
		s.Ejected = &admin.Ejection{Why: b.Reason, Until: b.Until, Ignored: b.Panic}
	}
	if b.Up {
		s.State = admin.Up
	}
	if v, ok := a.probes.get(balancer.Key{Pool: b.Pool, Scheme: b.Scheme, Address: b.Address}); ok {
		s.LastProbe = &admin.Probe{OK: v.OK, Why: v.Why, At: v.At, Seconds: v.Latency.Seconds()}
	}
	return s
}

// backendSamples is what a scrape of /metrics asks.
func (a *app) backendSamples() []metrics.BackendSample {
	var out []metrics.BackendSample
	for _, b := range a.registry.Snapshot() {
		out = append(out, metrics.BackendSample{
			Pool: b.Pool, Backend: b.Name, Up: b.Up, Mode: b.Mode.String(), Weight: b.Weight, Changed: b.Since, Retired: b.Retired, Ejected: b.Ejected,
			Sockets: int64(b.Sockets), Requests: int64(b.Requests), Handshakes: int64(b.Handshakes),
			Given: b.Given, Report: reportSample(b.Report),
		})
	}
	return out
}

// poolSamples is what a scrape of /metrics asks.
func (a *app) poolSamples() []metrics.PoolSample {
	cfg := a.running.Load()
	if cfg == nil {
		return nil
	}
	out := make([]metrics.PoolSample, 0, len(cfg.Pools))
	for name, p := range cfg.Pools {
		out = append(out, metrics.PoolSample{Pool: name, PerSecond: p.Limits.HandshakesPerSecond,
			PerSecondBackend: p.Limits.HandshakesPerSecondPerBackend, Room: p.Queue.Size})
	}
	return out
}

// certificateSamples is what a scrape of /metrics asks.
func (a *app) certificateSamples() []metrics.CertificateSample {
	var out []metrics.CertificateSample
	for _, c := range a.certs.List() {
		out = append(out, metrics.CertificateSample{Name: c.Name, Key: c.Key, Expires: c.Expires})
	}
	return out
}

// relaySample is what a scrape of /metrics asks.
func (a *app) relaySample() metrics.RelaySample {
	s := a.relay.Stats()
	flow := func(side int) metrics.FlowSample {
		f := &s.Frames[side]
		return metrics.FlowSample{
			Bytes:        s.Bytes[side],
			Continuation: f[relay.Continuation], Text: f[relay.Text], Binary: f[relay.Binary],
			Close: f[relay.CloseFrame], Ping: f[relay.Ping], Pong: f[relay.Pong],
		}
	}
	return metrics.RelaySample{
		ClientToBackend: flow(relay.Client), BackendToClient: flow(relay.Backend), OpenPairs: s.Pairs,
	}
}

// meter lets a listener count without knowing metrics.
type meter struct{ *metrics.Listener }

var refusals = map[listener.Refusal]metrics.Refusal{
	listener.RefusedMaxConnections:      metrics.RefusedMaxConnections,
	listener.RefusedMaxConnectionsPerIP: metrics.RefusedMaxConnectionsPerIP,
	listener.RefusedHandshakeRate:       metrics.RefusedHandshakeRate,
	listener.RefusedDescriptors:         metrics.RefusedDescriptors,
	listener.RefusedProxyHeader:         metrics.RefusedProxyHeader,
	listener.RefusedMemory:              metrics.RefusedMemory,
}

// Refused implements [listener.Meter].
func (m meter) Refused(r listener.Refusal) { m.Listener.Refused(refusals[r]) }
