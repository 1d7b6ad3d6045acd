package proxy

import (
	"time"

	"github.com/holdfast-lb/holdfast/balancer"
)

// forward has the request answered by a backend of its route's pool: the one
// that the pool picks or, while another attempt can do no harm, further ones
// up to the route's retries. It returns the last failure if none answered.
//
// On success the response is complete, or streams from x.answer, which then
// owns the lease.
func (x *exchange) forward() class {
	x.route.query(&x.query, balancer.Request, &x.req, &x.keyBuf)
	failed := ok
	now := x.start
	for attempt := 0; ; attempt++ {
		lease, err := x.route.pool.Pick(&x.query, &x.tried)
		if err != nil {
			if failed != ok {
				return failed // nobody else to ask
			}
			return classOfPick(err)
		}
		if attempt > 0 {
			x.report(failed) // the last one is reported when the request ends
			x.route.metrics.Retry()
		}
		x.lease = lease
		if x.span != nil {
			x.beginAttempt(lease.Backend(), attempt)
		}
		failed = x.try(lease.Backend(), now)
		if o, ours := outcomeOf(failed, x.why, x.ctx.Response.StatusCode()); !ours {
			lease.Backend().Report(o)
		}
		if failed == ok {
			return ok
		}
		if x.span != nil {
			x.endAttempt(failed)
		}
		x.lease.Done()
		if attempt >= x.route.retries || !x.mayRetry(failed) {
			return failed
		}
		x.tried.Add(lease.Backend())
		now = time.Now()
	}
}

// mayRetry tells whether the request may go to another backend: if the failed
// one has seen nothing of it, or if it has answered nothing and the whole
// request may be made twice. What is the client's fault is not tried again.
func (x *exchange) mayRetry(failed class) bool {
	switch failed {
	case refused, connectTimeout, untrusted, noTLS, broken, badAnswer, late:
		return !x.sent || x.replayable && !x.answered
	}
	return false
}
