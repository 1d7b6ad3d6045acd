package proxy

import (
	"net/netip"
	"time"
	"unsafe"

	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/accesslog"
	"github.com/holdfast-lb/holdfast/auth"
	"github.com/holdfast-lb/holdfast/internal/explain"
	"github.com/holdfast-lb/holdfast/relay"
)

// AccessLogs says where records go: to the log of their route, or else to that
// of their listener, or else to Default. A nil Logger is nowhere.
type AccessLogs struct {
	Default           *accesslog.Logger
	Listeners, Routes map[string]*accesslog.Logger // by name, of those that have their own
}

// of returns the log for a listener and a route; nil: none.
func (a *AccessLogs) of(listener, route string) *accesslog.Logger {
	if a == nil {
		return nil
	}
	if l, own := a.Routes[route]; own {
		return l
	}
	if l, own := a.Listeners[listener]; own {
		return l
	}
	return a.Default
}

// SetAccessLogs sends the records of requests and sockets that end from now on
// to a; nil: nowhere. The caller changes nothing in a any more, and closes the
// logs before it that a has not.
func (p *Proxy) SetAccessLogs(a *AccessLogs) { p.access.Store(a) }

// accessLog returns the log for the exchange; nil: none.
func (x *exchange) accessLog() *accesslog.Logger {
	route := ""
	if x.route != nil {
		route = x.route.name
	}
	return x.p.access.Load().of(x.l.name, route)
}

// logAccess writes the line of a request that was answered.
func (x *exchange) logAccess(status int, took time.Duration, c class) {
	l := x.accessLog()
	if l == nil {
		return
	}
	var r accesslog.Record
	x.fill(&r)
	r.Status, r.Duration, r.Error, r.Code = status, took, c.String(), c.code().String()
	r.BytesIn, r.BytesOut = uint64(x.bytesIn), uint64(x.bytesOut) // #nosec G115 -- counts
	if b := x.lease.Backend(); b != nil {
		r.Backend = b.Name()
	}
	l.Log(&r)
}

// fill tells who asked for what. The strings are the request's own memory.
func (x *exchange) fill(r *accesslog.Record) {
	h := &x.ctx.Request.Header
	r.Time = x.start
	r.Listener = x.l.name
	if x.route != nil {
		r.Route = x.route.name
	}
	r.RequestID = text(x.req.id.bytes())
	r.Client = x.req.client.ip
	if x.named {
		authorization, _ := x.req.fields.sole("authorization")
		r.User = auth.User(authorization)
	}
	r.Method = text(x.req.method)
	r.Host = text(x.req.host)
	r.URI = x.rt.redact(text(h.RequestURI()))
	r.Proto = text(h.Protocol())
	r.Referer = x.rt.redact(text(x.req.fields.get("referer")))
	r.UserAgent = text(x.req.fields.get("user-agent"))
}

// BadRequest counts and logs what never became a request: the listener has
// answered it as the page of code says. ctx holds what could be read of it.
func (p *Proxy) BadRequest(listener string, client netip.Addr, ctx *fasthttp.RequestCtx, code explain.Code) {
	page := code.Page()
	p.unrouted.Request(page.Status, 0)
	p.reports.Report(&explain.Event{Code: code, Listener: listener, Client: client})
	l := p.access.Load().of(listener, "")
	if l == nil {
		return
	}
	h := &ctx.Request.Header
	l.Log(&accesslog.Record{
		Time: time.Now(), Listener: listener, Client: client, Status: page.Status,
		Error: page.Name, Code: code.String(),
		Method: text(h.Method()), Host: text(h.Host()), URI: p.runtime.Load().redact(text(h.RequestURI())), Proto: text(h.Protocol()),
	})
}

// asked is what a client has asked for with its handshake, for a log that has
// the line when the socket ends. All of its texts are one piece of memory.
type asked struct {
	listener string
	text     string // user, Host, target, Referer and User-Agent, one behind the other
	user     uint32 // where they end in text
	host     uint32
	uri      uint32
	referer  uint32
}

// asked takes note of it; nil: no log wants it.
func (x *exchange) asked() *asked {
	if x.accessLog() == nil {
		return nil
	}
	var r accesslog.Record
	x.fill(&r)
	return newAsked(r.Listener, r.User, r.Host, r.URI, r.Referer, r.UserAgent)
}

func newAsked(listener, user, host, uri, referer, agent string) *asked {
	a := &asked{listener: listener, text: user + host + uri + referer + agent}
	a.user = uint32(len(user))               // #nosec G115 -- a header is smaller
	a.host = a.user + uint32(len(host))      // #nosec G115
	a.uri = a.host + uint32(len(uri))        // #nosec G115
	a.referer = a.uri + uint32(len(referer)) // #nosec G115
	return a
}

// record is the line of a socket, as far as its handshake tells it.
func (s *socket) record() accesslog.Record {
	a := s.asked
	return accesslog.Record{
		Time: s.start, Listener: a.listener, Route: s.route.name,
		RequestID: text(s.id.bytes()), Client: s.client, User: a.text[:a.user],
		Method: "GET", Proto: "HTTP/1.1", // no other handshake gets here
		Host: a.text[a.user:a.host], URI: a.text[a.host:a.uri], Referer: a.text[a.uri:a.referer], UserAgent: a.text[a.referer:],
	}
}

// logHandshake writes the line of a handshake that led to no socket.
func (s *socket) logHandshake(status int, c class) {
	if s.asked == nil {
		return
	}
	r := s.record()
	r.Status, r.Duration, r.Error, r.Code = status, time.Since(s.start), c.String(), c.code().String()
	if b := s.lease.Backend(); b != nil {
		r.Backend = b.Name()
	}
	s.p.access.Load().of(r.Listener, r.Route).Log(&r)
}

// logClosed writes the line of a socket that has ended.
func (s *socket) logClosed(sum relay.Summary, code explain.Code) {
	if s.asked == nil {
		return
	}
	r := s.record()
	r.Socket, r.Status, r.Duration = true, 101, time.Since(s.start)
	r.Backend = s.lease.Backend().Name()
	r.BytesIn, r.BytesOut = sum.Bytes[relay.Client], sum.Bytes[relay.Backend]
	r.FramesIn, r.FramesOut = sum.Frames[relay.Client], sum.Frames[relay.Backend]
	r.CloseCode, r.ClosedBy, r.CloseReason = sum.Code, sum.Ender.String(), sum.Reason
	r.Code = code.String()
	s.p.access.Load().of(r.Listener, r.Route).Log(&r)
}

// text returns b as a string that is valid as long as b is unchanged.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
