package admin

import (
	"strings"
	"time"

	"github.com/valyala/fasthttp"
)

// policy is what a page of this server may do: load what the server itself
// serves, and nothing else, from nowhere else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// endpoints are all that is served, as docs/openapi.yaml describes it.
func (s *Server) endpoints() []endpoint {
	const get, post, del = fasthttp.MethodGet, fasthttp.MethodPost, fasthttp.MethodDelete
	list := []endpoint{
		{get, "/healthz", open, s.healthz, nil},
		{get, "/readyz", open, s.readyz, nil},
		{get, "/api/v1/status", withToken, s.status, nil},
		{get, "/api/v1/pools", withToken, s.pools, nil},
		{get, "/api/v1/pools/{pool}", withToken, s.pool, nil},
		{post, "/api/v1/pools/{pool}/drain", withToken, s.drain, []string{"deadline"}},
		{post, "/api/v1/pools/{pool}/undrain", withToken, s.undrain, nil},
		{post, "/api/v1/pools/{pool}/maintenance", withToken, s.maintenance, nil},
		{get, "/api/v1/pools/{pool}/backends", withToken, s.backends, nil},
		{get, "/api/v1/pools/{pool}/backends/{backend}", withToken, s.backend, nil},
		{post, "/api/v1/pools/{pool}/backends/{backend}/drain", withToken, s.drain, []string{"deadline"}},
		{post, "/api/v1/pools/{pool}/backends/{backend}/undrain", withToken, s.undrain, nil},
		{post, "/api/v1/pools/{pool}/backends/{backend}/maintenance", withToken, s.maintenance, nil},
		{get, "/api/v1/sockets", withToken, s.sockets, []string{"address", "backend", "cursor", "key", "limit", "pool"}},
		{get, "/api/v1/sockets/{id}", withToken, s.socket, nil},
		{del, "/api/v1/sockets/{id}", withToken, s.closeSocket, []string{"code", "reason"}},
		{get, "/api/v1/config", withToken, s.config, nil},
		{post, "/api/v1/reload", withToken, s.reload, nil},
		{post, "/api/v1/upgrade", withToken, s.upgrade, []string{"timeout"}},
		{post, "/api/v1/plan", withToken, s.plan, []string{"name"}},
		{get, "/api/v1/events", withToken, s.events, nil},
		{get, "/api/v1/history", withToken, s.history, []string{"after"}},
	}
	if s.opts.Metrics != nil {
		list = append(list, endpoint{get, "/metrics", withToken, s.metrics, nil})
	}
	return append(list, s.page()...)
}

// handle checks what is common to all paths and passes the request on.
func (s *Server) handle(ctx *fasthttp.RequestCtx) {
	h := &ctx.Response.Header
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", policy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")

	if !s.hosts.allows(string(ctx.Request.Header.Host())) {
		errMisdirected.send(ctx)
		return
	}
	e, values, methods := find(s.routes, string(ctx.Method()), string(ctx.URI().PathOriginal()))
	switch {
	case e != nil:
	case methods == nil:
		errNoPath.send(ctx)
		return
	default:
		h.Set("Allow", strings.Join(methods, ", "))
		(&Problem{fasthttp.StatusMethodNotAllowed, "this path does not answer " + string(ctx.Method()), "wrong_method",
			"use " + strings.Join(methods, " or ")}).send(ctx)
		return
	}
	if e.access == withToken && !s.authorized(ctx) {
		h.Set("WWW-Authenticate", `Bearer realm="holdfast"`)
		errToken.send(ctx)
		return
	}
	// Reading is safe: a browser keeps an answer from pages of other origins.
	if e.method != fasthttp.MethodGet && !sameSite(&ctx.Request.Header) {
		errCrossSite.send(ctx)
		return
	}
	if problem := e.misspelt(ctx.QueryArgs()); problem != nil {
		problem.send(ctx)
		return
	}
	e.serve(ctx, values)
}

// authorized tells whether a request shows the token that runs, or none is
// asked for.
func (s *Server) authorized(ctx *fasthttp.RequestCtx) bool {
	return s.token.Load().allows(string(ctx.Request.Header.Peek("Authorization")))
}

func (s *Server) healthz(ctx *fasthttp.RequestCtx, _ params) {
	sendJSON(ctx, fasthttp.StatusOK, struct {
		Status string `json:"status"`
	}{"alive"})
}

// readiness is the body of /readyz.
type readiness struct {
	Status string `json:"status"` // ready | not ready
	Reason string `json:"reason,omitempty"`
	// PoolsDown names the pools in which no backend is usable, to those who
	// may see pools.
	PoolsDown []string `json:"pools_down,omitempty"`
}

func (s *Server) readyz(ctx *fasthttp.RequestCtx, _ params) {
	if err := s.opts.Ready(); err != nil {
		ctx.Response.Header.Set("Retry-After", "1")
		sendJSON(ctx, fasthttp.StatusServiceUnavailable, readiness{Status: "not ready", Reason: err.Error()})
		return
	}
	body := readiness{Status: "ready"}
	if s.authorized(ctx) {
		for _, p := range s.snapshot() {
			if p.Down() {
				body.PoolsDown = append(body.PoolsDown, p.Name)
			}
		}
	}
	sendJSON(ctx, fasthttp.StatusOK, body)
}

// Status is the process as a whole, as /api/v1/status shows it.
type Status struct {
	Version       string        `json:"version"`
	Began         time.Time     `json:"began"`
	Now           time.Time     `json:"now"`
	Ready         bool          `json:"ready"`
	Reason        string        `json:"reason,omitempty"`
	Configuration Configuration `json:"configuration"`
	// Totals of all sockets since the process began.
	ClientToBackend Flow `json:"client_to_backend"`
	BackendToClient Flow `json:"backend_to_client"`
}

// Configuration says how the last reload went.
type Configuration struct {
	File   string    `json:"file,omitempty"`
	Loaded time.Time `json:"loaded,omitzero"` // that which runs
	// Refused is why the newest file does not run; empty: it does.
	Refused []string `json:"refused,omitempty"`
}

// Flow is what has passed in one direction.
type Flow struct {
	Bytes  uint64 `json:"bytes"`
	Frames uint64 `json:"frames"`
}

func (s *Server) status(ctx *fasthttp.RequestCtx, _ params) {
	st := s.opts.Status()
	st.Version, st.Now, st.Ready = s.opts.Version, time.Now(), true
	if err := s.opts.Ready(); err != nil {
		st.Ready, st.Reason = false, err.Error()
	}
	sendJSON(ctx, fasthttp.StatusOK, st)
}

func (s *Server) config(ctx *fasthttp.RequestCtx, _ params) {
	if s.opts.Config == nil {
		errUnavailable.send(ctx)
		return
	}
	sendJSON(ctx, fasthttp.StatusOK, s.opts.Config())
}

func (s *Server) metrics(ctx *fasthttp.RequestCtx, _ params) { s.metricsHandler(ctx) }
