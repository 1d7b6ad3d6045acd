// Package demo is the fleet of game servers that `holdfast demo` puts behind
// itself: small, in this process, on loopback, and made to be stopped.
//
// Every server answers
//
//	/            the page: a small game on a canvas
//	/health      200 with its name and how many play
//	/ws          the game's WebSocket, ?room=NAME&name=PLAYER
//	/demo/kill   POST: stops a server as a crash would; it returns after ten seconds
//
// A room is a stretch of sea in which players swim, see each other and collect
// pearls. It lives in the memory of one server, as in many real games, so the
// players of one room must reach the same server: the balancer in front is
// made sticky by the query parameter room. The protocol is in message.go.
//
// The reading order is [Fleet], life (one server from start to stop), arena
// (its rooms), room (the game itself, without clock or lock), socket (one
// player's connection). The package imports no other package of this module.
package demo

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"
)

// killPause lets the answer to /demo/kill out before its server dies.
const killPause = 150 * time.Millisecond

// downTime is how long a server killed from the page stays away: long enough
// to be found out by health checks and to be seen, short enough to wait for.
const downTime = 10 * time.Second

// Fleet is a set of game servers named demo-1, demo-2 and so on. Each keeps
// its address over [Fleet.Kill] and [Fleet.Restart]. All methods may be called
// from any goroutine.
type Fleet struct {
	log       *slog.Logger
	addresses []string
	downTime  time.Duration // a field so that tests need not wait

	done    chan struct{}  // closed by Close
	outages sync.WaitGroup // those that the page asked for

	mu     sync.Mutex // guards the rest
	lives  []*life    // nil: stopped
	outage []bool     // the page has asked to kill it, and it is not back yet
	closed bool
}

// Start starts n servers (1 to 64) on free ports of 127.0.0.1, which serve
// when it returns. The caller must Close the fleet.
func Start(n int, log *slog.Logger) (*Fleet, error) {
	if n < 1 || n > 64 {
		return nil, fmt.Errorf("start demo servers: %d asked for, 1 to 64 are possible", n)
	}
	f := &Fleet{
		log:       log,
		addresses: make([]string, n),
		downTime:  downTime,
		done:      make(chan struct{}),
		lives:     make([]*life, n),
		outage:    make([]bool, n),
	}
	for i := range n {
		f.addresses[i] = "127.0.0.1:0" // any free port, which Restart notes
		if err := f.Restart(i); err != nil {
			f.Close()
			return nil, err
		}
	}
	return f, nil
}

// Addresses returns host:port of every server, running or not.
func (f *Fleet) Addresses() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.addresses...)
}

// Name returns the name of server i, as players see it.
func (f *Fleet) Name(i int) string { return fmt.Sprintf("demo-%d", i+1) }

// Kill stops server i as a crash would: its port refuses, its connections are
// reset without a Close frame, its rooms are forgotten. It waits until nothing
// of the server is left, which takes milliseconds. Killing a stopped server
// does nothing.
func (f *Fleet) Kill(i int) error {
	f.mu.Lock()
	if i < 0 || i >= len(f.lives) {
		f.mu.Unlock()
		return fmt.Errorf("kill demo server: there is no number %d among %d", i, len(f.lives))
	}
	l := f.lives[i]
	f.lives[i] = nil
	f.mu.Unlock()

	if l == nil {
		return nil
	}
	l.kill()
	f.log.Info("demo server stopped", "server", f.Name(i))
	return nil
}

// Restart starts server i again on its address. Restarting a running server
// does nothing. It fails when another process took the port meanwhile.
func (f *Fleet) Restart(i int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case i < 0 || i >= len(f.lives):
		return fmt.Errorf("start demo server: there is no number %d among %d", i, len(f.lives))
	case f.closed:
		return errors.New("start demo server: the fleet is closed")
	case f.lives[i] != nil:
		return nil
	}
	ln, err := net.Listen("tcp", f.addresses[i])
	if err != nil {
		return fmt.Errorf("start %s: %w", f.Name(i), err)
	}
	f.addresses[i] = ln.Addr().String()
	f.lives[i] = startLife(f, f.Name(i), ln)
	f.log.Info("demo server started", "server", f.Name(i), "address", f.addresses[i])
	return nil
}

// Close sends every player a Close 1001, stops all servers and returns when
// nothing of them is left, within a second. It may be called more than once.
func (f *Fleet) Close() {
	f.mu.Lock()
	if !f.closed {
		f.closed = true
		close(f.done)
	}
	lives := f.lives
	f.lives = make([]*life, len(lives))
	f.mu.Unlock()

	var stopping sync.WaitGroup
	for _, l := range lives {
		if l != nil {
			stopping.Go(l.close)
		}
	}
	stopping.Wait()
	f.outages.Wait()
}

// planOutage kills the named server in a moment and restarts it after the
// down time. It returns false when there is no such server, or when it is on
// its way down or back already.
func (f *Fleet) planOutage(name string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.lives {
		if f.Name(i) != name {
			continue
		}
		if f.closed || f.outage[i] || f.lives[i] == nil {
			return false
		}
		f.outage[i] = true
		f.outages.Go(func() { f.runOutage(i) })
		return true
	}
	return false
}

// runOutage is one goroutine for each server at most.
func (f *Fleet) runOutage(i int) {
	if !f.pause(killPause) {
		return
	}
	if err := f.Kill(i); err != nil {
		f.log.Error("demo outage", "error", err)
	}
	for f.pause(f.downTime) {
		err := f.Restart(i)
		if err == nil {
			break
		}
		f.log.Warn("demo server cannot return, trying again", "error", err, "after", f.downTime)
	}
	f.mu.Lock()
	f.outage[i] = false
	f.mu.Unlock()
}

// pause waits and reports false when the fleet is closed meanwhile.
func (f *Fleet) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-f.done:
		return false
	}
}
