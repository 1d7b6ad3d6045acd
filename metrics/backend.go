package metrics

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// BackendSample is one backend at the time of a scrape.
type BackendSample struct {
	Pool, Backend string
	Up            bool
	Mode          string // ready, drain or maintenance
	Weight        int
	Changed       time.Time // of the last change of Up; zero: never
	Sockets       int64     // open
	Requests      int64     // in flight
	Handshakes    int64     // under way
	Given         uint64    // handshakes that it was picked for
	// Retired marks a backend that no configuration names any more but that
	// still serves sockets. Only its counts are exported, added to those of
	// a backend that took its name.
	Retired bool
	Ejected bool // by live traffic
	Report  *ReportSample
}

// ReportSample is what a backend says of itself.
type ReportSample struct {
	Load     float64 // 0 to 1; negative: not told
	Capacity int     // 0: not told
	Drain    bool    // it wants to be drained
}

// backendKey is what tells series of backends apart.
type backendKey struct{ pool, backend string }

// probeCount is one backend's probes since the process began.
type probeCount struct{ ok, failed atomic.Uint64 }

// backendCollector exports backends as their owner describes them at the
// scrape, and the probes and sockets of those that it names.
type backendCollector struct {
	source source[[]BackendSample]

	mu     sync.Mutex // guards probes
	probes map[backendKey]*probeCount

	sockets *socketCollector

	up, mode, weight, active, changed, probed, ejected, given *prometheus.Desc

	load, capacity, asksDrain *prometheus.Desc // what it reports
}

func newBackendCollector() *backendCollector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, append([]string{"pool", "backend"}, labels...), nil)
	}
	return &backendCollector{
		probes:  make(map[backendKey]*probeCount),
		sockets: newSocketCollector(),
		up: desc("holdfast_backend_up",
			"1 when health checks find the backend up, or none are configured."),
		mode: desc("holdfast_backend_mode",
			"Always 1; the label says what the operator wants of the backend: ready, drain or maintenance.", "mode"),
		weight: desc("holdfast_backend_weight",
			"Weight in the running configuration."),
		active: desc("holdfast_backend_active",
			"What the backend carries now, by kind: socket (open), request (in flight), handshake (under way).", "kind"),
		changed: desc("holdfast_backend_last_change_timestamp_seconds",
			"Unix time at which the backend last went up or down; absent before the first change."),
		given: desc("holdfast_backend_handshakes_total",
			"WebSocket handshakes that the backend was picked for."),
		ejected: desc("holdfast_backend_ejected",
			"1 while live traffic keeps the backend out."),
		load: desc("holdfast_backend_reported_load",
			"How full the backend says that it is, 0 to 1; absent while it does not."),
		capacity: desc("holdfast_backend_reported_capacity",
			"Sockets that the backend says it can hold; absent while it does not."),
		asksDrain: desc("holdfast_backend_reported_drain",
			"1 while the backend asks to be drained, 0 while its reports do not; absent while it sends none."),
		probed: desc("holdfast_probes_total",
			"Health probes by result: success or failure.", "result"),
	}
}

// SetBackends names the function that a scrape asks for the backends. It must
// be safe to call from any goroutine; the slice is the scrape's to keep. It
// replaces the one named before; nil is none.
func (m *Metrics) SetBackends(source func() []BackendSample) {
	m.backends.source.set(source)
}

// Probe counts one finished health probe. It takes a lock, which probes can
// afford. The counts of a backend that SetBackends' function no longer names
// are forgotten at the next scrape.
func (m *Metrics) Probe(pool, backend string, ok bool, d time.Duration) {
	count := m.backends.probe(backendKey{pool, backend})
	if ok {
		count.ok.Add(1)
	} else {
		count.failed.Add(1)
	}
	m.probeDuration.WithLabelValues(pool).Observe(d.Seconds())
}

func (c *backendCollector) probe(key backendKey) *probeCount {
	c.mu.Lock()
	defer c.mu.Unlock()
	count := c.probes[key]
	if count == nil {
		count = new(probeCount)
		c.probes[key] = count
	}
	return count
}

func (c *backendCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{c.up, c.mode, c.weight, c.active, c.changed, c.probed, c.ejected, c.given, c.load, c.capacity, c.asksDrain} {
		ch <- desc
	}
	for _, vec := range c.sockets.vecs() {
		vec.Describe(ch)
	}
}

func (c *backendCollector) Collect(ch chan<- prometheus.Metric) {
	samples, ok := c.source.ask()
	if !ok {
		c.collectProbes(ch, nil)
		c.sockets.collect(ch, nil)
		return
	}
	current := make(map[backendKey]bool)
	active := make(map[backendKey][3]int64)
	for _, s := range samples {
		key := backendKey{s.Pool, s.Backend}
		sum := active[key]
		active[key] = [3]int64{sum[0] + s.Sockets, sum[1] + s.Requests, sum[2] + s.Handshakes}
		// One bad duplicate would make the registry refuse the whole family.
		if s.Retired || current[key] {
			continue
		}
		current[key] = true
		emit(ch, c.up, prometheus.GaugeValue, oneIf(s.Up), s.Pool, s.Backend)
		emit(ch, c.ejected, prometheus.GaugeValue, oneIf(s.Ejected), s.Pool, s.Backend)
		emit(ch, c.given, prometheus.CounterValue, float64(s.Given), s.Pool, s.Backend)
		emit(ch, c.mode, prometheus.GaugeValue, 1, s.Pool, s.Backend, s.Mode)
		emit(ch, c.weight, prometheus.GaugeValue, float64(s.Weight), s.Pool, s.Backend)
		if !s.Changed.IsZero() {
			emit(ch, c.changed, prometheus.GaugeValue, float64(s.Changed.UnixMilli())/1000, s.Pool, s.Backend)
		}
		c.collectReport(ch, &s)
	}
	for key, sum := range active {
		for i, kind := range [...]string{"socket", "request", "handshake"} {
			emit(ch, c.active, prometheus.GaugeValue, float64(sum[i]), key.pool, key.backend, kind)
		}
	}
	c.collectProbes(ch, current)
	c.sockets.collect(ch, current)
}

func (c *backendCollector) collectReport(ch chan<- prometheus.Metric, s *BackendSample) {
	r := s.Report
	if r == nil {
		return
	}
	emit(ch, c.asksDrain, prometheus.GaugeValue, oneIf(r.Drain), s.Pool, s.Backend)
	if r.Load >= 0 {
		emit(ch, c.load, prometheus.GaugeValue, r.Load, s.Pool, s.Backend)
	}
	if r.Capacity > 0 {
		emit(ch, c.capacity, prometheus.GaugeValue, float64(r.Capacity), s.Pool, s.Backend)
	}
}

// collectProbes exports the probes of the current backends and forgets the
// others'. A nil map means that nobody knows which are current: all are kept.
func (c *backendCollector) collectProbes(ch chan<- prometheus.Metric, current map[backendKey]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, count := range c.probes {
		if current != nil && !current[key] {
			delete(c.probes, key)
			continue
		}
		emit(ch, c.probed, prometheus.CounterValue, float64(count.ok.Load()), key.pool, key.backend, "success")
		emit(ch, c.probed, prometheus.CounterValue, float64(count.failed.Load()), key.pool, key.backend, "failure")
	}
}
