package proxy

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/config"
)

// shape is what a route changes in messages on their way. Most routes have
// none, and a nil *shape costs one comparison.
type shape struct {
	request   *fieldRules // nil: none
	response  *fieldRules // nil: none
	reverse   *reverse    // nil: a backend's addresses stay
	forwarded bool
}

// compileShape compiles what a route changes; nil if it is nothing.
func compileShape(r config.Route, rt *route) (*shape, error) {
	s := &shape{forwarded: r.Forwarded}
	var err error
	if s.request, err = compileRules(r.Headers.Request); err != nil {
		return nil, fmt.Errorf("headers.request: %w", err)
	}
	if s.response, err = compileRules(r.Headers.Response); err != nil {
		return nil, fmt.Errorf("headers.response: %w", err)
	}
	if r.RewriteRedirects && rt.pool != nil {
		s.reverse = &reverse{pool: rt.pool, prefix: rt.strip}
	}
	if *s == (shape{}) {
		return nil, nil
	}
	return s, nil
}

// facts are what the route's rules may ask for. They are borrowed from x.
func (x *exchange) facts() facts {
	f := facts{
		ip: x.req.client.ip, host: x.req.host, id: x.req.id.bytes(),
		scheme: x.req.proto, public: x.req.host, subject: x.req.subject,
	}
	if state := x.ctx.TLSConnectionState(); state != nil {
		f.tls = state.Version
	}
	if b := x.lease.Backend(); b != nil {
		f.backend = b.Name()
	}
	if x.route != nil && x.route.preserveHost {
		f.sent = x.req.host
	}
	if x.req.client.trusted {
		switch proto, _ := nextToken(x.req.fields.first(forwardedProto)); {
		case isName(proto, "https"):
			f.scheme = "https"
		case isName(proto, "http"):
			f.scheme = "http"
		}
		if name, _ := nextToken(x.req.fields.first(forwardedHost)); validHost(name) {
			f.public = name
		}
	}
	if !validHost(f.public) {
		f.public = nil
	}
	if x.route != nil && x.route.shape.setsHost() {
		f.sent = x.route.shape.request.host.appendTo(nil, &f)
	}
	return f
}

// keep makes the facts independent of the request's memory.
func (f *facts) keep() {
	f.host, f.id = bytes.Clone(f.host), bytes.Clone(f.id)
	f.subject = bytes.Clone(f.subject)
	f.public, f.sent = bytes.Clone(f.public), bytes.Clone(f.sent)
}

// answer changes the header of a backend's answer.
func (s *shape) answer(h *fasthttp.ResponseHeader, f *facts, buf []byte) []byte {
	if s.reverse != nil {
		s.reverse.apply(h, f)
	}
	if s.response != nil {
		buf = s.response.apply(h, f, buf)
	}
	return buf
}

// applyRules changes the header of an answer of our own.
func (x *exchange) applyRules() {
	if x.route == nil || x.route.shape == nil || x.route.shape.response == nil {
		return
	}
	f := x.facts()
	x.head = x.route.shape.response.apply(&x.ctx.Response.Header, &f, x.head)
}

// setsHost tells whether a rule decides which Host a backend sees.
func (s *shape) setsHost() bool { return s != nil && s.request != nil && s.request.host != nil }

// appendAnswered appends a field of a backend's 101, unless a rule is against
// it.
func (s *shape) appendAnswered(dst, name, value []byte, f *facts) []byte {
	switch {
	case s.response != nil && s.response.drops(name):
		return dst
	case s.reverse != nil && isName(name, "set-cookie"):
		return appendField(dst, string(name), s.reverse.appendCookie(nil, value, f))
	}
	return appendField(dst, name, value)
}

// renameBackend changes the fields that the rules have written at the end of
// the request head for one backend to those for another, and f with them.
func (s *shape) renameBackend(head []byte, f *facts, backend string) []byte {
	if s.request == nil {
		f.backend = backend
		return head
	}
	written := len(s.request.appendFields(nil, f)) + len("\r\n")
	f.backend = backend
	head = s.request.appendFields(head[:len(head)-written], f)
	return append(head, '\r', '\n')
}

// ownAnswer returns the whole answer for the class, for a connection that is
// closed behind it.
func (s *socket) ownAnswer(c class) []byte {
	if s.call == nil || s.route.shape == nil || s.route.shape.response == nil {
		return c.appendAnswer(nil, &s.id, s.stayAway(c))
	}
	resp := fasthttp.AcquireResponse()
	defer fasthttp.ReleaseResponse(resp)
	c.write(resp, &s.id)
	if seconds := s.stayAway(c); seconds > 0 {
		resp.Header.Set("Retry-After", strconv.Itoa(seconds))
	}
	s.route.shape.response.apply(&resp.Header, s.call.facts, nil)
	resp.SetConnectionClose()
	resp.Header.SetContentLength(len(resp.Body()))
	return append(resp.Header.AppendBytes(nil), resp.Body()...)
}

// stayAway is how many seconds the client is asked to wait before it tries
// again; 0: as the class says.
func (s *socket) stayAway(c class) int {
	if c != queueTimeout {
		return 0
	}
	return s.route.queue.retryAfter(s.route.pool.HandshakeRate())
}
