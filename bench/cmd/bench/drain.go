package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-lb/holdfast/bench/load"
	"github.com/holdfast-lb/holdfast/bench/peers"
)

// lingerEvery is how often processes from before a drain are looked for.
const lingerEvery = 50 * time.Millisecond

// drain is one drain of a balancer's backend: ordered by the generator, which
// knows when, and carried out here.
type drain struct {
	p       *peers.Process
	ctx     context.Context // of the measurement
	once    sync.Once
	work    sync.WaitGroup
	err     error // of Empty; valid when work is done
	linger  time.Duration
	lingers bool // processes from before the order are still there
}

// drained is drive, with a drain at the beginning of the measured time.
func (r *runner) drained(ctx context.Context, s scenario, p *peers.Process, targets []string, pid int) (load.Result, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return load.Result{}, fmt.Errorf("await order: %w", err)
	}
	d := &drain{p: p, ctx: ctx}
	server := &http.Server{Handler: d, ReadHeaderTimeout: time.Second}
	d.work.Go(func() { _ = server.Serve(l) })
	s.plan.Order = "http://" + l.Addr().String() + "/"
	result, err := r.drive(ctx, s, targets, pid)
	cancel()
	_ = server.Close()
	d.work.Wait()
	if err = errors.Join(err, d.err); err != nil || result.Drain == nil {
		return result, err
	}
	result.Drain.Linger, result.Drain.LingerOn = d.linger.Seconds(), d.lingers
	return result, nil
}

// ServeHTTP is the order. It is answered at once.
func (d *drain) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	d.once.Do(func() {
		begun, old := time.Now(), d.p.Workers()
		d.work.Go(func() { d.err = d.p.Empty(d.ctx) })
		d.work.Go(func() {
			for d.lingers = len(old) > 0; d.lingers && sleep(d.ctx, lingerEvery) == nil; {
				now := d.p.Workers()
				d.lingers = slices.ContainsFunc(old, func(pid int) bool { return slices.Contains(now, pid) })
				d.linger = time.Since(begun)
			}
		})
	})
	w.WriteHeader(http.StatusNoContent)
}
