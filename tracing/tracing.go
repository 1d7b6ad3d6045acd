// Package tracing makes OpenTelemetry spans of requests and handshakes, and
// sends them to a collector by OTLP over HTTP.
//
// A [Tracer] is one configuration; whoever has none makes no spans and pays for
// the comparison with nil. Spans wait for the collector in a bounded queue:
// a slow or dead one makes nobody wait, and what finds no room is dropped.
//
// Which traces are kept is decided once, where a trace begins. A request whose
// trace context comes from a trusted peer goes on with its trace and its
// decision. The context of any other client is no more than a link: the request
// begins a trace with an id of our own, by which the share of traces that are
// kept is drawn. So nobody outside can have everything traced, or choose ids
// that always are.
//
// Backends get the context of the attempt at them (W3C Trace Context) whether
// the trace is kept or not.
package tracing

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/holdfast-lb/holdfast/config"
)

const (
	// queueSize is how many spans wait for the collector.
	queueSize = 4096
	batchSize = 512
	batchWait = time.Second
	// maxAttribute bounds what a client can have a span hold, in bytes a value.
	maxAttribute = 1024
)

// Result says what became of spans.
type Result uint8

// The results. What was recorded and neither exported nor failed waits, or was
// dropped because the queue was full.
const (
	Recorded Result = iota
	Exported
	Failed // the collector did not take them
)

// Options are what a Tracer needs.
type Options struct {
	Log     *slog.Logger
	Version string // of Holdfast
	Run     string // tells this process from others
	// Count is told what became of spans. It must not block.
	Count func(r Result, spans int)
}

// Tracer makes spans. Its methods may be called from any goroutine. Close ends
// it.
type Tracer struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
	client   *client
}

// New returns a Tracer by a valid configuration that has an endpoint. It dials
// nobody yet.
func New(cfg config.Tracing, o Options) (*Tracer, error) {
	c := newClient(cfg, o)
	exporter, err := otlptrace.New(context.Background(), c)
	if err != nil {
		return nil, fmt.Errorf("begin tracing: %w", err)
	}
	limits := sdk.NewSpanLimits()
	limits.AttributeValueLengthLimit = maxAttribute
	provider := sdk.NewTracerProvider(
		sdk.WithSampler(sdk.ParentBased(sdk.TraceIDRatioBased(cfg.Sample))),
		sdk.WithRawSpanLimits(limits),
		sdk.WithResource(resource.NewSchemaless(
			attribute.String("service.name", cfg.ServiceName),
			attribute.String("service.version", o.Version),
			attribute.String("service.instance.id", o.Run),
		)),
		sdk.WithSpanProcessor(counter{count: o.Count}),
		sdk.WithBatcher(exporter, sdk.WithMaxQueueSize(queueSize), sdk.WithMaxExportBatchSize(batchSize),
			sdk.WithBatchTimeout(batchWait)), // what ends an upload is the client's own affair
	)
	return &Tracer{provider: provider, tracer: provider.Tracer("github.com/holdfast-lb/holdfast"), client: c}, nil
}

// Close gives the collector until ctx ends to take what waits for it, and
// returns when nothing runs any more. Spans that end later are lost.
func (t *Tracer) Close(ctx context.Context) {
	stop := context.AfterFunc(ctx, t.client.cancel)
	defer stop()
	_ = t.provider.Shutdown(context.Background())
	t.client.cancel()
}

// counter counts spans that have ended.
type counter struct{ count func(Result, int) }

// OnStart implements [sdk.SpanProcessor].
func (counter) OnStart(context.Context, sdk.ReadWriteSpan) {}

// OnEnd implements [sdk.SpanProcessor].
func (c counter) OnEnd(s sdk.ReadOnlySpan) {
	if s.SpanContext().IsSampled() {
		c.count(Recorded, 1)
	}
}

// Shutdown implements [sdk.SpanProcessor].
func (counter) Shutdown(context.Context) error { return nil }

// ForceFlush implements [sdk.SpanProcessor].
func (counter) ForceFlush(context.Context) error { return nil }
