package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/valyala/fasthttp"
)

// Problem is an error as the API answers it: what is wrong, a word for
// programs, and what to do about it.
type Problem struct {
	Status  int    `json:"-"`
	Message string `json:"error"`
	Code    string `json:"code"`
	Remedy  string `json:"remedy"`
}

// Error is the message and the remedy.
func (p *Problem) Error() string { return p.Message + ": " + p.Remedy }

// NoPool says that no pool has that name.
func NoPool(name string) *Problem {
	return &Problem{fasthttp.StatusNotFound, fmt.Sprintf("there is no pool %q", name), "no_pool", "GET /api/v1/pools, or `holdfast status`, lists those that exist"}
}

// NoBackend says that a pool has no backend of that name, or none at all if it
// is empty.
func NoBackend(pool, name string) *Problem {
	text := fmt.Sprintf("pool %q has no backend", pool)
	if name != "" {
		text += " " + strconv.Quote(name)
	}
	return &Problem{fasthttp.StatusNotFound, text, "no_backend",
		"GET /api/v1/pools, or `holdfast status`, lists those that exist"}
}

// NoSocket says that no open socket has that id.
func NoSocket(id string) *Problem {
	return &Problem{fasthttp.StatusNotFound, fmt.Sprintf("no open socket has the id %q", id), "no_socket",
		"it may have ended; GET /api/v1/sockets, or `holdfast sockets`, lists the open ones"}
}

// BadValue says what is wrong with a parameter.
func BadValue(name, message, remedy string) *Problem {
	return &Problem{fasthttp.StatusBadRequest, name + ": " + message, "bad_value", remedy}
}

// Conflict says why something cannot be done now.
func Conflict(code, message, remedy string) *Problem {
	return &Problem{fasthttp.StatusConflict, message, code, remedy}
}

var (
	errMisdirected = &Problem{fasthttp.StatusMisdirectedRequest, "the Host header names another machine", "wrong_host",
		"use localhost, 127.0.0.1 or the host of admin.address"}
	errNoPath = &Problem{fasthttp.StatusNotFound, "no such path", "no_path",
		"docs/openapi.yaml lists those that exist"}
	errToken = &Problem{fasthttp.StatusUnauthorized, "the token of admin.token is missing or wrong", "unauthorized",
		`send "Authorization: Bearer TOKEN"`}
	errCrossSite = &Problem{fasthttp.StatusForbidden, "a page of another site may not do this", "cross_site",
		"use the dashboard at this address, or a program that sends no Origin"}
	errUnavailable = &Problem{fasthttp.StatusNotImplemented, "this process cannot do that", "unavailable",
		"it runs without what this needs"}
	errNoFile = &Problem{fasthttp.StatusNotImplemented, "this Holdfast runs without a configuration file, as holdfast demo does, so there is none to read again, to compare with or to start another by",
		"unavailable", "run one by a file: holdfast serve --config FILE"}
	errInternal = &Problem{fasthttp.StatusInternalServerError, "the answer could not be made", "internal", "see the log"}
)

// send answers with p.
func (p *Problem) send(ctx *fasthttp.RequestCtx) { sendJSON(ctx, p.Status, p) }

// sendError answers with the Problem that err is or wraps; any other error is
// one of this process.
func (s *Server) sendError(ctx *fasthttp.RequestCtx, err error) {
	var p *Problem
	if !errors.As(err, &p) {
		s.opts.Log.Error("admin request failed", "path", string(ctx.Path()), "error", err)
		p = errInternal
	}
	p.send(ctx)
}

// sendJSON answers with v, a line to itself so that a terminal shows it well.
func sendJSON(ctx *fasthttp.RequestCtx, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil { // only a time beyond the year 9999 can do this
		status = errInternal.Status
		body, _ = json.Marshal(errInternal)
	}
	ctx.SetStatusCode(status)
	ctx.SetContentType("application/json")
	ctx.SetBody(append(body, '\n'))
}

// badRequest answers what never became a request.
func badRequest(ctx *fasthttp.RequestCtx, err error) {
	p := &Problem{fasthttp.StatusBadRequest, "this is not an HTTP request", "bad_request", "speak HTTP/1.1 here"}
	var small *fasthttp.ErrSmallBuffer
	switch {
	case errors.As(err, &small):
		p = &Problem{fasthttp.StatusRequestHeaderFieldsTooLarge, "the request's header is larger than 8 KiB", "large_header", "send less"}
	case errors.Is(err, fasthttp.ErrBodyTooLarge):
		p = &Problem{fasthttp.StatusRequestEntityTooLarge, "the request's body is too large", "large_body",
			"only /api/v1/plan takes a body, of 4 MiB at most"}
	case errors.Is(err, os.ErrDeadlineExceeded):
		p = &Problem{fasthttp.StatusRequestTimeout, "the request was not complete within 10 s", "timeout", "send it faster"}
	}
	p.send(ctx)
}
