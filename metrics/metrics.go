// Package metrics is what Holdfast counts, by its Prometheus name.
//
// One [Metrics] lives as long as the process and owns a registry of its own.
// Numbers reach it in two ways:
//
//   - The hot path holds a [Route] or a [Listener], resolved by name once when
//     a configuration is compiled, and calls methods that neither allocate nor
//     lock.
//   - State that has an owner elsewhere (backends, relay loops, the access
//     log's queue) is not copied here: its owner hands over a function, and a
//     scrape calls it.
//
// Cardinality is bounded by the configuration, and by what discovery may find:
// labels hold names of routes,
// listeners, pools and backends, and words from fixed lists; never a path, an
// address of a client or a status code. A route or listener that a reload
// removes keeps its series, so that a counter never runs backwards when the
// name returns; the probe series of a backend go when the backend goes.
//
// docs/metrics.md lists every name; a test holds it against this package. The
// package imports no other package of this module and starts no goroutine.
package metrics

import (
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// scrapesAtOnce bounds how many scrapes run at the same time; more get a 503.
// It keeps a careless dashboard from competing with traffic.
const scrapesAtOnce = 4

// Metrics is the process's set of counters. All methods may be called from
// any goroutine.
type Metrics struct {
	registry *prometheus.Registry
	routes   routeVecs
	accepts  listenerVecs
	pools    poolVecs
	spares   spareVecs
	backends *backendCollector
	governor *governorCollector
	relay    *relayCollector

	certificates *certificateCollector
	memory       *memoryCollector
	webhooks     *prometheus.CounterVec
	spans        *spanCounters
	discovery    *discoveryCollector

	probeDuration *prometheus.HistogramVec
	logDropped    source[uint64]

	reloadsOK, reloadsFailed prometheus.Counter
	reloadSucceeded          prometheus.Gauge
	reloadTime               prometheus.Gauge

	mu           sync.Mutex // guards the two maps below; never taken on the hot path
	routeByName  map[string]*Route
	listenByName map[string]*Listener
}

// New returns an empty set with its own registry, which also describes the Go
// runtime, the process and the build.
func New() *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		routes:   newRouteVecs(),
		accepts:  newListenerVecs(),
		pools:    newPoolVecs(),
		spares:   newSpareVecs(),
		backends: newBackendCollector(),
		governor: newGovernorCollector(),
		relay:    newRelayCollector(),

		certificates: newCertificateCollector(),
		memory:       newMemoryCollector(),
		webhooks:     newWebhookVec(),
		spans:        newSpanCounters(),
		discovery:    newDiscoveryCollector(),
		probeDuration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "holdfast_probe_duration_seconds",
			Help:    "Time that a health probe took, whatever it found.",
			Buckets: latencyBuckets[:len(latencyBuckets)-1], // probes end by their timeout, seconds at most
		}, []string{"pool"}),
		routeByName:  make(map[string]*Route),
		listenByName: make(map[string]*Listener),
	}
	reloads := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "holdfast_reloads_total",
		Help: "Configurations read since the process began, the first one included, by result: success or failure.",
	}, []string{"result"})
	m.reloadsOK = reloads.WithLabelValues("success")
	m.reloadsFailed = reloads.WithLabelValues("failure")
	m.reloadSucceeded = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "holdfast_last_reload_successful",
		Help: "1 when the last configuration read was taken, 0 when it was refused and the one before it still runs.",
	})
	m.reloadTime = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "holdfast_last_reload_success_timestamp_seconds",
		Help: "Unix time at which the running configuration was taken.",
	})

	m.registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		buildInfo(),
		reloads, m.reloadSucceeded, m.reloadTime,
		m.backends, m.governor, m.relay, m.certificates, m.memory, m.discovery, m.webhooks, m.spans.vec, m.probeDuration,
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "holdfast_access_log_dropped_total",
			Help: "Access-log lines dropped because the log could not be written fast enough.",
		}, m.readLogDropped),
	)
	m.registry.MustRegister(m.routes.collectors()...)
	m.registry.MustRegister(m.accepts.collectors()...)
	m.registry.MustRegister(m.pools.collectors()...)
	m.registry.MustRegister(m.spares.collectors()...)
	return m
}

// Gatherer returns the registry, for tests and for exporters other than HTTP.
func (m *Metrics) Gatherer() prometheus.Gatherer { return m.registry }

// Handler answers a scrape in the format and compression that the scraper
// asks for. A metric that cannot be collected is left out; the others are
// served all the same.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: scrapesAtOnce,
		EnableOpenMetrics:   true,
	})
}

// Reload counts one attempt to take a configuration, which ended at the given
// time. The first load of the process is one.
func (m *Metrics) Reload(ok bool, at time.Time) {
	// Counted last: who sees the count sees the rest.
	if !ok {
		m.reloadSucceeded.Set(0)
		m.reloadsFailed.Inc()
		return
	}
	m.reloadSucceeded.Set(1)
	m.reloadTime.Set(float64(at.UnixMilli()) / 1000)
	m.reloadsOK.Inc()
}

// SetLogDropped names the function that a scrape asks how many access-log
// lines were dropped so far. It replaces the one named before; nil is none.
func (m *Metrics) SetLogDropped(dropped func() uint64) { m.logDropped.set(dropped) }

func (m *Metrics) readLogDropped() float64 {
	dropped, _ := m.logDropped.ask()
	return float64(dropped)
}

// buildInfo is a constant 1 whose labels say what is running.
func buildInfo() prometheus.Collector {
	version, revision, goVersion := "unknown", "unknown", "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		version, goVersion = info.Main.Version, info.GoVersion
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				revision = s.Value
			}
		}
	}
	g := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "holdfast_build_info",
		Help:        "Always 1; the labels say which build is running.",
		ConstLabels: prometheus.Labels{"version": version, "revision": revision, "go_version": goVersion},
	})
	g.Set(1)
	return g
}
