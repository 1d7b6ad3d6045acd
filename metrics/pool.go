package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// poolVecs count what happens to a whole pool.
type poolVecs struct {
	drainCloses *prometheus.CounterVec
	queued      *prometheus.CounterVec
	queueTime   *prometheus.HistogramVec
	waiting     *prometheus.GaugeVec
	ejections   *prometheus.CounterVec
	panics      *prometheus.GaugeVec
}

func newPoolVecs() poolVecs {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, append([]string{"pool"}, labels...))
	}
	return poolVecs{
		drainCloses: counter("holdfast_drain_closes_total",
			"Sockets whose client was told to end by a drain: paced, or at its deadline.", "when"),
		queued: counter("holdfast_queue_handshakes_total",
			"WebSocket handshakes that had to wait for a backend, by result: served, timeout, client_gone, full (turned away at once).", "result"),
		queueTime: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "holdfast_queue_wait_seconds",
			Help:    "Time that a handshake waited before its backend was chosen, of those that had to.",
			Buckets: latencyBuckets,
		}, []string{"pool"}),
		ejections: counter("holdfast_ejections_total",
			"Times that live traffic has taken a backend out.", "backend"),
		panics: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "holdfast_pool_panic",
			Help: "1 while ejections leave less than half of a pool, so that they are ignored.",
		}, []string{"pool"}),
		waiting: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "holdfast_queue_waiting",
			Help: "WebSocket handshakes that wait for a backend now.",
		}, []string{"pool"}),
	}
}

func (v *poolVecs) collectors() []prometheus.Collector {
	return []prometheus.Collector{v.drainCloses, v.queued, v.queueTime, v.waiting, v.ejections, v.panics}
}

// Drained counts a socket that a drain has closed, at its deadline or before.
// It takes a lock, which a paced thing can afford.
func (m *Metrics) Drained(pool string, atDeadline bool) {
	when := "paced"
	if atDeadline {
		when = "deadline"
	}
	m.pools.drainCloses.WithLabelValues(pool, when).Inc()
}

// Ejected counts an ejection. It takes a lock.
func (m *Metrics) Ejected(pool, backend string) {
	m.pools.ejections.WithLabelValues(pool, backend).Inc()
}

// Forget drops what is counted of a backend that is gone for good. Its probes are
// forgotten at the next scrape.
func (m *Metrics) Forget(pool, backend string) {
	m.pools.ejections.DeleteLabelValues(pool, backend)
}

// Panic tells whether a pool is below its panic floor. It takes a lock.
func (m *Metrics) Panic(pool string, on bool) {
	m.pools.panics.WithLabelValues(pool).Set(oneIf(on))
}

// Queue counts the handshakes of one pool that have to wait. Its methods take no
// lock and allocate nothing.
type Queue struct {
	served, timedOut, left, full prometheus.Counter
	wait                         prometheus.Observer
	waiting                      prometheus.Gauge
}

// Queue returns the counters of a pool, always the same for the same name. It
// takes a lock: call it when a configuration is compiled.
func (m *Metrics) Queue(pool string) *Queue {
	v := m.pools.queued
	return &Queue{
		served:   v.WithLabelValues(pool, "served"),
		timedOut: v.WithLabelValues(pool, "timeout"),
		left:     v.WithLabelValues(pool, "client_gone"),
		full:     v.WithLabelValues(pool, "full"),
		wait:     m.pools.queueTime.WithLabelValues(pool),
		waiting:  m.pools.waiting.WithLabelValues(pool),
	}
}

// Came counts a handshake as waiting. Gone must follow exactly once.
func (q *Queue) Came() { q.waiting.Inc() }

// Gone ends what Came began.
func (q *Queue) Gone() { q.waiting.Dec() }

// Served counts a handshake that has waited for so long and begins now.
func (q *Queue) Served(waited time.Duration) {
	q.served.Inc()
	q.wait.Observe(waited.Seconds())
}

// TimedOut counts a handshake that has waited in vain.
func (q *Queue) TimedOut() { q.timedOut.Inc() }

// Left counts a handshake whose client left while it waited.
func (q *Queue) Left() { q.left.Inc() }

// Full counts a handshake that found no place to wait.
func (q *Queue) Full() { q.full.Inc() }
