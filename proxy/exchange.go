package proxy

import (
	"bufio"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/balancer"
	"github.com/holdfast-lb/holdfast/metrics"
	"github.com/holdfast-lb/holdfast/tracing"
)

// prefetched is how many bytes of a body of known length fasthttp has read
// before it calls the handler. Bodies up to this size are kept and can be sent
// again; longer and chunked ones are streamed, once.
const prefetched = 8 << 10

// exchange is one request and its answer, with all the memory that they need.
// It belongs to the goroutine of its handler and, once the handler has
// returned, to the response that fasthttp is writing.
type exchange struct {
	p     *Proxy
	ctx   *fasthttp.RequestCtx
	rt    *Runtime
	l     *listenerPolicy
	route *route
	start time.Time

	req    request
	query  balancer.Query
	keyBuf [16]byte
	tried  balancer.Tried
	lease  balancer.Lease

	head []byte // what was written to the backend: head and kept body
	body []byte // a kept body

	replayable bool  // the whole request can be sent twice without harm
	sent       bool  // the failed attempt has sent something
	answered   bool  // a byte of the failed attempt's answer came
	out, in    int64 // counts of conn when the attempt began

	named   bool  // the client has shown a name and its password
	refused class // why the answer is our own; ok if it is a backend's
	why     error // what ended the last attempt, in the system's words; may be nil

	up     *upstream // of the backend that holds the lease
	conn   *backendConn
	reader *bufio.Reader // on conn; nil when nothing is read
	said   fieldBlock    // header of the backend's answer

	early  *gathered // of a streamed body, what had come when the attempt began; nil: nothing
	upload *upload   // of the rest, once it has begun
	whole  bool      // no rest: the body went out with the header
	answer answer    // of a streamed answer

	bytesIn, bytesOut int64 // of the bodies

	span    *tracing.Span // nil: nobody traces
	attempt *tracing.Span // of the last attempt, while it goes on
}

var exchanges = sync.Pool{New: func() any { return new(exchange) }}

// maxAnswerHeader bounds the header of an answer, in bytes.
const maxAnswerHeader = 16 << 10

// readers are shared by all upstreams, so that an idle connection has no
// buffer.
var readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, maxAnswerHeader) }}

// serve answers one request.
func (p *Proxy) serve(ctx *fasthttp.RequestCtx, rt *Runtime, l *listenerPolicy) {
	x := exchanges.Get().(*exchange)
	x.p, x.ctx, x.rt, x.l = p, ctx, rt, l
	x.start = time.Now()
	x.req.read(ctx, l)
	if t := p.tracer.Load(); t != nil {
		x.beginSpan(t)
	}
	if a := x.challenged(); a != nil {
		x.answerLocally(a)
		return
	}
	if c := x.admit(); c != ok {
		x.refuse(c)
		return
	}
	if p.short() {
		x.refuseForMemory()
		return
	}
	if x.route != nil && x.route.guard != nil && !x.guarded() {
		return
	}
	if a := x.local(); a != nil {
		x.answerLocally(a)
		return
	}
	if x.req.wantsWebSocket() {
		x.openWebSocket()
		return
	}
	c := x.takeBody()
	if c == ok {
		c = x.forward()
	}
	switch {
	case c != ok:
		x.refuse(c)
	case x.answer.body != nil:
		// The answer finishes the exchange.
	case x.uploading():
		x.answerAndClose()
	default:
		x.closeIfUnread()
		x.finish(ok)
	}
}

// admit refuses what no backend should see, and finds the route.
func (x *exchange) admit() class {
	if c := x.req.judge(&x.ctx.Request.Header); c != ok {
		return c
	}
	if x.l.local != nil {
		return ok // whatever the host and the path
	}
	x.route = x.rt.router.find(x.req.host, x.req.path)
	if !isPlain(x.req.path) && !x.surely() {
		x.route = nil
		return badPath
	}
	if x.route == nil {
		return noRoute
	}
	if x.route.rewrite != nil && !x.rewrite() {
		return badPath
	}
	return ok
}

// surely tells whether the path leads to the same route however a backend
// decodes and cleans it, and does not climb. Otherwise what one route guards
// could be reached by way of another.
func (x *exchange) surely() bool {
	var buf [256]byte
	plain, host, ok := appendPlain(buf[:0], x.req.path)
	return ok && x.rt.plainRouter.find(x.req.host, plain) == x.route &&
		(host == 0 || x.rt.plainRouter.find(x.req.host, plain[host:]) == x.route)
}

