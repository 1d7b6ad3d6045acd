package main

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/holdfast-lb/holdfast/admin"
	"github.com/holdfast-lb/holdfast/proxy"
)

const (
	// passEvery is how soon sockets are offered again that were busy, or were
	// not open yet; then it takes longer from time to time, up to passSlowly.
	passEvery  = 50 * time.Millisecond
	passSlowly = time.Second
	// passFor is how long sockets are offered at most, lest a client that never
	// ends its message keeps the others from being drained.
	passFor = 30 * time.Second
	// freshTime is how long handshakes may be on their way that nobody knows of
	// yet: a listener that has stopped gives fresh connections a second.
	freshTime = 1500 * time.Millisecond
)

// leave ends a process that has a successor: nothing new is taken, requests
// under way are answered, open sockets are handed over as long as some can be,
// and the others are drained at their pools' pace. It returns when nothing is
// left, by passFor and the longest deadline at the latest; a signal to stop ends
// it sooner.
func (a *app) leave(signals <-chan os.Signal) {
	s := a.succession
	pid := s.process.Process.Pid
	a.log.Info("upgraded: the successor serves", "pid", pid, "version", s.version)
	a.listeners.UnlinkAtEnd(false)
	notifyManager(fmt.Sprintf("MAINPID=%d", pid))
	deadline := a.longestDeadline()
	ctx, cancel := timeout(passFor + deadline)
	defer cancel()
	a.closeAdmin(deadline)
	a.prober.Close()
	a.discovery.Close()

	answered, empty := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(answered)
		// The last word on these has stop, which waits for them too.
		if by, cancel := timeout(deadline); a.listeners.Shutdown(by) == nil {
			_ = a.proxy.AwaitAnswers(by)
			cancel()
		}
	}()
	go func() {
		defer close(empty)
		a.handOver(ctx, s, answered)
		a.empty(ctx)
	}()
	exited, over, late := s.exited, ctx.Done(), (<-chan time.Time)(nil)
	for {
		select {
		case <-empty:
			a.stop(a.cfg.Shutdown.Deadline)
			return
		case <-late:
			a.stop(lastSecond)
			return
		case <-over:
			// What was sent is answered first, lest two processes have a socket;
			// but not by a successor that hangs.
			over, late = nil, time.After(a.cfg.Shutdown.Deadline)
		case order := <-a.orders:
			order()
		case <-exited:
			exited = nil
			a.log.Error("the successor has ended", "code", codeUpgrade, "pid", pid, "status", s.process.ProcessState.String())
		case got := <-signals:
			switch {
			case isEnd(got):
				a.log.Info("stopping", "signal", got.String(), "deadline", a.cfg.Shutdown.Deadline.String())
				cancel()
			case got == syscall.SIGUSR1:
				a.reopen()
			default:
				a.log.Warn("this process is ending, another one serves: signal that", "signal", got.String(), "pid", pid)
			}
		}
	}
}

// longestDeadline is how long what is left here may take to end.
func (a *app) longestDeadline() time.Duration {
	longest := a.cfg.Shutdown.Deadline
	for _, p := range a.cfg.Pools {
		longest = max(longest, p.Drain.Deadline+lastWords)
	}
	return longest
}

// closeAdmin lets the successor have new callers of the admin address, and
// those that were heard get their answer.
func (a *app) closeAdmin(within time.Duration) {
	was := a.admin
	if was == nil {
		return
	}
	a.admin = nil
	a.retiring.Go(func() {
		was.close(within, a.ending)
		<-was.done
	})
}

// handOver hands open sockets over until none is left that can be, nor a
// handshake that may become one, for passFor at most. What goes wrong leaves the
// sockets here. answered is closed when no listener has a request any more.
func (a *app) handOver(ctx context.Context, s *succession, answered <-chan struct{}) {
	defer s.channel.Close()
	began, told, handed := time.Now(), false, 0
	if err := s.tellTables(); err != nil { // as they are now
		a.log.Warn("sticky keys of the last moment are not handed over", "error", err)
	}
	for pause := passEvery; ; pause = min(pause*3/2, passSlowly) {
		// Looked at first: what opens from here on is met, or seen here.
		settled := (isClosed(answered) || time.Since(began) > freshTime) && a.handshakes() == 0
		sum, err := a.proxy.HandOver(func(list []proxy.CarriedSocket, descriptors []int) ([]bool, error) {
			return s.send(ctx, list, descriptors)
		})
		handed += sum.Handed
		if !told {
			told = true
			s.answer(admin.Upgrade{Status: "upgraded", PID: s.process.Process.Pid, Version: s.version,
				Carried: sum.Handed, Left: sum.Refused + sum.Busy + sum.Fixed}, nil)
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			a.log.Error("sockets are not all handed over, the others are drained here", "code", codeUpgrade, "error", err)
			return
		}
		if settled && sum.Busy == 0 || time.Since(began) > passFor {
			break
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
	_ = s.channel.Send(wordDone, done{a.drainer.Carry()})
	a.log.Info("sockets handed over", "sockets", handed, "pid", s.process.Process.Pid, "left", a.relay.Stats().Pairs)
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// handshakes is how many are under way.
func (a *app) handshakes() (n int) {
	for name := range a.cfg.Pools {
		n += a.proxy.Waiting(name)
	}
	for _, b := range a.registry.Snapshot() {
		n += b.Handshakes
	}
	return n
}

// send has the successor take sockets. Once they are sent it waits for as long
// as the successor lives: only that knows which it has.
func (s *succession) send(ctx context.Context, list []proxy.CarriedSocket, descriptors []int) ([]bool, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err := s.channel.Send(wordSockets, list, descriptors...); err != nil {
		return nil, err
	}
	f, err := s.channel.Receive()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var t taken
	if f.Kind != wordTaken {
		return nil, fmt.Errorf("the successor answers with word %d", f.Kind)
	}
	if err := f.Decode(&t); err != nil {
		return nil, err
	}
	return t.refused(len(list)), nil
}

// empty drains what is left and returns when nothing is, or ctx ends.
func (a *app) empty(ctx context.Context) {
	begin := func() {
		for _, b := range a.registry.Snapshot() {
			if p, known := a.drainer.Of(b.Key()); (!known || p.Ended) && b.Sockets > 0 {
				a.startDrain(b.Key(), b.Name, a.drainPolicy(b.Pool), 0)
			}
		}
	}
	for a.registryBusy() || a.relay.Stats().Pairs > 0 {
		if !a.onCommand(begin) {
			return
		}
		select {
		case <-time.After(2 * passEvery):
		case <-ctx.Done():
			return
		}
	}
}

// registryBusy tells whether anything is under way.
func (a *app) registryBusy() bool {
	for _, b := range a.registry.Snapshot() {
		if b.Sockets+b.Handshakes+b.Requests > 0 {
			return true
		}
	}
	return false
}
