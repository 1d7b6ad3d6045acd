package admin

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/internal/spelling"
)

// endpoint is one method of one path.
type endpoint struct {
	method string
	path   string // segments in braces are parameters
	access access
	serve  func(*fasthttp.RequestCtx, params)
	query  []string // names of the query parameters of an API path, sorted
}

// misspelt says which query parameter of a request to the API is none of the
// endpoint's, if there is one: an order that was heard in part would be another
// one. Other paths are for all kinds of programs, which may add what they want.
func (e *endpoint) misspelt(args *fasthttp.Args) *Problem {
	if !strings.HasPrefix(e.path, "/api/") {
		return nil
	}
	for key := range args.All() {
		name := string(key)
		if slices.Contains(e.query, name) {
			continue
		}
		remedy := "this path takes none"
		if near, ok := spelling.Nearest(name, e.query); ok {
			remedy = "did you mean " + near + "?"
		} else if len(e.query) > 0 {
			remedy = "write one of " + strings.Join(e.query, ", ")
		}
		return &Problem{fasthttp.StatusBadRequest, "there is no query parameter " + strconv.Quote(name), "unknown_parameter", remedy}
	}
	return nil
}

// access says who is let in.
type access uint8

const (
	// withToken: whoever shows the token, if there is one.
	withToken access = iota
	// open to everybody: liveness, readiness, and the page that asks for a
	// token.
	open
)

// params are the values of a path's parameters, unescaped, in order.
type params []string

// find returns the endpoint of a request, or the methods of its path if it is
// another method, or nothing if there is no such path. HEAD goes where GET
// does.
func find(endpoints []endpoint, method, path string) (e *endpoint, p params, methods []string) {
	segments := strings.Split(path, "/")
	for i := range endpoints {
		values, ok := match(strings.Split(endpoints[i].path, "/"), segments)
		if !ok {
			continue
		}
		if endpoints[i].method == method || endpoints[i].method == fasthttp.MethodGet && method == fasthttp.MethodHead {
			return &endpoints[i], values, nil
		}
		methods = append(methods, endpoints[i].method)
	}
	if slices.Contains(methods, fasthttp.MethodGet) {
		methods = append(methods, fasthttp.MethodHead)
	}
	return nil, nil, methods
}

// match compares a path's segments, as they were sent, with a pattern's.
func match(pattern, segments []string) (params, bool) {
	if len(pattern) != len(segments) {
		return nil, false
	}
	var values params
	for i, want := range pattern {
		got, err := url.PathUnescape(segments[i])
		switch {
		case err != nil:
			return nil, false
		case strings.HasPrefix(want, "{"):
			if got == "" {
				return nil, false
			}
			values = append(values, got)
		case got != want:
			return nil, false
		}
	}
	return values, true
}
