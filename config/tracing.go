package config

import (
	"maps"
	"net/url"
	"slices"
	"strings"
)

// Tracing sends spans of requests and handshakes to an OpenTelemetry collector.
type Tracing struct {
	Endpoint    string            `koanf:"endpoint"`     // URL; empty: no spans
	Protocol    string            `koanf:"protocol"`     // http: OTLP/HTTP with protobuf
	Sample      float64           `koanf:"sample"`       // share of new traces, 0 to 1
	ServiceName string            `koanf:"service_name"` // that the collector shows
	Headers     map[string]Secret `koanf:"headers"`      // of each request to the collector
}

// tracesPath is where collectors take spans, by the specification of OTLP.
const tracesPath = "/v1/traces"

func (t *Tracing) setDefaults() {
	t.Protocol, t.Sample, t.ServiceName = "http", 0.01, "holdfast"
}

func (t *Tracing) complete() {
	if u, err := url.Parse(t.Endpoint); err == nil && u.Host != "" && (u.Path == "" || u.Path == "/") {
		u.Path = tracesPath
		t.Endpoint = u.String()
	}
}

func (v validator) tracing(t Tracing) {
	if t.Endpoint != "" {
		v.peerURL("tracing.endpoint", t.Endpoint, "can read the paths of requests")
	}
	v.oneOf("tracing.protocol", t.Protocol, "http")
	if !(t.Sample >= 0 && t.Sample <= 1) { // NaN is neither
		v.check("tracing.sample", "%v is out of range, write the share of traces to keep, 0 to 1, such as 0.01", t.Sample)
	}
	if t.ServiceName == "" {
		v.check("tracing.service_name", "is empty, write what the collector is to show")
	}
	for _, name := range slices.Sorted(maps.Keys(t.Headers)) {
		value := string(t.Headers[name])
		switch {
		case !isToken(name):
			v.check(joinKey("tracing.headers", name), "%q is not the name of a header, write it as X-Api-Key", name)
		case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }):
			v.check(joinKey("tracing.headers", name), "has an unprintable character, leave it out")
		}
	}
}
