// Package admin is the operator's own listener: is the process alive, is it
// ready, what are its numbers, what do its pools look like.
//
//	/               an index of what follows
//	/healthz        200 as long as the process answers
//	/readyz         200 while a configuration runs, 503 with the reason before and during shutdown
//	/metrics        Prometheus
//	/api/v1/pools   every pool and backend as JSON
//
// Readiness is about this process, not about its backends: if a pool without
// backends made it unready, one sick pool would take every Holdfast of a fleet
// out of rotation at once, healthy pools and open sockets with it. /readyz
// therefore names such pools in its body and stays 200.
//
// Nothing here changes state: only GET and HEAD are answered. There is no
// authentication, so the address should be loopback or a private network; on
// loopback the Host header must be a name of this machine, so that a web page
// cannot read the answers by DNS rebinding.
//
// What the package shows reaches it through the functions of [Options]. It
// imports no other package of this module.
package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttpadaptor"
)

// Bounds of what one client can take. They are not configurable: operators'
// tools stay far below them.
const (
	maxHeaderBytes = 8 << 10
	maxBodyBytes   = 1 << 10 // no request here needs one
	maxConns       = 256
	readTimeout    = 10 * time.Second
	writeTimeout   = 30 * time.Second
	idleTimeout    = 60 * time.Second
)

// Options say where to listen and what to show. All functions are called from
// request goroutines, several at a time, and must not block.
type Options struct {
	// Listener is bound already, so that whoever reloads a configuration
	// can fail before anything has changed. The Server owns it from [New] on.
	Listener net.Listener

	// Host is the host part of the configured address, such as
	// "lb.internal"; it joins the names that the Host check accepts.
	Host string

	// Ready returns nil while a configuration runs, and otherwise the
	// reason, in words fit for the answer's body. nil: always ready.
	Ready func() error

	// Pools describes the pools of the running configuration, sorted as
	// they should be shown. The result is the caller's. nil: none.
	Pools func() []Pool

	// Metrics answers /metrics. nil: the path is not found.
	Metrics http.Handler

	// Version is shown on the index page.
	Version string

	// Log takes what goes wrong below HTTP. nil: discarded.
	Log *slog.Logger
}

// Server answers on one listener, from [Server.Serve] to [Server.Close].
type Server struct {
	opts     Options
	hosts    hostCheck
	routes   map[string]fasthttp.RequestHandler
	fasthttp *fasthttp.Server
}

// New returns a server that is not serving yet; [Server.Serve] starts it, and
// [Server.Close] must be called either way.
func New(opts Options) *Server {
	if opts.Ready == nil {
		opts.Ready = func() error { return nil }
	}
	if opts.Pools == nil {
		opts.Pools = func() []Pool { return nil }
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{opts: opts, hosts: newHostCheck(opts.Listener.Addr(), opts.Host)}
	s.routes = map[string]fasthttp.RequestHandler{
		"/":             s.index,
		"/healthz":      s.healthz,
		"/readyz":       s.readyz,
		"/api/v1/pools": s.pools,
	}
	if opts.Metrics != nil {
		s.routes["/metrics"] = fasthttpadaptor.NewFastHTTPHandler(opts.Metrics)
	}
	s.fasthttp = &fasthttp.Server{
		Handler:                      s.handle,
		ErrorHandler:                 badRequest,
		NoDefaultServerHeader:        true,
		Concurrency:                  maxConns,
		ReadBufferSize:               maxHeaderBytes,
		MaxRequestBodySize:           maxBodyBytes,
		ReadTimeout:                  readTimeout,
		WriteTimeout:                 writeTimeout,
		IdleTimeout:                  idleTimeout,
		DisablePreParseMultipartForm: true,
		CloseOnShutdown:              true,
		Logger:                       fasthttpLog{opts.Log},
	}
	return s
}

// Addr is where the server listens.
func (s *Server) Addr() net.Addr { return s.opts.Listener.Addr() }

// Serve answers requests and blocks. It returns nil after [Server.Close], and
// an error when the listener fails before.
func (s *Server) Serve() error {
	err := s.fasthttp.Serve(s.opts.Listener)
	if err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("serve admin on %s: %w", s.Addr(), err)
	}
	return nil
}

// Close stops accepting, waits for requests under way, and returns when they
// are done or, with an error, when ctx ends. It may be called more than once.
func (s *Server) Close(ctx context.Context) error {
	// fasthttp knows the listener only once Serve runs, so close it here too.
	if err := s.opts.Listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("close admin listener %s: %w", s.Addr(), err)
	}
	if err := s.fasthttp.ShutdownWithContext(ctx); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("finish admin requests on %s: %w", s.Addr(), err)
	}
	return nil
}

// fasthttpLog lets fasthttp complain in our log. What it has to say is about
// single connections of clients, hence debug.
type fasthttpLog struct{ log *slog.Logger }

func (l fasthttpLog) Printf(format string, args ...any) {
	l.log.Debug("admin: " + fmt.Sprintf(format, args...))
}
