package proxy

import (
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/balancer"
	"github.com/holdfast-lb/holdfast/relay"
)

// A backend is to blame for a connection that it refuses, and not for one that
// this machine could not make.
func TestOutcomeOfAFailure(t *testing.T) {
	f := func(errno syscall.Errno, want bool) {
		t.Helper()
		err := &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", errno)}
		if _, ours := outcomeOf(refused, err, 0); ours != want {
			t.Errorf("a request, %v: ours %t, want %t", errno, ours, want)
		}
		if _, ours := outcomeOfFailure(&relay.Failure{Cause: relay.ConnectFailed, Err: err}); ours != want {
			t.Errorf("a handshake, %v: ours %t, want %t", errno, ours, want)
		}
	}
	f(syscall.ECONNREFUSED, false)
	f(syscall.EHOSTUNREACH, false)
	f(syscall.EMFILE, true)
	f(syscall.EADDRNOTAVAIL, true)
	if o, ours := outcomeOf(ok, nil, 500); o != balancer.ServerError || ours {
		t.Errorf("an answer of 500: %v, ours %t", o, ours)
	}
}

// What the end of a socket says of its backend: an early death and silence do
// it no good, a Close and everything that others did say nothing.
func TestOutcomeOfEnd(t *testing.T) {
	const none = balancer.Outcome(255)
	f := func(want balancer.Outcome, sum relay.Summary) {
		t.Helper()
		got, ours := outcomeOfEnd(&sum)
		if ours {
			got = none
		}
		if got != want {
			t.Errorf("%+v says %v, want %v", sum, got, want)
		}
	}
	young, old := time.Second, time.Minute
	f(balancer.EarlyDeath, relay.Summary{Ender: relay.ByBackend, Code: 1006, Opened: young})
	f(balancer.EarlyDeath, relay.Summary{Ender: relay.ByBackend, Code: 1011, Opened: young})
	f(none, relay.Summary{Ender: relay.ByBackend, Code: 1006, Opened: old})
	f(none, relay.Summary{Ender: relay.ByClient, Code: 1006, Opened: young})
	for _, code := range []uint16{1000, 1001, 1005, 4000} {
		f(none, relay.Summary{Ender: relay.ByBackend, Code: code, Opened: young})
	}
	f(balancer.Unresponsive, relay.Summary{Ender: relay.ByHoldfast, Code: 1001, Opened: old, Reason: relay.BackendSilent})
	f(none, relay.Summary{Ender: relay.ByHoldfast, Code: 1001, Opened: young, Reason: relay.ClientSilent})
	f(none, relay.Summary{Ender: relay.ByBackend, Code: 1001, Opened: old, Reason: relay.BackendSilent})
}
