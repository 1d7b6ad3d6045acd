package proxy

import (
	"bytes"

	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/tracing"
)

// request is what the proxy understands of a client's request: slices into
// fasthttp's memory, valid while the handler runs. It keeps its own memory
// between requests.
type request struct {
	fields fieldBlock
	client client
	id     requestID

	method []byte
	target []byte // path and query as sent, or "*"
	path   []byte // target without the query
	query  []byte // behind the "?"
	host   []byte // that the client asked for, port included; may be empty
	proto  string // http or https
	// subject is that of the client's certificate, which was verified; empty:
	// there is none.
	subject []byte
	// absolute: the target named the host, so the Host field does not count
	// (RFC 9112, section 3.2.2).
	absolute bool
	// rewritten is the target for the backend if the route rewrites it; empty
	// otherwise.
	rewritten []byte
	// copied are fields for the backend; nil: none.
	copied *copiedFields
	// trace is whose context the backend gets; nil: that which the client sent,
	// if any.
	trace *tracing.Span
}

// read fills r from a request that fasthttp has accepted.
func (r *request) read(ctx *fasthttp.RequestCtx, l *listenerPolicy) {
	h := &ctx.Request.Header
	r.fields.parse(h.RawHeaders())
	r.method = h.Method()
	r.rewritten, r.copied, r.trace = nil, nil, nil
	r.host = h.Host()
	r.proto = "http"
	if ctx.IsTLS() {
		r.proto = "https"
	}
	r.subject = nil
	if l.clientCA {
		r.subject = subjectOf(ctx.TLSConnectionState())
	}
	r.setTarget(h.RequestURI())
	r.client.read(ctx.RemoteAddr(), l.trusted, &r.fields)
	ok := false
	if r.client.trusted {
		r.id, ok = keepRequestID(r.fields.first(requestIDField))
	}
	if !ok {
		r.id = newRequestID()
	}
}

// setTarget splits a request target in origin, absolute or asterisk form.
func (r *request) setTarget(target []byte) {
	r.absolute = false
	if len(target) > 0 && target[0] != '/' {
		if i := bytes.Index(target, []byte("://")); i >= 0 {
			r.absolute = true
			r.host = target[i+3:]
			target = nil
			if i := bytes.IndexAny(r.host, "/?"); i >= 0 {
				r.host, target = r.host[:i], r.host[i:]
			}
		}
	}
	r.target, r.path, r.query = target, target, nil
	if i := bytes.IndexByte(target, '?'); i >= 0 {
		r.path, r.query = target[:i], target[i+1:]
	}
}

// wantsWebSocket tells whether the client asks to switch to WebSocket; whether
// it does so correctly is another question.
func (r *request) wantsWebSocket() bool {
	return r.fields.websocket && (string(r.method) == fasthttp.MethodGet || r.fields.get("sec-websocket-key") != nil)
}

// appendHead appends the request head for the backend at that authority
// (host:port), for an HTTP request or a WebSocket handshake. f is what the
// rules of the route's shape write; it is not used without one.
func (r *request) appendHead(dst []byte, rt *route, authority []byte, f *facts, chunked, websocket bool) []byte {
	var target [256]byte
	h := head{
		method: r.method, target: r.rewritten,
		chunked: chunked, websocket: websocket,
		peer: r.client.peer(), trusted: r.client.trusted, proto: r.proto, public: r.host, id: r.id.bytes(), subject: r.subject,
		copied: r.copied, trace: r.trace,
	}
	if len(h.target) == 0 {
		h.target = rt.appendTarget(target[:0], r.target)
	}
	if len(h.target) == 0 || h.target[0] == '?' {
		h.target = append([]byte{'/'}, h.target...) // of an absolute form without a path
		if len(r.target) == 0 && string(r.method) == fasthttp.MethodOptions {
			h.target = []byte{'*'} // RFC 9112, section 3.2.4
		}
	}
	switch {
	case !rt.preserveHost || len(r.host) == 0:
		h.host = authority
	case r.absolute:
		h.host = r.host
	}
	if s := rt.shape; s != nil {
		h.rules, h.facts, h.forwarded = s.request, f, s.forwarded
		if s.request != nil && s.request.host != nil && len(f.sent) > 0 {
			h.host = f.sent
		}
	}
	return h.appendTo(dst, &r.fields)
}
