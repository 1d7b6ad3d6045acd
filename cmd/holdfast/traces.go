package main

import (
	"context"
	"reflect"
	"time"

	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/metrics"
	"github.com/holdfast-lb/holdfast/tracing"
)

const (
	// tracerPatience is how long a tracer that a reload exchanges waits for the
	// requests under way, whose spans it has.
	tracerPatience = 10 * time.Second
	// tracerLast is how long the collector may then take, unless the process ends.
	tracerLast = 5 * time.Second
)

// prepareTracer returns the tracer that cfg asks for, or the running one if
// nothing has changed; nil: none.
func (a *app) prepareTracer(cfg config.Tracing) (*tracing.Tracer, error) {
	switch {
	case cfg.Endpoint == "":
		return nil, nil
	case a.tracer != nil && reflect.DeepEqual(a.cfg.Tracing, cfg):
		return a.tracer, nil
	}
	return tracing.New(cfg, tracing.Options{Log: a.log.Logger, Version: version(), Run: a.run, Count: a.countSpans})
}

// swapTracer has next make spans from now on, and ends the one before it.
func (a *app) swapTracer(next *tracing.Tracer) {
	was := a.tracer
	if was == next {
		return
	}
	a.tracer = next
	a.proxy.SetTracer(next)
	if was != nil {
		a.retiring.Go(func() { retireTracer(was, a.ending) })
	}
}

// retireTracer ends t, for which the end of the process, when ending is closed,
// waits no longer than for the tracer that is in use then.
func retireTracer(t interface{ Close(context.Context) }, ending <-chan struct{}) {
	select {
	case <-time.After(tracerPatience):
	case <-ending:
	}
	ctx, cancel := timeout(tracerLast)
	defer cancel()
	go func() {
		select {
		case <-ending:
			time.AfterFunc(lastSecond/2, cancel)
		case <-ctx.Done():
		}
	}()
	t.Close(ctx)
}

// closeTracer lets the collector have what waits for it; t may be nil.
func closeTracer(t *tracing.Tracer, within time.Duration) {
	if t == nil {
		return
	}
	ctx, cancel := timeout(within)
	defer cancel()
	t.Close(ctx)
}

var spanResults = map[tracing.Result]metrics.SpanResult{
	tracing.Recorded: metrics.SpansRecorded, tracing.Exported: metrics.SpansExported, tracing.Failed: metrics.SpansFailed,
}

func (a *app) countSpans(r tracing.Result, n int) { a.metrics.Spans(spanResults[r], n) }
