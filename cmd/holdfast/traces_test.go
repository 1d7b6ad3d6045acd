package main

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// hanging is a tracer whose collector takes nothing.
type hanging struct{}

func (hanging) Close(ctx context.Context) { <-ctx.Done() }

// A tracer that a reload has exchanged may wait for requests and a collector,
// but the end of the process waits half a second for it, whenever it comes.
func TestRetiredTracerHoldsUpNoStop(t *testing.T) {
	f := func(stop, want time.Duration) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			ending := make(chan struct{})
			time.AfterFunc(stop, func() { close(ending) })
			began := time.Now()
			retireTracer(hanging{}, ending)
			if took := time.Since(began); took != want {
				t.Errorf("with a stop after %s it took %s, want %s", stop, took, want)
			}
		})
	}
	f(0, lastSecond/2)
	f(time.Second, time.Second+lastSecond/2)
	f(tracerPatience+time.Second, tracerPatience+time.Second+lastSecond/2)
	f(tracerPatience+tracerLast-time.Millisecond, tracerPatience+tracerLast)
	f(time.Hour, tracerPatience+tracerLast)
}
