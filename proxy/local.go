package proxy

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/config"
)

// localAnswer is what a route answers that leads to no backend.
type localAnswer struct {
	status int
	to     template // of Location; nil: none
	body   string
}

// compileLocal returns nil for a route that leads to a pool.
func compileLocal(r config.Route) (*localAnswer, error) {
	switch {
	case r.Redirect != nil:
		to, err := compileTemplate(r.Redirect.To, config.RedirectVariables)
		if err != nil {
			return nil, fmt.Errorf("redirect: to: %w", err)
		}
		return &localAnswer{status: r.Redirect.Status, to: to}, nil
	case r.Respond != nil:
		return &localAnswer{status: r.Respond.Status, body: r.Respond.Body}, nil
	}
	return nil, nil
}

// toHTTPS is the Location of listeners.redirect_https.
func toHTTPS(port int) template {
	t := template{{text: "https://"}, {variable: varHost}}
	if port != 443 {
		t = append(t, piece{text: ":" + strconv.Itoa(port)})
	}
	return append(t, piece{variable: varPath}, piece{variable: varQueryBehindMark})
}

// local returns the answer of a listener or route that needs no backend; nil
// if a backend is to answer.
func (x *exchange) local() *localAnswer {
	if x.route == nil {
		return x.l.local
	}
	return x.route.local
}

// challengePath begins the paths at which authorities of certificates look.
const challengePath = "/.well-known/acme-challenge/"

// challenged returns the answer for an authority that wants to know whether a
// host is ours; nil for all other requests. It asks in clear, since that is
// before there is a certificate, and is not to be sent elsewhere.
func (x *exchange) challenged() *localAnswer {
	if !bytes.HasPrefix(x.req.path, []byte(challengePath)) || x.p.challenge == nil ||
		x.req.proto != "http" || string(x.req.method) != fasthttp.MethodGet {
		return nil
	}
	answer, known := x.p.challenge(string(x.req.host), string(x.req.path))
	if !known {
		return nil
	}
	return &localAnswer{status: fasthttp.StatusOK, body: answer}
}

// answerLocally answers without a backend, and gives x back.
func (x *exchange) answerLocally(a *localAnswer) {
	f := x.facts()
	target := x.req.target
	switch {
	case x.route == nil || a.to == nil:
	case len(x.req.rewritten) > 0:
		target = x.req.rewritten
	default:
		target = x.route.appendTarget(nil, target)
	}
	f.path, f.query, _ = bytes.Cut(target, []byte{'?'})
	if len(f.path) == 0 || f.path[0] != '/' {
		f.path = rootPath // of an absolute form without a path, or "*"
	}
	resp := &x.ctx.Response
	dated(&resp.Header)
	if a.to != nil {
		if a.to.has(varHost) && !validHost(x.req.host) {
			x.refuse(badHost) // HTTP/1.0 without one
			return
		}
		resp.Header.SetBytesV("Location", a.to.appendTo(nil, &f))
	}
	resp.SetStatusCode(a.status)
	if a.body != "" {
		resp.Header.SetContentType("text/plain; charset=utf-8")
		resp.SetBodyString(a.body)
	}
	if a.status != fasthttp.StatusNoContent && a.status != fasthttp.StatusNotModified {
		x.bytesOut = int64(len(a.body))
	}
	x.applyRules()
	x.closeIfUnread()
	x.finish(ok)
}
