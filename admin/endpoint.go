package admin

import (
	"net/url"
	"slices"
	"strings"

	"github.com/valyala/fasthttp"
)

// endpoint is one method of one path.
type endpoint struct {
	method string
	path   string // segments in braces are parameters
	access access
	serve  func(*fasthttp.RequestCtx, params)
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
