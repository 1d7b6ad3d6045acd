package admin

import (
	"strconv"
	"time"

	"github.com/valyala/fasthttp"
)

// Control is what may be done to a running Holdfast. A nil function is
// answered with 501. They may block; an error that is a [Problem] is answered
// as it is.
type Control struct {
	// SetMode changes what the operator wants of a backend, or of every
	// backend of a pool if none is named.
	SetMode func(Order) error
	// Reload reads the configuration again and returns when it runs or was
	// refused.
	Reload func() (Outcome, error)
	// Plan tells what a reload with another configuration would do, or every
	// mistake in it.
	Plan func(Proposal) (plan Plan, mistakes []string, err error)
}

// Order is a change of mode.
type Order struct {
	Pool, Backend string // Backend empty: the whole pool
	Mode          string // ready | drain | maintenance
	// Deadline is when a drain's last sockets are closed, from now; 0: as the
	// pool's configuration says.
	Deadline time.Duration
}

// Outcome is how a reload went.
type Outcome struct {
	Status  string   `json:"status"` // reloaded | unchanged | refused
	Changes string   `json:"changes,omitempty"`
	Errors  []string `json:"errors,omitempty"` // every mistake, if it was refused
	// Warnings are about what is legal and probably not meant.
	Warnings []string `json:"warnings,omitempty"`
}

func (s *Server) drain(ctx *fasthttp.RequestCtx, p params) {
	var deadline time.Duration
	if text := string(ctx.QueryArgs().Peek("deadline")); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil || d <= 0 {
			BadValue("deadline", strconv.Quote(text)+" is no time to wait", "write more than 0 with a unit, such as 30s or 5m").send(ctx)
			return
		}
		deadline = d
	}
	s.setMode(ctx, p, Order{Mode: "drain", Deadline: deadline})
}

func (s *Server) undrain(ctx *fasthttp.RequestCtx, p params) {
	s.setMode(ctx, p, Order{Mode: "ready"})
}

func (s *Server) maintenance(ctx *fasthttp.RequestCtx, p params) {
	s.setMode(ctx, p, Order{Mode: "maintenance"})
}

// setMode obeys o for the pool, or pool and backend, of a path, and answers
// with what became of it.
func (s *Server) setMode(ctx *fasthttp.RequestCtx, p params, o Order) {
	if s.opts.Control.SetMode == nil {
		errUnavailable.send(ctx)
		return
	}
	show := s.pool
	o.Pool = p[0]
	if len(p) == 2 {
		show = s.backend
		o.Backend = p[1]
	}
	if err := s.opts.Control.SetMode(o); err != nil {
		s.sendError(ctx, err)
		return
	}
	show(ctx, p)
}

func (s *Server) reload(ctx *fasthttp.RequestCtx, _ params) {
	if s.opts.Control.Reload == nil {
		errNoFile.send(ctx)
		return
	}
	outcome, err := s.opts.Control.Reload()
	switch {
	case err != nil:
		s.sendError(ctx, err)
	case outcome.Status == "refused":
		sendJSON(ctx, fasthttp.StatusUnprocessableEntity, struct {
			*Problem
			Outcome
		}{&Problem{Message: "the configuration is refused, the one before it still runs", Code: "refused",
			Remedy: "mend what errors names and reload again"}, outcome})
	default:
		sendJSON(ctx, fasthttp.StatusOK, outcome)
	}
}
