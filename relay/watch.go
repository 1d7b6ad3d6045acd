package relay

import "math/rand/v2"

// newSieves returns what the two directions of a pair pass through.
func newSieves(g *Guard) (v [2]sieve) {
	for side := range v {
		v[side].guard, v[side].bounds, v[side].masked = g, side == Client, side == Client
	}
	return v
}

// newPings returns the payload of the first Ping for one side of a pair: seven
// bytes that nobody can guess, and a count.
func newPings() uint64 { return rand.Uint64()&^0xff | 1<<63 } // #nosec G404 -- ChaCha8 with a seed from the system

// What pairs end for, beside the faults of frames and what is ordered.
var (
	faultIdle   = &Fault{1001, "idle timeout"}
	faultSilent = [2]*Fault{{1001, ClientSilent}, {1001, BackendSilent}}
)

// Reasons of a [Summary] for a pair of which one side has left two Pings
// unanswered.
const (
	ClientSilent  = "client answers no ping"
	BackendSilent = "backend answers no ping"
)
