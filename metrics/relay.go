package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
)

// RelaySample is what the relay's loops carried since the process began, and
// what they hold now.
type RelaySample struct {
	ClientToBackend, BackendToClient FlowSample
	OpenPairs                        int64
}

// FlowSample is one direction: bytes on the wire, frame headers included, and
// frames by opcode (RFC 6455 section 5.2).
type FlowSample struct {
	Bytes                                         uint64
	Continuation, Text, Binary, Close, Ping, Pong uint64
}

type relayCollector struct {
	source source[RelaySample]

	bytes, frames, pairs *prometheus.Desc
}

func newRelayCollector() *relayCollector {
	return &relayCollector{
		bytes: prometheus.NewDesc("holdfast_relay_bytes_total",
			"Bytes carried between WebSocket clients and backends, by direction: client_to_backend or backend_to_client.",
			[]string{"direction"}, nil),
		frames: prometheus.NewDesc("holdfast_relay_frames_total",
			"WebSocket frames carried, by direction and opcode: continuation, text, binary, close, ping, pong.",
			[]string{"direction", "opcode"}, nil),
		pairs: prometheus.NewDesc("holdfast_relay_pairs_open",
			"Pairs of sockets that the relay joins now.", nil, nil),
	}
}

// SetRelay names the function that a scrape asks what the relay carried. It
// must be safe to call from any goroutine. It replaces the one named before;
// nil is none.
func (m *Metrics) SetRelay(source func() RelaySample) {
	m.relay.source.set(source)
}

func (c *relayCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.bytes
	ch <- c.frames
	ch <- c.pairs
}

func (c *relayCollector) Collect(ch chan<- prometheus.Metric) {
	sample, ok := c.source.ask()
	if !ok {
		return
	}
	emit(ch, c.pairs, prometheus.GaugeValue, float64(sample.OpenPairs))
	c.collectFlow(ch, "client_to_backend", sample.ClientToBackend)
	c.collectFlow(ch, "backend_to_client", sample.BackendToClient)
}

func (c *relayCollector) collectFlow(ch chan<- prometheus.Metric, direction string, flow FlowSample) {
	emit(ch, c.bytes, prometheus.CounterValue, float64(flow.Bytes), direction)
	for _, f := range [...]struct {
		opcode string
		frames uint64
	}{
		{"continuation", flow.Continuation}, {"text", flow.Text}, {"binary", flow.Binary},
		{"close", flow.Close}, {"ping", flow.Ping}, {"pong", flow.Pong},
	} {
		emit(ch, c.frames, prometheus.CounterValue, float64(f.frames), direction, f.opcode)
	}
}
