package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
)

// MemorySample is how near the process is to its limit of memory, in bytes.
type MemorySample struct {
	Limit, Used int64
	Short       bool // nothing new is taken
}

// memoryCollector exports what its source says at the scrape; nothing without a
// limit.
type memoryCollector struct {
	source             source[MemorySample]
	limit, used, short *prometheus.Desc
}

func newMemoryCollector() *memoryCollector {
	return &memoryCollector{
		limit: prometheus.NewDesc("holdfast_memory_limit_bytes", "GOMEMLIMIT; absent without one.", nil, nil),
		used:  prometheus.NewDesc("holdfast_memory_used_bytes", "What is in use of GOMEMLIMIT and is no garbage; absent without one.", nil, nil),
		short: prometheus.NewDesc("holdfast_memory_short", "1 while so much of GOMEMLIMIT is in use that nothing new is taken; absent without one.", nil, nil),
	}
}

// SetMemory names the function that a scrape asks how memory is. It must be
// safe to call from any goroutine. It replaces the one named before; nil is
// none.
func (m *Metrics) SetMemory(source func() MemorySample) {
	m.memory.source.set(source)
}

func (c *memoryCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.limit
	ch <- c.used
	ch <- c.short
}

func (c *memoryCollector) Collect(ch chan<- prometheus.Metric) {
	s, _ := c.source.ask()
	if s.Limit == 0 {
		return
	}
	emit(ch, c.limit, prometheus.GaugeValue, float64(s.Limit))
	emit(ch, c.used, prometheus.GaugeValue, float64(s.Used))
	emit(ch, c.short, prometheus.GaugeValue, oneIf(s.Short))
}
