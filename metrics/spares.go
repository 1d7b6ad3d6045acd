package metrics

import "github.com/prometheus/client_golang/prometheus"

// spareVecs count the connections of `warm`.
type spareVecs struct {
	handshakes *prometheus.CounterVec
	stale      *prometheus.CounterVec
	ready      *prometheus.GaugeVec
}

func newSpareVecs() spareVecs {
	pool := []string{"pool"}
	return spareVecs{
		handshakes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "holdfast_warm_handshakes_total",
			Help: "WebSocket handshakes in pools with warm connections, by whether one was ready: used or none.",
		}, []string{"pool", "result"}),
		stale: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "holdfast_warm_stale_total",
			Help: "Warm connections that their backend had given up before they were used.",
		}, pool),
		ready: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "holdfast_warm_connections",
			Help: "Warm connections that are ready now.",
		}, pool),
	}
}

func (v *spareVecs) collectors() []prometheus.Collector {
	return []prometheus.Collector{v.handshakes, v.stale, v.ready}
}

// Spares counts the warm connections of one pool. Its methods take no lock and
// allocate nothing.
type Spares struct {
	used, missed, stale prometheus.Counter
	ready               prometheus.Gauge
}

// Spares returns the counters of a pool. It takes a lock: call it when a
// configuration is compiled.
func (m *Metrics) Spares(pool string) *Spares {
	v := &m.spares
	return &Spares{
		used:   v.handshakes.WithLabelValues(pool, "used"),
		missed: v.handshakes.WithLabelValues(pool, "none"),
		stale:  v.stale.WithLabelValues(pool),
		ready:  v.ready.WithLabelValues(pool),
	}
}

// Used counts a handshake that began on a warm connection.
func (s *Spares) Used() { s.used.Inc() }

// Missed counts a handshake that found none.
func (s *Spares) Missed() { s.missed.Inc() }

// Stale counts a warm connection that its backend had given up.
func (s *Spares) Stale() { s.stale.Inc() }

// Ready counts n more that are ready.
func (s *Spares) Ready(n int) { s.ready.Add(float64(n)) }
