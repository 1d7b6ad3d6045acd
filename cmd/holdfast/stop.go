package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/holdfast-lb/holdfast/internal/explain"
)

// closeGoingAway is what clients read when this process ends (RFC 6455,
// section 7.4.1).
const closeGoingAway = 1001

// lastSecond is what tidying up may take when the deadline has passed already: a
// quarter is for callers of the admin address, half for lastReports.
const lastSecond = time.Second

var codeCut = explain.Named("cut_at_deadline").String()

var errStopping = errors.New("shutting down")

// stop ends everything: no new connections, requests under way are answered,
// each socket reads a Close 1001 and has until the deadline to end. It returns
// when nothing is left, by the deadline at the latest; cut is then called off.
func (a *app) stop(deadline time.Duration) {
	a.notReady.Store(&errStopping)
	close(a.ending)
	if s := a.succession; s != nil && !a.leaving {
		s.abandon()
	}
	a.drainer.Close()
	a.proxy.Dismiss()
	ctx, cancel := timeout(deadline)
	defer cancel()
	began := time.Now()
	sockets := a.relay.Stats().Pairs
	var both sync.WaitGroup
	both.Go(func() {
		err := a.listeners.Shutdown(ctx)
		if err == nil {
			err = a.proxy.AwaitAnswers(ctx)
		}
		if err != nil {
			a.log.Warn("requests were cut off at shutdown.deadline", "code", codeCut, "error", err)
		}
	})
	both.Go(func() {
		if err := a.relay.Farewell(ctx, closeGoingAway, "server is shutting down"); err != nil {
			a.log.Warn("sockets were cut off at shutdown.deadline", "code", codeCut, "error", err)
		}
	})
	both.Wait()
	rest := make(chan struct{})
	go func() {
		defer close(rest)
		a.relay.Close()
		a.discovery.Close()
		a.prober.Close()
		a.certs.Close()
		a.proxy.Close()
		a.memory.Close()
		a.reports.Close()
		if a.admin != nil {
			a.admin.close(lastSecond/4, nil) // more would not help a caller who sends nothing
			<-a.admin.done
		}
		a.retiring.Wait()
		a.lastReports()
	}()
	select {
	case <-rest:
	case <-time.After(max(time.Until(began.Add(deadline)), lastSecond)):
		a.log.Error("not all parts ended by shutdown.deadline, which is a mistake in Holdfast: please report it")
	}
	a.log.Info("stopped", "sockets", sockets, "took", time.Since(began).Round(time.Millisecond).String())
	a.swapAccess(nil)
}

// lastReports lets webhooks and the collector of spans have what waits for
// them, if they are quick.
func (a *app) lastReports() {
	var both sync.WaitGroup
	both.Go(func() { closeTracer(a.tracer, lastSecond/2) })
	both.Go(func() {
		ctx, cancel := timeout(lastSecond / 2)
		defer cancel()
		a.webhooks.Close(ctx)
	})
	both.Wait()
}

func timeout(d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), d)
}
