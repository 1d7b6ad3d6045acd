package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// DiscoverySample is the source of one pool's backends at the time of a scrape.
type DiscoverySample struct {
	Pool     string
	Backends int       // in the last good answer
	OK       bool      // the last answer was good
	Answered time.Time // when the last good one came; zero: none has
}

// discoveryCollector exports sources as their owner describes them at the scrape.
type discoveryCollector struct {
	source source[[]DiscoverySample]

	backends, ok, answered *prometheus.Desc
}

func newDiscoveryCollector() *discoveryCollector {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, []string{"pool"}, nil)
	}
	return &discoveryCollector{
		backends: desc("holdfast_discovery_backends",
			"Backends in the last good answer of a pool's discovery."),
		ok: desc("holdfast_discovery_ok",
			"1 when the last answer of a pool's discovery was good, 0 while the one before it stays."),
		answered: desc("holdfast_discovery_last_success_timestamp_seconds",
			"Unix time of the last good answer of a pool's discovery; absent before the first."),
	}
}

// SetDiscovery names the function that a scrape asks for the sources of backends.
// It must be safe to call from any goroutine; nil is none.
func (m *Metrics) SetDiscovery(source func() []DiscoverySample) {
	m.discovery.source.set(source)
}

func (c *discoveryCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.backends
	ch <- c.ok
	ch <- c.answered
}

func (c *discoveryCollector) Collect(ch chan<- prometheus.Metric) {
	samples, _ := c.source.ask()
	for _, s := range samples {
		emit(ch, c.backends, prometheus.GaugeValue, float64(s.Backends), s.Pool)
		emit(ch, c.ok, prometheus.GaugeValue, oneIf(s.OK), s.Pool)
		if !s.Answered.IsZero() {
			emit(ch, c.answered, prometheus.GaugeValue, float64(s.Answered.UnixMilli())/1000, s.Pool)
		}
	}
}
