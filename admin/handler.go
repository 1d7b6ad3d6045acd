package admin

import (
	_ "embed"
	"encoding/json"
	"errors"
	"html/template"

	"github.com/valyala/fasthttp"
)

//go:embed index.html
var indexPage string

var indexTemplate = template.Must(template.New("index").Parse(indexPage))

// handle checks what is common to all paths and passes the request on.
func (s *Server) handle(ctx *fasthttp.RequestCtx) {
	h := &ctx.Response.Header
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")

	if !s.hosts.allows(string(ctx.Request.Header.Host())) {
		sendError(ctx, fasthttp.StatusMisdirectedRequest,
			"the Host header names another machine: use localhost, 127.0.0.1 or the host of admin.address")
		return
	}
	serve, ok := s.routes[string(ctx.Path())]
	if !ok {
		sendError(ctx, fasthttp.StatusNotFound, "no such path: / lists those that exist")
		return
	}
	if !ctx.IsGet() && !ctx.IsHead() {
		h.Set("Allow", "GET, HEAD")
		sendError(ctx, fasthttp.StatusMethodNotAllowed, "only GET and HEAD are answered here")
		return
	}
	serve(ctx)
}

func (s *Server) healthz(ctx *fasthttp.RequestCtx) {
	sendJSON(ctx, fasthttp.StatusOK, struct {
		Status string `json:"status"`
	}{"alive"})
}

// readiness is the body of /readyz.
type readiness struct {
	Status string `json:"status"` // ready | not ready
	Reason string `json:"reason,omitempty"`
	// PoolsDown names the pools in which no backend is usable.
	PoolsDown []string `json:"pools_down,omitempty"`
}

func (s *Server) readyz(ctx *fasthttp.RequestCtx) {
	if err := s.opts.Ready(); err != nil {
		ctx.Response.Header.Set("Retry-After", "1")
		sendJSON(ctx, fasthttp.StatusServiceUnavailable, readiness{Status: "not ready", Reason: err.Error()})
		return
	}
	body := readiness{Status: "ready"}
	for _, p := range s.snapshot() {
		if p.Usable == 0 {
			body.PoolsDown = append(body.PoolsDown, p.Name)
		}
	}
	sendJSON(ctx, fasthttp.StatusOK, body)
}

func (s *Server) pools(ctx *fasthttp.RequestCtx) {
	sendJSON(ctx, fasthttp.StatusOK, struct {
		Pools []Pool `json:"pools"`
	}{s.snapshot()})
}

func (s *Server) index(ctx *fasthttp.RequestCtx) {
	ctx.SetContentType("text/html; charset=utf-8")
	err := indexTemplate.Execute(ctx, struct {
		Version string
		Metrics bool
	}{s.opts.Version, s.opts.Metrics != nil})
	if err != nil {
		s.opts.Log.Error("write admin index", "error", err)
	}
}

// badRequest answers what never became a request.
func badRequest(ctx *fasthttp.RequestCtx, err error) {
	var small *fasthttp.ErrSmallBuffer
	switch {
	case errors.As(err, &small):
		sendError(ctx, fasthttp.StatusRequestHeaderFieldsTooLarge, "the request's header is larger than 8 KiB")
	case errors.Is(err, fasthttp.ErrBodyTooLarge):
		sendError(ctx, fasthttp.StatusRequestEntityTooLarge, "the request's body is larger than 1 KiB: none is needed here")
	case isTimeout(err):
		sendError(ctx, fasthttp.StatusRequestTimeout, "the request was not complete within 10 s")
	default:
		sendError(ctx, fasthttp.StatusBadRequest, "this is not an HTTP request")
	}
}

func isTimeout(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.As(err, &timeout) && timeout.Timeout()
}

func sendError(ctx *fasthttp.RequestCtx, status int, message string) {
	sendJSON(ctx, status, struct {
		Error string `json:"error"`
	}{message})
}

// sendJSON answers with v, a line to itself so that a terminal shows it well.
func sendJSON(ctx *fasthttp.RequestCtx, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil { // only a time beyond the year 9999 can do this
		status, body = fasthttp.StatusInternalServerError, []byte(`{"error":"the answer cannot be written as JSON"}`)
	}
	ctx.SetStatusCode(status)
	ctx.SetContentType("application/json")
	ctx.SetBody(append(body, '\n'))
}
