package testkit

import (
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Collector takes OpenTelemetry spans by OTLP over HTTP and keeps them.
type Collector struct {
	*httptest.Server

	mu      sync.Mutex
	status  int // 0: 200
	spans   []CollectedSpan
	headers []http.Header
}

// CollectedSpan is one span with those of its attributes that are text or
// whole numbers.
type CollectedSpan struct {
	Name, TraceID, ID, Parent string // ids in hexadecimal
	Kind                      tracepb.Span_SpanKind
	Failed                    bool
	Links                     []string // ids of spans
	Events                    []string // names
	Attributes                map[string]any
	Service                   string
}

// StartCollector runs a Collector until the test ends.
func StartCollector(t testing.TB) *Collector {
	c := &Collector{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var data tracepb.TracesData
		if err != nil || proto.Unmarshal(body, &data) != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/x-protobuf" {
			t.Errorf("the collector got %s %v with %d bytes: %v", r.Method, r.Header, len(body), err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.headers = append(c.headers, r.Header)
		if c.status != 0 {
			w.WriteHeader(c.status)
			return
		}
		for _, resource := range data.ResourceSpans {
			service := attributesOf(resource.Resource)["service.name"].(string)
			for _, scope := range resource.ScopeSpans {
				for _, s := range scope.Spans {
					c.spans = append(c.spans, collected(s, service))
				}
			}
		}
	}))
	t.Cleanup(c.Close)
	return c
}

// Answer has the collector answer with status from now on, and keep nothing
// unless it is 0.
func (c *Collector) Answer(status int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status = status
}

// Spans returns what has come.
func (c *Collector) Spans() []CollectedSpan {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]CollectedSpan(nil), c.spans...)
}

// Headers returns those of the requests that have come.
func (c *Collector) Headers() []http.Header {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]http.Header(nil), c.headers...)
}

func collected(s *tracepb.Span, service string) CollectedSpan {
	out := CollectedSpan{
		Name: s.Name, TraceID: hex.EncodeToString(s.TraceId), ID: hex.EncodeToString(s.SpanId), Parent: hex.EncodeToString(s.ParentSpanId),
		Kind: s.Kind, Failed: s.Status.GetCode() == tracepb.Status_STATUS_CODE_ERROR, Attributes: attributesOf(s), Service: service,
	}
	for _, l := range s.Links {
		out.Links = append(out.Links, hex.EncodeToString(l.SpanId))
	}
	for _, e := range s.Events {
		out.Events = append(out.Events, e.Name)
	}
	return out
}

func attributesOf(of interface{ GetAttributes() []*commonpb.KeyValue }) map[string]any {
	all := make(map[string]any)
	for _, a := range of.GetAttributes() {
		switch v := a.Value.Value.(type) {
		case *commonpb.AnyValue_StringValue:
			all[a.Key] = v.StringValue
		case *commonpb.AnyValue_IntValue:
			all[a.Key] = int(v.IntValue)
		}
	}
	return all
}
