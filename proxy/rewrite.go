package proxy

import (
	"bytes"
	"fmt"
	"regexp"

	"github.com/holdfast-lb/holdfast/config"
)

// longPath is how long a path is, in bytes, of which the match takes
// milliseconds with a pattern that is unlucky.
const longPath = 512

// rewrite changes the paths that a backend sees.
type rewrite struct {
	pattern     *regexp.Regexp
	replacement []byte
}

func compileRewrite(r *config.Rewrite) (*rewrite, error) {
	if r == nil {
		return nil, nil
	}
	pattern, err := regexp.Compile(r.Pattern)
	if err != nil {
		return nil, fmt.Errorf("rewrite: pattern: %w", err)
	}
	return &rewrite{pattern: pattern, replacement: []byte(r.Replacement)}, nil
}

// appendTo appends the rewritten target. Each match in the path is replaced;
// the query stays, behind that of the replacement if there is one. A long path
// waits for its turn.
func (w *rewrite) appendTo(dst, target []byte) []byte {
	path, query, marked := bytes.Cut(target, []byte{'?'})
	if len(path) > longPath {
		turns <- struct{}{}
		defer func() { <-turns }()
	}
	if len(path) == 0 || path[0] != '/' || !w.pattern.Match(path) {
		return append(dst, target...) // OPTIONS * among others
	}
	changed := w.pattern.ReplaceAll(path, w.replacement)
	if len(changed) == 0 || changed[0] != '/' {
		dst = append(dst, '/')
	}
	dst = append(dst, changed...)
	if !marked {
		return dst
	}
	if bytes.IndexByte(changed, '?') >= 0 {
		if len(query) == 0 {
			return dst
		}
		return append(append(dst, '&'), query...)
	}
	return append(append(dst, '?'), query...)
}

// appendTarget appends the target for the route's backends: without the
// prefix, then rewritten.
func (rt *route) appendTarget(dst, target []byte) []byte {
	if rt.rewrite == nil {
		return appendTarget(dst, target, rt.strip)
	}
	return rt.rewrite.appendTo(dst, appendTarget(nil, target, rt.strip))
}

// rewrite fills x.req.rewritten. It is false if the new path could be read as
// another: with ^/img and /static/ for a pattern and its replacement, /img../x
// would climb.
func (x *exchange) rewrite() bool {
	x.req.rewritten = x.route.appendTarget(nil, x.req.target)
	path, _, _ := bytes.Cut(x.req.rewritten, []byte{'?'})
	if isPlain(path) {
		return true
	}
	_, _, ok := appendPlain(nil, path)
	return ok
}
