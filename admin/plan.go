package admin

import (
	"path"
	"strconv"
	"strings"

	"github.com/valyala/fasthttp"
)

// MaxPlanBytes bounds the configuration that a plan is asked for.
const MaxPlanBytes = 4 << 20

// Proposal is a configuration that might run.
type Proposal struct {
	Name string // of its file, without a path
	Text []byte // valid during the call only
}

// Plan is what a reload with another configuration would do.
type Plan struct {
	Changes  string           `json:"changes"` // as the reload would log them; empty: none
	Warnings []string         `json:"warnings,omitempty"`
	Backends []PlannedBackend `json:"backends"` // those that have sockets now, or come or go
	// Sockets that are open now: on backends that stay, and on those that
	// leave the configuration.
	SocketsStay   int64 `json:"sockets_stay"`
	SocketsRetire int64 `json:"sockets_retire"`
	// Keys are the sticky keys that tables remember now, KeysMoved those of
	// them that will be given another backend. The clients of KeysCarried, pools
	// that are sticky by cookie or token, hold theirs themselves: those with open
	// sockets count, a socket as a key, others are not known here.
	Keys        int64    `json:"keys"`
	KeysMoved   int64    `json:"keys_moved"`
	KeysCarried []string `json:"keys_carried,omitempty"`
}

// PlannedBackend is what becomes of one backend.
type PlannedBackend struct {
	Pool    string `json:"pool"`
	Name    string `json:"name"` // its new one, if that changes
	Address string `json:"address"`
	// Fate is stay, change (name, weight or limit), add, return (it was
	// retired), retire, or retired (before already).
	Fate    string `json:"fate"`
	Sockets int64  `json:"sockets"`
	After   string `json:"after,omitempty"` // what becomes of the sockets of one that leaves
}

// plan answers with what a reload with the configuration in the body would do,
// or with every mistake in it. Nothing changes.
func (s *Server) plan(ctx *fasthttp.RequestCtx, _ params) {
	if s.opts.Control.Plan == nil {
		errNoFile.send(ctx)
		return
	}
	name := string(ctx.QueryArgs().Peek("name"))
	if name == "" {
		name = "proposal.yaml"
	}
	if name != path.Base(name) || strings.Contains(name, `\`) || len(path.Ext(name)) < 2 {
		BadValue("name", strconv.Quote(name)+" is no file name", "write the file's name without its path, such as holdfast.yaml").send(ctx)
		return
	}
	plan, mistakes, err := s.opts.Control.Plan(Proposal{Name: name, Text: ctx.PostBody()})
	switch {
	case err != nil:
		s.sendError(ctx, err)
	case len(mistakes) > 0:
		sendJSON(ctx, fasthttp.StatusUnprocessableEntity, struct {
			*Problem
			Outcome
		}{&Problem{Message: "a reload would refuse this configuration", Code: "refused", Remedy: "mend what errors names"},
			Outcome{Status: "refused", Errors: mistakes}})
	default:
		if plan.Backends == nil {
			plan.Backends = []PlannedBackend{}
		}
		sendJSON(ctx, fasthttp.StatusOK, plan)
	}
}

// received sets how large the body of a request may be: large only for what
// needs it, and who may ask for that.
func (s *Server) received(h *fasthttp.RequestHeader) fasthttp.RequestConfig {
	p, _, _ := strings.Cut(string(h.RequestURI()), "?")
	if p == "/api/v1/plan" && s.token.Load().allows(string(h.Peek("Authorization"))) {
		return fasthttp.RequestConfig{MaxRequestBodySize: MaxPlanBytes}
	}
	return fasthttp.RequestConfig{}
}
