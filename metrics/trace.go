package metrics

import "github.com/prometheus/client_golang/prometheus"

// SpanResult says what became of spans.
type SpanResult string

// The results. What was recorded and neither exported nor failed waits, or was
// dropped since too many were waiting.
const (
	SpansRecorded SpanResult = "recorded"
	SpansExported SpanResult = "exported"
	SpansFailed   SpanResult = "failed"
)

// spanCounters are one for each result.
type spanCounters struct {
	vec *prometheus.CounterVec
	by  map[SpanResult]prometheus.Counter
}

func newSpanCounters() *spanCounters {
	c := &spanCounters{
		vec: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "holdfast_trace_spans_total",
			Help: "Spans of traces that are kept, by result: recorded, and of those exported or failed; the rest waits or was dropped.",
		}, []string{"result"}),
		by: make(map[SpanResult]prometheus.Counter),
	}
	for _, r := range []SpanResult{SpansRecorded, SpansExported, SpansFailed} {
		c.by[r] = c.vec.WithLabelValues(string(r))
	}
	return c
}

// Spans counts spans. It takes no lock and allocates nothing.
func (m *Metrics) Spans(r SpanResult, n int) { m.spans.by[r].Add(float64(n)) }
