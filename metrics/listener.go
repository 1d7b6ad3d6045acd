package metrics

import (
	"strings"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// Refusal is why a listener turned a connection or a handshake away.
type Refusal uint8

// The reasons.
const (
	RefusedMaxConnections      Refusal = iota // limits.max_connections
	RefusedMaxConnectionsPerIP                // limits.max_connections_per_ip
	RefusedHandshakeRate                      // limits.handshakes_per_second_per_ip
	RefusedDescriptors                        // the reserve of descriptors is reached
	RefusedProxyHeader                        // proxy_protocol: none, or a malformed one
	RefusedMemory                             // the process is short of memory
	refusals
)

var refusalNames = [refusals]string{"max_connections", "max_connections_per_ip", "handshake_rate", "descriptors", "proxy_header", "memory"}

// String returns the reason as the label's value has it.
func (r Refusal) String() string {
	if r >= refusals {
		return "unknown"
	}
	return refusalNames[r]
}

type listenerVecs struct {
	accepted     *prometheus.CounterVec
	acceptErrors *prometheus.CounterVec
	refused      *prometheus.CounterVec
	open         *openCollector
}

func newListenerVecs() listenerVecs {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, append([]string{"listener"}, labels...))
	}
	return listenerVecs{
		accepted: counter("holdfast_listener_accepted_total",
			"Connections accepted, the refused ones included."),
		acceptErrors: counter("holdfast_listener_accept_errors_total",
			"Failures to accept, such as no descriptor left; the listener waits and tries again."),
		refused: counter("holdfast_listener_refused_total",
			"Connections and handshakes turned away, by reason: "+strings.Join(refusalNames[:], ", ")+".", "reason"),
		open: &openCollector{desc: prometheus.NewDesc("holdfast_listener_connections_open",
			"Client connections open now, WebSockets included.", []string{"listener"}, nil)},
	}
}

func (v *listenerVecs) collectors() []prometheus.Collector {
	return []prometheus.Collector{v.accepted, v.acceptErrors, v.refused, v.open}
}

// Listener counts what one listener accepts. Its methods, but for SetOpen,
// take no lock and allocate nothing.
type Listener struct {
	name         string
	accepted     prometheus.Counter
	acceptErrors prometheus.Counter
	refused      [refusals]prometheus.Counter
	open         source[int]
}

// Listener returns the counters of the listener of that name, always the same
// for the same name. It takes a lock: call it when a listener is made.
func (m *Metrics) Listener(name string) *Listener {
	m.mu.Lock()
	defer m.mu.Unlock()
	if l, ok := m.listenByName[name]; ok {
		return l
	}
	l := &Listener{
		name:         name,
		accepted:     m.accepts.accepted.WithLabelValues(name),
		acceptErrors: m.accepts.acceptErrors.WithLabelValues(name),
	}
	for i, reason := range refusalNames {
		l.refused[i] = m.accepts.refused.WithLabelValues(name, reason)
	}
	m.listenByName[name] = l
	m.accepts.open.add(l)
	return l
}

// Accepted counts one accepted connection, refused afterwards or not.
func (l *Listener) Accepted() { l.accepted.Inc() }

// AcceptError counts one failure to accept.
func (l *Listener) AcceptError() { l.acceptErrors.Inc() }

// Refused counts one connection or handshake that was turned away.
func (l *Listener) Refused(reason Refusal) {
	if reason < refusals {
		l.refused[reason].Inc()
	}
}

// SetOpen names the function that a scrape asks how many connections are
// open. It replaces the one named before; nil, for a listener that is gone,
// takes its series away.
func (l *Listener) SetOpen(open func() int) {
	l.open.set(open)
}

// openCollector asks each listener for its open connections. Its list is
// copied on write, so that a scrape never waits for a reload.
type openCollector struct {
	desc      *prometheus.Desc
	listeners atomic.Pointer[[]*Listener]
}

// add appends l; the caller holds Metrics.mu.
func (c *openCollector) add(l *Listener) {
	var list []*Listener
	if old := c.listeners.Load(); old != nil {
		list = append(list, *old...)
	}
	list = append(list, l)
	c.listeners.Store(&list)
}

func (c *openCollector) Describe(ch chan<- *prometheus.Desc) { ch <- c.desc }

func (c *openCollector) Collect(ch chan<- prometheus.Metric) {
	list := c.listeners.Load()
	if list == nil {
		return
	}
	for _, l := range *list {
		if open, ok := l.open.ask(); ok {
			emit(ch, c.desc, prometheus.GaugeValue, float64(open), l.name)
		}
	}
}
