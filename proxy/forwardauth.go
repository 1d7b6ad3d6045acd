package proxy

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/holdfast-lb/holdfast/auth"
	"github.com/holdfast-lb/holdfast/metrics"
)

// copiedFields are what an auth server has to say to the backend.
type copiedFields struct {
	names []string // in lower case, with hyphens, of fields that no client may send
	lines []byte   // whole fields, each with its line end
}

// drops tells whether a client's field must not pass. Many gateways to
// applications cannot tell an underscore from a hyphen.
func (c *copiedFields) drops(name []byte) bool {
	for _, n := range c.names {
		if isNameOrUnderscored(name, n) {
			return true
		}
	}
	return false
}

// askForward has the route's auth server judge. It is true when the request
// may go on; otherwise it has been answered and x given back.
func (x *exchange) askForward(g *guard) bool {
	answer, err := g.forward.Ask(x.questions())
	if err != nil {
		c := authUnavailable
		if errors.Is(err, auth.ErrBroken) {
			c = authBroken
		}
		x.why = err
		return x.deny(c, "")
	}
	if !answer.Passes() {
		x.deliverRefusal(answer)
		return false
	}
	copied := &copiedFields{names: g.dropped}
	for _, name := range g.copied {
		for _, value := range answer.Header.Values(name) {
			copied.lines = appendField(copied.lines, http.CanonicalHeaderKey(name), []byte(value))
		}
	}
	x.req.copied = copied
	return true
}

// questions are the fields that the auth server gets: the client's, but for
// those of the connection, of a body, of a cache and of a handshake, and what
// this proxy knows.
func (x *exchange) questions() http.Header {
	h := make(http.Header)
	b := &x.req.fields
	for i := range b.fields {
		f := &b.fields[i]
		name := string(b.nameOf(f))
		lower := strings.ToLower(name)
		switch {
		case f.kind != plain && f.kind != endToEnd && f.kind != cookie,
			f.kind == plain && b.listed > 0 && b.named(f),
			strings.HasPrefix(lower, "content-"), strings.HasPrefix(lower, "sec-websocket-"), strings.HasPrefix(lower, "if-"),
			lower == "range", lower == "accept-encoding":
			continue
		}
		h.Add(name, string(b.valueOf(f)))
	}
	h.Set("X-Forwarded-Method", string(x.req.method))
	h.Set("X-Forwarded-Uri", string(x.req.target))
	h.Set("X-Forwarded-Host", string(x.req.host))
	h.Set("X-Forwarded-Proto", x.req.proto)
	if x.req.client.ip.IsValid() {
		h.Set("X-Forwarded-For", x.req.client.ip.String())
	}
	h.Set("X-Request-Id", string(x.req.id.bytes()))
	if len(x.req.subject) > 0 {
		h.Set("X-Client-Cert-Subject", string(x.req.subject))
	}
	return h
}

// deliverRefusal gives the client what the auth server answered: a 401 with
// its challenge, a 403, a redirect to a page for logging in. x is given back.
func (x *exchange) deliverRefusal(a *auth.Answer) {
	resp := &x.ctx.Response
	resp.Reset()
	resp.SetStatusCode(a.Status)
	for name, values := range a.Header {
		switch classify([]byte(name)) {
		case plain, endToEnd:
		default:
			continue
		}
		for _, value := range values {
			resp.Header.Add(name, value)
		}
	}
	resp.SetBody(a.Body)
	x.applyRules()
	x.refused = authDenied
	x.closeIfUnread()
	if !x.req.wantsWebSocket() {
		x.bytesOut = int64(len(a.Body))
		x.finish(ok)
		return
	}
	took := time.Since(x.start)
	x.route.metrics.Handshake(metrics.HandshakeDenied, took)
	x.bytesOut = int64(len(a.Body))
	x.logAccess(a.Status, took, authDenied)
	if x.span != nil {
		x.endSpan(a.Status, authDenied)
	}
	x.recycle()
}
