package proxy

import (
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/balancer"
	"github.com/holdfast-lb/holdfast/relay"
)

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
