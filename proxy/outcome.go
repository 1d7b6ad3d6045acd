package proxy

import (
	"time"

	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/balancer"
	"github.com/holdfast-lb/holdfast/internal/cause"
	"github.com/holdfast-lb/holdfast/relay"
)

// earlyDeath is how young a socket is that dies early.
const earlyDeath = 5 * time.Second

// outcomeOf is what an attempt of a request says of its backend. ours is true
// if it says nothing, as the client, Holdfast or its machine is to blame.
func outcomeOf(failed class, why error, status int) (o balancer.Outcome, ours bool) {
	if cause.Local(why) {
		return 0, true
	}
	switch failed {
	case ok:
		if status >= fasthttp.StatusInternalServerError {
			return balancer.ServerError, false
		}
		return balancer.Succeeded, false
	case refused, connectTimeout, untrusted, noTLS:
		return balancer.ConnectFail, false
	case broken, badAnswer, late:
		return balancer.AnswerFail, false
	}
	return 0, true
}

// outcomeOfFailure is what a handshake that came to nothing says of its
// backend. An answer other than 101 is judged by its status elsewhere.
func outcomeOfFailure(f *relay.Failure) (o balancer.Outcome, ours bool) {
	if cause.Local(f.Err) {
		return 0, true
	}
	switch f.Cause {
	case relay.ClientGone, relay.Stopping:
		return 0, true
	case relay.ConnectFailed, relay.ConnectTimeout, relay.TLSFailed:
		return balancer.ConnectFail, false
	}
	return balancer.AnswerFail, false
}

// outcomeOfEnd is what the end of an open socket says of its backend. That it
// opened has been reported. A Close of 1000, 1001 or any other code but 1011 is
// no failure, however soon it comes; Pings without an answer are one, however
// late.
func outcomeOfEnd(sum *relay.Summary) (o balancer.Outcome, ours bool) {
	if sum.Ender == relay.ByHoldfast && sum.Reason == relay.BackendSilent {
		return balancer.Unresponsive, false
	}
	died := sum.Ender == relay.ByBackend && (sum.Code == 1006 || sum.Code == 1011)
	if died && sum.Opened < earlyDeath {
		return balancer.EarlyDeath, false
	}
	return 0, true
}
