package main

import (
	"bufio"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/admin"
	"github.com/holdfast-lb/holdfast/balancer"
	"github.com/holdfast-lb/holdfast/metrics"
)

// A log that takes nothing holds up nobody who reports an ejection: that is
// done on event loops, under the registry's lock.
func TestStuckLogHoldsUpNoEjection(t *testing.T) {
	r, w := io.Pipe()
	a := &app{
		log: &journal{Logger: slog.New(slog.NewTextHandler(w, nil))}, metrics: metrics.New(), events: admin.NewEvents("run", 8),
		changes: make(chan balancer.Change, changesKept), ending: make(chan struct{}),
	}
	a.retiring.Go(a.tellChanges)
	reported := make(chan struct{})
	go func() {
		defer close(reported)
		for range 2 * changesKept {
			a.backendChanged(balancer.Change{Key: balancer.Key{Pool: "web"}, Backend: "b1", Kind: balancer.Ejected, Why: "5 of 5 failed"})
		}
	}()
	select {
	case <-reported:
	case <-time.After(10 * time.Second):
		t.Error("ejections wait for the log")
	}
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil || !strings.Contains(line, "backend ejected") || !strings.Contains(line, "backend=b1") {
		t.Errorf("the log reads %q, %v", line, err)
	}
	_ = r.Close()
	close(a.ending)
	a.retiring.Wait()
}
