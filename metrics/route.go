package metrics

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Unrouted is the route name to count requests under that no route matched.
const Unrouted = "-"

// latencyBuckets, in seconds, serve requests, handshakes and probes: fine
// where a healthy game server answers, coarse up to the default timeout.
var latencyBuckets = []float64{
	.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30,
}

// lifetimeBuckets, in seconds, serve sockets, which live from a moment (a
// client that gives up) to days.
var lifetimeBuckets = []float64{.1, 1, 10, 60, 300, 900, 3600, 4 * 3600, 12 * 3600, 24 * 3600}

// statusClasses are the values of the label code, at the index that
// statusClass computes.
var statusClasses = [...]string{"other", "1xx", "2xx", "3xx", "4xx", "5xx"}

func statusClass(status int) int {
	if status < 100 || status > 599 {
		return 0
	}
	return status / 100
}

// HandshakeResult says how one attempt to open a WebSocket ended.
type HandshakeResult uint8

// The results, one for each answer that a client can get.
const (
	HandshakeAccepted    HandshakeResult = iota // 101 reached the client
	HandshakeInvalid                            // the client's request broke RFC 6455 section 4.2.1: 400 or 426
	HandshakeLimited                            // too many handshakes from one address: 429
	HandshakeNoBackend                          // none usable, or all full: 503
	HandshakeUnreachable                        // no backend took the connection: 502
	HandshakeBadAnswer                          // a backend's 101 was broken: 502
	HandshakeRejected                           // a backend answered with another status, which the client got
	HandshakeTimeout                            // a backend did not answer in time: 504
	HandshakeClientGone                         // the client left before an answer
	HandshakeDenied                             // the route's access, origins or auth: 401 or 403
	HandshakeOverloaded                         // the process is short of memory: 503
	handshakeResults
)

var handshakeNames = [handshakeResults]string{
	"accepted", "invalid", "limited", "no_backend", "unreachable",
	"bad_answer", "rejected", "timeout", "client_gone", "denied", "overloaded",
}

// String returns the result as the label's value has it.
func (r HandshakeResult) String() string {
	if r >= handshakeResults {
		return "unknown"
	}
	return handshakeNames[r]
}

type routeVecs struct {
	requests          *prometheus.CounterVec
	requestDuration   *prometheus.HistogramVec
	retries           *prometheus.CounterVec
	handshakes        *prometheus.CounterVec
	handshakeDuration *prometheus.HistogramVec
	socketsOpen       *prometheus.GaugeVec
	socketDuration    *prometheus.HistogramVec
}

func newRouteVecs() routeVecs {
	histogram := func(name, help string, buckets []float64) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(
			prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, []string{"route"})
	}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, append([]string{"route"}, labels...))
	}
	return routeVecs{
		requests: counter("holdfast_requests_total",
			"HTTP requests answered, by status class (2xx); upgrades to WebSocket are counted as handshakes instead.", "code"),
		requestDuration: histogram("holdfast_request_duration_seconds",
			"Time from a request's header to the last byte of its answer.", latencyBuckets),
		retries: counter("holdfast_retries_total",
			"Attempts after the first one, at another backend."),
		handshakes: counter("holdfast_handshakes_total",
			"WebSocket handshakes by result: "+strings.Join(handshakeNames[:], ", ")+".", "result"),
		handshakeDuration: histogram("holdfast_handshake_duration_seconds",
			"Time from a handshake's header to its 101, of those accepted.", latencyBuckets),
		socketsOpen: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "holdfast_sockets_open",
			Help: "WebSockets open now.",
		}, []string{"route"}),
		socketDuration: histogram("holdfast_socket_duration_seconds",
			"Time that a WebSocket was open, from its 101 to its end.", lifetimeBuckets),
	}
}

func (v *routeVecs) collectors() []prometheus.Collector {
	return []prometheus.Collector{
		v.requests, v.requestDuration, v.retries, v.handshakes,
		v.handshakeDuration, v.socketsOpen, v.socketDuration,
	}
}

// Route counts the traffic of one route. Its methods may be called from any
// goroutine, take no lock and allocate nothing. It is never freed: a socket
// may outlive the configuration that its route stood in.
type Route struct {
	requests        [len(statusClasses)]prometheus.Counter
	requestDuration prometheus.Observer
	retries         prometheus.Counter

	handshakes        [handshakeResults]prometheus.Counter
	handshakeDuration prometheus.Observer
	socketsOpen       prometheus.Gauge
	socketDuration    prometheus.Observer
}

// Route returns the counters of the route of that name, always the same for
// the same name. It takes a lock: call it when a configuration is compiled,
// not for a request. Use [Unrouted] for requests that no route matched.
func (m *Metrics) Route(name string) *Route {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r, ok := m.routeByName[name]; ok {
		return r
	}
	v := &m.routes
	r := &Route{
		requestDuration:   v.requestDuration.WithLabelValues(name),
		retries:           v.retries.WithLabelValues(name),
		handshakeDuration: v.handshakeDuration.WithLabelValues(name),
		socketsOpen:       v.socketsOpen.WithLabelValues(name),
		socketDuration:    v.socketDuration.WithLabelValues(name),
	}
	for i, class := range statusClasses {
		r.requests[i] = v.requests.WithLabelValues(name, class)
	}
	for i, result := range handshakeNames {
		r.handshakes[i] = v.handshakes.WithLabelValues(name, result)
	}
	m.routeByName[name] = r
	return r
}

// Request counts one answered request and the time that it took. A status
// outside 100 to 599 is counted under the class "other".
func (r *Route) Request(status int, d time.Duration) {
	r.requests[statusClass(status)].Inc()
	r.requestDuration.Observe(d.Seconds())
}

// Retry counts one further attempt of a request or handshake at another
// backend.
func (r *Route) Retry() { r.retries.Inc() }

// Handshake counts one attempt to open a WebSocket. The time is recorded for
// accepted ones only: a request refused for its syntax takes microseconds and
// would hide slow backends.
func (r *Route) Handshake(result HandshakeResult, d time.Duration) {
	if result >= handshakeResults {
		return
	}
	r.handshakes[result].Inc()
	if result == HandshakeAccepted {
		r.handshakeDuration.Observe(d.Seconds())
	}
}

// SocketOpened counts a WebSocket as open. SocketClosed or SocketHandedOver must
// follow exactly once.
func (r *Route) SocketOpened() { r.socketsOpen.Inc() }

// SocketHandedOver ends what SocketOpened began for a socket that another
// process has now.
func (r *Route) SocketHandedOver() { r.socketsOpen.Dec() }

// SocketClosed ends what SocketOpened began, with the time that the socket
// was open.
func (r *Route) SocketClosed(d time.Duration) {
	r.socketsOpen.Dec()
	r.socketDuration.Observe(d.Seconds())
}
