//go:build linux && (amd64 || arm64)

package relay

import "time"

const (
	// overdue is how long ago a loop must have looked at its sockets to be
	// helped, nanoseconds.
	overdue = int64(time.Millisecond)
	// eventsOfHelp is how many events a helper takes at once, and how many turns
	// beside those: some 0.3 ms of work where messages are small.
	eventsOfHelp = 32
)

// help does a wakeup of a loop that is overdue on the caller's goroutine, unless
// somebody is at it. What is left after that is for the loop's own goroutine,
// which may be woken in vain, or for the next helper.
func (l *loop) help() {
	if int64(time.Since(l.began))-l.looked.Load() < overdue || l.load() == 0 || !l.mu.TryLock() {
		return
	}
	defer l.mu.Unlock()
	l.wakeup(l.events[:eventsOfHelp])
	l.poll.Due(l.patience())
}
