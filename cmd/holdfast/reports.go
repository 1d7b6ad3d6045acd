package main

import (
	"github.com/holdfast-lb/holdfast/admin"
	"github.com/holdfast-lb/holdfast/balancer"
	"github.com/holdfast-lb/holdfast/health"
	"github.com/holdfast-lb/holdfast/metrics"
)

// reported is what a probe has found of a backend's report, for the registry.
func reported(r *health.LoadReport) *balancer.LoadReport {
	if r == nil {
		return nil
	}
	return &balancer.LoadReport{Load: r.Load, Capacity: r.Capacity, Drain: r.Drain, At: r.At}
}

// drainByReports brings the drains of all backends in line with what they ask
// for. What the operator has ordered comes first. Those who ask come by
// backendChanged, on goroutines that the command's may be waiting for; so they
// are obeyed by follow.
func (a *app) drainByReports() {
	for _, b := range a.registry.Snapshot() {
		_, under := a.drainer.Of(b.Key())
		switch {
		case b.Retired || b.Mode != balancer.Ready:
		case b.AsksDrain() && !under:
			a.startDrain(b.Key(), b.Name, a.cfg.Pools[b.Pool].Drain, 0)
		case !b.AsksDrain() && under:
			a.drainer.Stop(b.Key())
		}
	}
}

// reportStatus is what the admin API shows of a report; nil: there is none.
func reportStatus(r *balancer.LoadReport) *admin.LoadReport {
	if r == nil {
		return nil
	}
	s := &admin.LoadReport{Capacity: r.Capacity, Drain: r.Drain, At: r.At}
	if r.Load >= 0 {
		s.Load = &r.Load
	}
	return s
}

// reportSample is what a scrape of /metrics shows of a report; nil: there is none.
func reportSample(r *balancer.LoadReport) *metrics.ReportSample {
	if r == nil {
		return nil
	}
	return &metrics.ReportSample{Load: r.Load, Capacity: r.Capacity, Drain: r.Drain}
}
