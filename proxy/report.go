package proxy

import (
	"github.com/holdfast-lb/holdfast/balancer"
	"github.com/holdfast-lb/holdfast/internal/explain"
	"github.com/holdfast-lb/holdfast/relay"
)

// report tells operators why the exchange, or an attempt of it, failed.
func (x *exchange) report(c class) {
	if c == ok {
		return
	}
	e := explain.Event{
		Code: c.code(), Listener: x.l.name, Client: x.req.client.ip, RequestID: x.req.id.bytes(), Err: x.why,
	}
	about(&e, x.route, x.lease.Backend())
	if c == untrusted || c == noTLS {
		blame(&e, x.why)
	}
	x.p.reports.Report(&e)
}

// report tells operators why the handshake, or an attempt of it, failed.
func (s *socket) report(c class) {
	e := explain.Event{
		Code: c.code(), Listener: s.call.listener, Client: s.call.client, RequestID: s.id.bytes(), Err: s.call.why,
	}
	about(&e, s.route, s.lease.Backend())
	if c == untrusted || c == noTLS {
		blame(&e, s.call.why)
	}
	s.p.reports.Report(&e)
}

// reportEnd tells operators how an open socket ended, if that was not in order.
func (s *socket) reportEnd(code explain.Code) {
	if code == 0 {
		return
	}
	e := explain.Event{Code: code, RequestID: s.id.bytes()}
	about(&e, s.route, s.lease.Backend())
	s.p.reports.Report(&e)
}

// about names what e is about. The backend is named where it is to blame, so
// that clients' failures are told once and not once a backend. Both may be nil.
func about(e *explain.Event, r *route, b *balancer.Backend) {
	if r == nil {
		return
	}
	e.Route = r.name
	if r.pool != nil {
		e.Pool = r.pool.Name()
	}
	if b != nil && e.Code.OfBackend() {
		e.Backend = b.Name()
	}
}

// ends are the codes of how an open socket ended, by who ended it and why; see
// relay.Summary. A Close frame is no failure.
var ends = [...]map[string]explain.Code{
	relay.ByClient: {
		"reset":         explain.Named("client_vanished"),
		"tls error":     explain.Named("client_vanished"),
		"end of stream": explain.Named("client_vanished"),
	},
	relay.ByBackend: {
		"reset":         explain.Named("backend_vanished"),
		"tls error":     explain.Named("backend_vanished"),
		"end of stream": explain.Named("backend_vanished"),
	},
	relay.ByHoldfast: frameEnds(map[string]explain.Code{
		"idle timeout":            explain.Named("idle_timeout"),
		"server is shutting down": explain.Named("shut_down"),
		"stopped":                 explain.Named("shut_down"),
		relay.ClientSilent:        explain.Named("client_silent"),
		relay.BackendSilent:       explain.Named("backend_silent"),
	}),
}

// codeOfEnd returns the code of a socket's end; 0: it was in order.
func codeOfEnd(sum relay.Summary) explain.Code {
	code := ends[sum.Ender][sum.Reason]
	if code == 0 && sum.Ender == relay.ByHoldfast {
		return closedByOrder // in words of the operator's
	}
	return code
}

var closedByOrder = explain.Named("closed_by_order")
