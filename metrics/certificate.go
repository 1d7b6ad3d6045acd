package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// CertificateSample is one certificate in use at the time of a scrape.
type CertificateSample struct {
	Name    string // the first host that it is for
	Key     string // ecdsa, rsa or ed25519
	Expires time.Time
}

// certificateCollector exports certificates as their owner describes them at
// the scrape, and counts how reading them went.
type certificateCollector struct {
	source     source[[]CertificateSample]
	expires    *prometheus.Desc
	loads      *prometheus.CounterVec
	ok, failed prometheus.Counter
}

func newCertificateCollector() *certificateCollector {
	loads := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "holdfast_certificate_loads_total",
		Help: "Certificates and authorities of clients read to be used, by result: success or failure. After a failure those before it stay in use.",
	}, []string{"result"})
	return &certificateCollector{
		loads: loads, ok: loads.WithLabelValues("success"), failed: loads.WithLabelValues("failure"),
		expires: prometheus.NewDesc("holdfast_certificate_expiry_timestamp_seconds",
			"Unix time at which a certificate ends, by the first name that it has and the kind of its key; the earliest, if several have both.",
			[]string{"name", "key"}, nil),
	}
}

// SetCertificates names the function that a scrape asks for the certificates
// in use. It must be safe to call from any goroutine. It replaces the one named
// before; nil is none.
func (m *Metrics) SetCertificates(source func() []CertificateSample) {
	m.certificates.source.set(source)
}

// CertificateLoaded counts an attempt to read a certificate.
func (m *Metrics) CertificateLoaded(ok bool) {
	if ok {
		m.certificates.ok.Inc()
	} else {
		m.certificates.failed.Inc()
	}
}

// Describe implements [prometheus.Collector].
func (c *certificateCollector) Describe(descs chan<- *prometheus.Desc) {
	descs <- c.expires
	c.loads.Describe(descs)
}

// Collect implements [prometheus.Collector].
func (c *certificateCollector) Collect(out chan<- prometheus.Metric) {
	c.loads.Collect(out)
	samples, _ := c.source.ask()
	type series struct{ name, key string }
	ends := make(map[series]time.Time)
	for _, s := range samples {
		k := series{s.Name, s.Key}
		if end, twice := ends[k]; !twice || s.Expires.Before(end) {
			ends[k] = s.Expires
		}
	}
	for k, end := range ends {
		out <- prometheus.MustNewConstMetric(c.expires, prometheus.GaugeValue, float64(end.Unix()), k.name, k.key)
	}
}