// takeBody keeps a short body, and refuses one that is known to be too long.
func (x *exchange) takeBody() class {
	x.body = x.body[:0]
	n := x.ctx.Request.Header.ContentLength()
	if x.l.maxBody > 0 && int64(n) > x.l.maxBody {
		return bodyTooLarge
	}
	stream := x.ctx.RequestBodyStream()
	switch {
	case n > prefetched || n == -1:
		x.replayable = false
		return ok
	case n > 0 && stream != nil:
		for len(x.body) < n {
			if cap(x.body) < n {
				x.body = make([]byte, 0, prefetched)
			}
			read, err := stream.Read(x.body[len(x.body):n])
			x.body = x.body[:len(x.body)+read]
			if err != nil && len(x.body) < n {
				return classOfBody(err)
			}
		}
		x.bytesIn = int64(n)
	}
	x.replayable = n <= 0 || isIdempotent(x.req.method)
	return ok
}

// streams tells whether the request's body is streamed.
func (x *exchange) streams() bool {
	n := x.ctx.Request.Header.ContentLength()
	return n > prefetched || n == -1
}

// isIdempotent tells whether sending the request twice has the effect of
// sending it once (RFC 9110, section 9.2.2).
func isIdempotent(method []byte) bool {
	switch string(method) {
	case fasthttp.MethodGet, fasthttp.MethodHead, fasthttp.MethodPut, fasthttp.MethodDelete,
		fasthttp.MethodOptions, fasthttp.MethodTrace:
		return true
	}
	return false
}

// refuse answers for the backend.
func (x *exchange) refuse(c class) {
	x.refused = c
	if c.ends() {
		defer x.ctx.SetConnectionClose()
	}
	c.write(&x.ctx.Response, &x.req.id)
	x.applyRules()
	x.bytesOut = int64(len(x.ctx.Response.Body()))
	if x.uploading() {
		x.answerAndClose()
		return
	}
	x.closeIfUnread()
	x.finish(ok)
}

// refuseForMemory is refuse for a request or a handshake that comes while the
// process is short of memory.
func (x *exchange) refuseForMemory() {
	if x.route == nil || !x.req.wantsWebSocket() {
		x.refuse(memoryShort)
		return
	}
	defer x.ctx.SetConnectionClose() // x is another request's by then
	x.refuseHandshake(memoryShort, metrics.HandshakeOverloaded)
}

// closeIfUnread ends the client's connection behind the answer if a streamed
// body was not read to its end: there is no telling how much is to come.
func (x *exchange) closeIfUnread() {
	if x.streams() && !x.whole && (x.upload == nil || x.upload.result != ok) {
		x.ctx.SetConnectionClose()
	}
}

// finish accounts for the request and gives the exchange back; the caller must
// not touch it any more. c is what went wrong with the answer after its status
// was chosen.
func (x *exchange) finish(c class) {
	status := x.ctx.Response.StatusCode()
	if c == ok {
		c = x.refused
	}
	if c == clientGone {
		status = statusClientGone
	}
	if x.upload != nil {
		x.bytesIn = x.upload.read
	}
	took := time.Since(x.start)
	x.report(c)
	if x.route != nil {
		x.route.metrics.Request(status, took)
	} else {
		x.p.unrouted.Request(status, took)
	}
	x.logAccess(status, took, c)
	if x.span != nil {
		x.endSpan(status, c)
	}
	x.recycle()
}

// recycle forgets the request but not its memory.
func (x *exchange) recycle() {
	x.p, x.ctx, x.rt, x.l, x.route = nil, nil, nil, nil, nil
	x.ungather()
	x.up, x.conn, x.upload, x.why = nil, nil, nil, nil
	x.span, x.attempt = nil, nil
	x.said.raw = nil
	x.query, x.tried, x.lease = balancer.Query{}, balancer.Tried{}, balancer.Lease{}
	x.replayable, x.sent, x.answered, x.named, x.refused = false, false, false, false, ok
	x.whole = false
	x.bytesIn, x.bytesOut = 0, 0
	exchanges.Put(x)
}
