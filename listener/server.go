package listener

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"os"
	"runtime/debug"

	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/internal/explain"
)

// newServer returns a fasthttp server whose read buffers hold headers of up to
// headerBytes.
func (sk *socket) newServer(headerBytes int) *fasthttp.Server {
	return &fasthttp.Server{
		Handler:        sk.handle,
		ErrorHandler:   sk.answerError,
		HeaderReceived: headerReceived,
		ConnState:      noteState,
		ReadBufferSize: headerBytes,
		Logger:         logger{sk.log},

		// The ledger has the limits, fasthttp is to have none. Its body limit
		// cannot be switched off; max_body_bytes is the handler's.
		Concurrency:        math.MaxInt32,
		MaxRequestBodySize: math.MaxInt,

		// What passes through is not to be altered. Names are left to be
		// normalised all the same: the proxy forwards the raw header, and
		// without it fasthttp overlooks "expect: 100-continue" in lower case.
		StreamRequestBody:            true,
		DisablePreParseMultipartForm: true,
		NoDefaultServerHeader:        true,
		NoDefaultContentType:         true,
		NoDefaultDate:                true,

		// Errors would hold whole headers, cookies included.
		SecureErrorLogMessage: true,
		LazyRequestTime:       true,
	}
}

// headerReceived makes fasthttp call Conn.SetReadDeadline, which is how a Conn
// learns that a header is complete: no other hook comes before the first bytes
// of the body are read.
func headerReceived(*fasthttp.RequestHeader) fasthttp.RequestConfig {
	return fasthttp.RequestConfig{ReadTimeout: 1}
}

// noteState tells the Conn which part of a request comes next.
func noteState(nc net.Conn, state fasthttp.ConnState) {
	c, ok := connOf(nc)
	if !ok {
		return
	}
	switch state {
	case fasthttp.StateActive:
		c.phase.Store(uint32(phaseHeader))
	case fasthttp.StateIdle:
		c.headerArmed, c.lingers, c.metered, c.served = false, false, false, true
		c.phase.Store(uint32(phaseIdle))
	}
}

// handle is the handler of every server: the one of the settings, with a net
// below it and an end to keep-alive once the listener stops.
func (sk *socket) handle(ctx *fasthttp.RequestCtx) {
	sk.opts.Help() // it is not to be caught: what fails there is no request's
	defer sk.catch(ctx)
	c, _ := connOf(ctx.Conn())
	if n := ctx.Request.Header.ContentLength(); n > 0 || n == -1 {
		// Should this connection be closed now, the client may still be sending.
		c.lingers = true
	}
	st := sk.settings.Load()
	st.handler(ctx)
	c.requests++
	last := st.limits.MaxRequestsPerConnection > 0 && c.requests >= st.limits.MaxRequestsPerConnection
	if (last || sk.stopping.Load()) && !ctx.Hijacked() {
		ctx.SetConnectionClose()
	}
}

// catch keeps a handler's panic to its own request: thousands of sockets
// must not end because of one.
func (sk *socket) catch(ctx *fasthttp.RequestCtx) {
	v := recover()
	if v == nil {
		return
	}
	sk.log.Error("handler panicked, its request is answered with 500", "code", codePanicked.String(), "listener", sk.settings.Load().name,
		"panic", fmt.Sprint(v), "stack", string(debug.Stack()))
	ctx.Hijack(nil)
	plain(ctx, codePanicked, "internal server error: the request could not be handled\n")
	ctx.SetConnectionClose()
}

// answerError answers a request that reached no handler. fasthttp closes the
// connection afterwards.
func (sk *socket) answerError(ctx *fasthttp.RequestCtx, err error) {
	c, _ := connOf(ctx.Conn())
	c.lingers = true
	var tooBig *fasthttp.ErrSmallBuffer
	code, body := codeBadRequest, "bad request: this is not a well-formed HTTP/1.1 request\n"
	switch {
	case c.record:
		code, body = codeRecord, "bad request: this port speaks no TLS, write http:// or ws:// in place of https:// or wss://\n"
	case errors.As(err, &tooBig):
		code, body = codeHeaderTooLarge, "request header too large: it exceeds max_header_bytes\n"
	case errors.Is(err, ErrBodyTimeout):
		code, body = codeBodyTimeout, "request timeout: the body stopped coming\n"
	case errors.Is(err, os.ErrDeadlineExceeded):
		code, body = codeHeaderTimeout, "request timeout: the header did not come in time\n"
	case errors.Is(err, fasthttp.ErrBodyTooLarge):
		code, body = codeBodyTooLarge, "request body too large\n"
	}
	plain(ctx, code, body)
	if sk.opts.BadRequest != nil {
		sk.opts.BadRequest(sk.settings.Load().name, c.client, ctx, code)
	}
}

// plain makes a one-line text behind its code the answer.
func plain(ctx *fasthttp.RequestCtx, code explain.Code, body string) {
	ctx.Response.Reset()
	ctx.Response.SetStatusCode(code.Page().Status)
	ctx.Response.Header.SetContentType("text/plain; charset=utf-8")
	ctx.Response.SetBodyString(code.String() + " " + body)
}

// logger passes what fasthttp says on at debug level: it speaks of single
// connections only.
type logger struct{ log *slog.Logger }

func (l logger) Printf(format string, args ...any) {
	l.log.Debug("fasthttp: " + fmt.Sprintf(format, args...))
}
