package metrics

import "github.com/prometheus/client_golang/prometheus"

// emit sends one sample, or the reason why it cannot be one (a label value
// that is not UTF-8), which the scrape leaves out.
func emit(ch chan<- prometheus.Metric, desc *prometheus.Desc, kind prometheus.ValueType, value float64, labels ...string) {
	metric, err := prometheus.NewConstMetric(desc, kind, value, labels...)
	if err != nil {
		metric = prometheus.NewInvalidMetric(desc, err)
	}
	ch <- metric
}

// oneIf is how Prometheus writes a truth value.
func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
