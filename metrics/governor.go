package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
)

// PoolSample is what bounds the WebSocket handshakes of one pool at the time
// of a scrape.
type PoolSample struct {
	Pool             string
	PerSecond        int // in the pool; 0: no limit
	PerSecondBackend int // 0: no limit
	Room             int // for how many to wait
}

// governorCollector exports limits as their owner describes them at the
// scrape, so that counts can be shown beside them.
type governorCollector struct {
	source      source[[]PoolSample]
	limit, room *prometheus.Desc
}

func newGovernorCollector() *governorCollector {
	return &governorCollector{
		limit: prometheus.NewDesc("holdfast_handshakes_per_second_limit",
			"WebSocket handshakes a second that are let through, of a pool or of each of its backends; absent: no limit.", []string{"pool", "of"}, nil),
		room: prometheus.NewDesc("holdfast_queue_size",
			"For how many WebSocket handshakes there is room to wait.", []string{"pool"}, nil),
	}
}

// SetPools names the function that a scrape asks for the pools. It must be safe
// to call from any goroutine. It replaces the one named before; nil is none.
func (m *Metrics) SetPools(source func() []PoolSample) {
	m.governor.source.set(source)
}

// Describe implements [prometheus.Collector].
func (c *governorCollector) Describe(descs chan<- *prometheus.Desc) {
	descs <- c.limit
	descs <- c.room
}

// Collect implements [prometheus.Collector].
func (c *governorCollector) Collect(out chan<- prometheus.Metric) {
	samples, _ := c.source.ask()
	for _, s := range samples {
		if s.PerSecond > 0 {
			emit(out, c.limit, prometheus.GaugeValue, float64(s.PerSecond), s.Pool, "pool")
		}
		if s.PerSecondBackend > 0 {
			emit(out, c.limit, prometheus.GaugeValue, float64(s.PerSecondBackend), s.Pool, "backend")
		}
		emit(out, c.room, prometheus.GaugeValue, float64(s.Room), s.Pool)
	}
}
