package main

import (
	"fmt"

	"github.com/holdfast-lb/holdfast/admin"
	"github.com/holdfast-lb/holdfast/internal/explain"
	"github.com/holdfast-lb/holdfast/metrics"
)

var codeMemoryShort = explain.Named("memory_short")

// scarcity is that memory has become short, or is so no longer.
type scarcity struct {
	short bool
	used  int64 // bytes
}

// memoryChanged takes note of it. The watch must not wait for the log.
func (a *app) memoryChanged(short bool, used int64) {
	select {
	case a.scarcity <- scarcity{short, used}:
	default:
	}
}

// tellScarcity logs it and makes it an event.
func (a *app) tellScarcity(s scarcity) {
	const mib = 1 << 20
	text := fmt.Sprintf("%d of %d MiB of memory are in use", s.used/mib, a.memory.Limit()/mib)
	if s.short {
		a.reports.Report(&explain.Event{Code: codeMemoryShort, Cause: text + ", so nothing new is taken; open sockets go on."})
		a.events.Publish(admin.Event{Kind: "memory", Level: admin.Warn, State: "short", Message: "short: " + text + ", nothing new is taken"})
		return
	}
	a.log.Info("memory is no longer short, new connections and requests are taken again", "used_bytes", s.used, "limit_bytes", a.memory.Limit())
	a.events.Publish(admin.Event{Kind: "memory", Level: admin.Info, State: "enough", Message: "no longer short: " + text})
}

// memorySample is what a scrape of /metrics asks.
func (a *app) memorySample() metrics.MemorySample {
	return metrics.MemorySample{Limit: a.memory.Limit(), Used: a.memory.Used(), Short: a.memory.Short()}
}
