package metrics

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// socketCollector exports what sockets show of their backends.
type socketCollector struct {
	handshakes, lives, trips *prometheus.HistogramVec

	mu    sync.Mutex // held while known is replaced
	known atomic.Pointer[map[backendKey]*backendSockets]
}

// backendSockets are one backend's.
type backendSockets struct{ handshake, life prometheus.Observer }

func newSocketCollector() *socketCollector {
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(
			prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, append([]string{"pool", "backend"}, labels...))
	}
	c := &socketCollector{
		handshakes: histogram("holdfast_backend_handshake_duration_seconds",
			"Time from a handshake's header to its 101, by the backend that accepted.", latencyBuckets),
		lives: histogram("holdfast_backend_socket_duration_seconds",
			"Time that a WebSocket was open, by its backend.", lifetimeBuckets),
		trips: histogram("holdfast_socket_round_trip_seconds",
			"Time that a Ping of Holdfast's took to be answered, by the backend of the socket and the side that answered: client or backend.",
			latencyBuckets[:len(latencyBuckets)-1], "side"),
	}
	c.known.Store(&map[backendKey]*backendSockets{})
	return c
}

// SocketOpened counts a WebSocket of that backend whose handshake took so long.
// As with the next two, the counts of a backend that SetBackends' function no
// longer names are forgotten at the next scrape. But for the first time of a
// backend it takes no lock and allocates nothing.
func (m *Metrics) SocketOpened(pool, backend string, d time.Duration) {
	m.backends.sockets.of(pool, backend).handshake.Observe(d.Seconds())
}

// SocketClosed is its end, after so long.
func (m *Metrics) SocketClosed(pool, backend string, d time.Duration) {
	m.backends.sockets.of(pool, backend).life.Observe(d.Seconds())
}

// RoundTrip counts one answered Ping of a socket to that backend, which
// answered itself, or its client did. It takes a lock, for a few instructions.
func (m *Metrics) RoundTrip(pool, backend string, itself bool, d time.Duration) {
	side := "client"
	if itself {
		side = "backend"
	}
	c := m.backends.sockets
	c.of(pool, backend)
	c.trips.WithLabelValues(pool, backend, side).Observe(d.Seconds())
}

func (c *socketCollector) of(pool, backend string) *backendSockets {
	key := backendKey{pool, backend}
	if s := (*c.known.Load())[key]; s != nil {
		return s
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	known := maps.Clone(*c.known.Load())
	if known[key] == nil {
		known[key] = &backendSockets{c.handshakes.WithLabelValues(pool, backend), c.lives.WithLabelValues(pool, backend)}
		c.known.Store(&known)
	}
	return known[key]
}

func (c *socketCollector) vecs() []*prometheus.HistogramVec {
	return []*prometheus.HistogramVec{c.handshakes, c.lives, c.trips}
}

// collect exports the histograms of the current backends and forgets the
// others'. A nil map means that nobody knows which are current: all are kept.
func (c *socketCollector) collect(ch chan<- prometheus.Metric, current map[backendKey]bool) {
	c.mu.Lock()
	known := maps.Clone(*c.known.Load())
	for key := range known {
		if current != nil && !current[key] {
			delete(known, key)
			for _, vec := range c.vecs() {
				vec.DeletePartialMatch(prometheus.Labels{"pool": key.pool, "backend": key.backend})
			}
		}
	}
	c.known.Store(&known)
	c.mu.Unlock()
	for _, vec := range c.vecs() {
		vec.Collect(ch)
	}
}
