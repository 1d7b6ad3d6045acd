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
	// Upgrade has the program that is at the process's path now take over, and
	// returns when it serves, or does not: then the process goes on as before.
	// It has so long to be ready; 0: as long as usual.
	Upgrade func(within time.Duration) (Upgrade, error)
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

// Upgrade is how the exchange of the program went.
type Upgrade struct {
	Status  string `json:"status"` // upgraded | failed
	PID     int    `json:"pid,omitempty"`
	Version string `json:"version,omitempty"`
	// Carried is how many sockets went to the new process without a break, and
	// Left how many are told to connect again by the one before it.
	Carried int `json:"carried"`
	Left    int `json:"left"`
	// Errors are why it failed.
	Errors []string `json:"errors,omitempty"`
}

func (s *Server) drain(ctx *fasthttp.RequestCtx, p params) {
	deadline, ok := duration(ctx, "deadline", ctx.QueryArgs().Peek("deadline"))
	if ok {
		s.setMode(ctx, p, Order{Mode: "drain", Deadline: deadline})
	}
}

// duration reads the query parameter of that name, 0 if it is empty. If it cannot
// be read, the answer says so.
func duration(ctx *fasthttp.RequestCtx, name string, value []byte) (time.Duration, bool) {
	text := string(value)
	if text == "" {
		return 0, true
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		BadValue(name, strconv.Quote(text)+" is no time to wait", "write more than 0 with a unit, such as 30s or 5m").send(ctx)
		return 0, false
	}
	return d, true
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

func (s *Server) upgrade(ctx *fasthttp.RequestCtx, _ params) {
	if s.opts.Control.Upgrade == nil {
		errNoFile.send(ctx)
		return
	}
	within, ok := duration(ctx, "timeout", ctx.QueryArgs().Peek("timeout"))
	if !ok {
		return
	}
	u, err := s.opts.Control.Upgrade(within)
	switch {
	case err != nil:
		s.sendError(ctx, err)
	case u.Status == "failed":
		sendJSON(ctx, fasthttp.StatusUnprocessableEntity, struct {
			*Problem
			Upgrade
		}{&Problem{Message: "the upgrade failed, the process goes on as before", Code: "failed",
			Remedy: "mend what errors says and upgrade again"}, u})
	default:
		sendJSON(ctx, fasthttp.StatusOK, u)
	}
}
