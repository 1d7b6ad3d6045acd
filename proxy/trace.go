package proxy

import (
	"github.com/holdfast-lb/holdfast/balancer"
	"github.com/holdfast-lb/holdfast/tracing"
)

// SetTracer has t make the spans of requests that come from now on; nil: there
// are none. The caller closes the one before it when its spans have ended.
func (p *Proxy) SetTracer(t *tracing.Tracer) { p.tracer.Store(t) }

// beginSpan begins the span of the request.
func (x *exchange) beginSpan(t *tracing.Tracer) {
	x.span = t.Begin(tracing.Remote{
		Parent:  x.req.fields.only("traceparent"),
		State:   x.req.fields.joined("tracestate"),
		Trusted: x.req.client.trusted,
	}, x.start)
	x.req.trace = x.span
}

// describeSpan tells the span what is asked for.
func (x *exchange) describeSpan() {
	if !x.span.Kept() {
		return
	}
	r := tracing.Request{
		Method: string(x.req.method), Scheme: x.req.proto, Host: string(x.req.host), Path: string(x.req.path),
		Protocol: "1.0", UserAgent: string(x.req.fields.get("user-agent")),
		ID: string(x.req.id.bytes()), Listener: x.l.name,
	}
	if x.ctx.Request.Header.IsHTTP11() {
		r.Protocol = "1.1"
	}
	if x.req.client.ip.IsValid() {
		r.Client = x.req.client.ip.String()
	}
	if x.route != nil {
		r.Route, r.RoutePath = x.route.name, x.route.path
	}
	x.span.Describe(&r)
}

// beginAttempt begins the span of an attempt at b, whose context b gets.
func (x *exchange) beginAttempt(b *balancer.Backend, n int) {
	x.attempt = x.span.Attempt(b.Key().Pool, b.Name(), b.Address(), text(x.req.method), n)
	x.req.trace = x.attempt
}

// endAttempt ends the span of an attempt that has failed.
func (x *exchange) endAttempt(c class) {
	x.attempt.End(0, c.String(), c.code().String())
	x.attempt = nil
}

// endSpan ends the spans of the request with the status that the client got.
func (x *exchange) endSpan(status int, c class) {
	x.describeSpan()
	x.attempt.End(status, c.String(), c.code().String())
	x.span.End(status, c.String(), c.code().String())
	x.span, x.attempt = nil, nil
}

// spans are those of a handshake. The zero value has none.
type spans struct {
	whole   *tracing.Span
	attempt *tracing.Span // nil: none under way
	sent    *tracing.Span // whose context stands in the head for the backend
}

// handOverSpan gives the handshake the span of its request.
func (x *exchange) handOverSpan(c *calling, lease *balancer.Lease) {
	x.describeSpan()
	c.spans = spans{whole: x.span, sent: x.span}
	x.span = nil
	if !lease.Held() {
		c.spans.whole.Event("waits for a backend")
		return
	}
	c.beginAttempt(lease.Backend())
	x.req.trace, c.spans.sent = c.spans.attempt, c.spans.attempt
}

func (c *calling) beginAttempt(b *balancer.Backend) {
	c.spans.attempt = c.spans.whole.Attempt(b.Key().Pool, b.Name(), b.Address(), "GET", c.attempt)
}

// nextAttempt begins an attempt at b and puts its context into the head.
func (c *calling) nextAttempt(b *balancer.Backend) {
	c.beginAttempt(b)
	was, is := c.spans.sent.AppendParent(nil), c.spans.attempt.AppendParent(nil)
	c.head = replaceField(c.head, "traceparent", was, is)
	c.spans.sent = c.spans.attempt
}

// endAttempt ends the span of an attempt that has failed.
func (c *calling) endAttempt(failed class) {
	c.spans.attempt.End(0, failed.String(), failed.code().String())
	c.spans.attempt = nil
}

// endSpan ends the spans of the handshake with the status that the client got.
func (c *calling) endSpan(status int, failed class) {
	c.spans.attempt.End(status, failed.String(), failed.code().String())
	c.spans.whole.End(status, failed.String(), failed.code().String())
	c.spans = spans{}
}

// isTraceContext tells whether a field of that name is part of a trace context
// (W3C Trace Context, section 3).
func isTraceContext(name []byte) bool {
	return isName(name, "traceparent") || isName(name, "tracestate")
}
