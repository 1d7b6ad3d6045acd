package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/holdfast-lb/holdfast/admin"
	"github.com/holdfast-lb/holdfast/balancer"
)

// changesKept is how many changes wait for a log that is slow. Those beyond it
// are in metrics only.
const changesKept = 256

// backendChanged takes note of what live traffic has done to a backend or a
// pool. It is called under the registry's lock, on event loops too, so it
// neither asks the registry nor waits for the log.
func (a *app) backendChanged(c balancer.Change) {
	switch c.Kind {
	case balancer.Ejected:
		a.metrics.Ejected(c.Key.Pool, c.Backend)
	case balancer.PanicBegan:
		a.metrics.Panic(c.Key.Pool, true)
	case balancer.PanicEnded:
		a.metrics.Panic(c.Key.Pool, false)
	case balancer.DrainAsked, balancer.DrainWithdrawn:
		nudge(a.asked)
	}
	select {
	case a.changes <- c:
	default:
	}
}

// tellChanges tells operators of changes until the process ends.
func (a *app) tellChanges() {
	for {
		select {
		case c := <-a.changes:
			a.tellChange(c)
		case s := <-a.scarcity:
			a.tellScarcity(s)
		case <-a.ending:
			return
		}
	}
}

// tellChange logs a change and makes it an event.
func (a *app) tellChange(c balancer.Change) {
	e := admin.Event{Kind: "health", Level: admin.Warn, Pool: c.Key.Pool, Backend: c.Backend}
	level, text := slog.LevelWarn, ""
	args := []slog.Attr{slog.String("pool", c.Key.Pool)}
	if c.Backend != "" {
		args = append(args, slog.String("backend", c.Backend), slog.String("address", c.Key.Address))
	}
	if c.Why != "" {
		args = append(args, slog.String("why", c.Why))
	}
	switch c.Kind {
	case balancer.Ejected:
		text = "backend ejected"
		args = append(args, slog.String("until", c.Until.Format(time.RFC3339)), slog.Int("times", c.Times))
		e.State = "ejected"
		e.Message = fmt.Sprintf("ejected for %s: %s", time.Until(c.Until).Round(time.Second), c.Why)
	case balancer.Returned:
		level, text = slog.LevelInfo, "backend takes part again"
		e.Level, e.State, e.Message = admin.Info, "returned", "takes part again"
	case balancer.Withheld:
		text = "backend is not ejected: that would be more than max_ejected_percent"
		e.State = "withheld"
		e.Message = "would be ejected, but max_ejected_percent are: " + c.Why
	case balancer.PanicBegan:
		level, text = slog.LevelError, "PANIC: ejections leave less than half of the pool, so they are ignored and all its backends are used"
		e.Level, e.State, e.Message = admin.Error, "panic", "panic floor: all backends are used, ejected ones too, as "+c.Why
	case balancer.PanicEnded:
		level, text = slog.LevelInfo, "PANIC is over: ejections count again"
		e.Level, e.State, e.Message = admin.Info, "panic_over", "panic floor left: "+c.Why
	case balancer.DrainAsked:
		level, text = slog.LevelInfo, "backend asks to be drained"
		e.Kind, e.Level, e.State, e.Message = "drain", admin.Info, "asked", "asks to be drained"
	case balancer.DrainWithdrawn:
		level, text = slog.LevelInfo, "backend does not ask to be drained any more"
		e.Kind, e.Level, e.State, e.Message = "drain", admin.Info, "withdrawn", "does not ask to be drained any more"
	}
	a.log.LogAttrs(context.Background(), level, text, args...)
	a.events.Publish(e)
}
