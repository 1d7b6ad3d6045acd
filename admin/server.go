// Package admin is the operator's own listener: what runs, how it is, and what
// is to become of it. docs/openapi.yaml describes every path; the table in
// handler.go is their list.
//
// Readiness is about this process, not about its backends: if a pool without
// backends made it unready, one sick pool would take every Holdfast of a fleet
// out of rotation at once, healthy pools and open sockets with it. /readyz
// therefore names such pools in its body and stays 200.
//
// # Who is let in
//
// With a token, whoever shows it; liveness, readiness and the files of the
// dashboard, which asks for it, are open. Without one, everybody, so the
// address is then loopback (package config sees to that), and the Host header
// must be a name of this machine, so that a web page cannot get at the answers
// by DNS rebinding. Either way, what changes something is refused when a
// browser says that a page of another origin asks for it.
//
// What the package shows and does reaches it through the functions of
// [Options]. It imports no other package of this module.
package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttpadaptor"
)

// Bounds of what one client can take. They are not configurable: operators'
// tools stay far below them.
const (
	maxHeaderBytes = 8 << 10
	maxBodyBytes   = 1 << 10 // but for a plan's
	maxConns       = 256
	readTimeout    = 10 * time.Second
	writeTimeout   = 30 * time.Second
	idleTimeout    = 60 * time.Second
)

// Options say where to listen and what to show. All functions are called from
// request goroutines, several at a time, and do not block where they do not
// say so.
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

	// Status describes the process, but for what is told here elsewhere. nil:
	// nothing more.
	Status func() Status

	// Config is the configuration as loaded, without its secrets, as
	// encoding/json takes it. nil: none is shown.
	Config func() any

	// Ledger knows the open sockets.
	Ledger Ledger

	// Run is a word that another process would not have, see [NewRun].
	Run string

	// Events are what /api/v1/events follows. They outlive the Server. nil:
	// none.
	Events *Events

	// History is what the dashboard's charts begin with. It outlives the
	// Server. nil: none.
	History *History

	// Control is what may be done.
	Control Control

	// Token is what callers must show. Empty: none.
	Token string

	// Metrics answers /metrics. nil: the path is not found.
	Metrics http.Handler

	// Version is shown on the page and by /api/v1/status.
	Version string

	// Log takes what goes wrong below HTTP. nil: discarded.
	Log *slog.Logger
}

// Server answers on one listener, from [Server.Serve] to [Server.Close].
type Server struct {
	opts           Options
	hosts          hostCheck
	routes         []endpoint
	metricsHandler fasthttp.RequestHandler // nil: none
	token          atomic.Pointer[token]   // nil: nobody is asked
	streams        atomic.Int32            // callers that follow events
	heartbeat      time.Duration
	closing        chan struct{} // closed by Close
	closeOnce      sync.Once
	fasthttp       *fasthttp.Server
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
	if opts.Status == nil {
		opts.Status = func() Status { return Status{} }
	}
	s := &Server{
		opts:      opts,
		hosts:     newHostCheck(opts.Listener.Addr(), opts.Host),
		heartbeat: heartbeat,
		closing:   make(chan struct{}),
	}
	s.SetToken(opts.Token)
	if opts.Metrics != nil {
		s.metricsHandler = fasthttpadaptor.NewFastHTTPHandler(opts.Metrics)
	}
	s.routes = s.endpoints()
	s.fasthttp = &fasthttp.Server{
		Handler:                      s.handle,
		HeaderReceived:               s.received,
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

// SetToken changes what callers must show from now on; empty: nothing. It may
// be called at any time.
func (s *Server) SetToken(text string) { s.token.Store(newToken(text)) }

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

// Close stops accepting, ends streams of events, waits for other requests under
// way, and returns when they are done or, with an error, when ctx ends. It may be called more than once.
func (s *Server) Close(ctx context.Context) error {
	s.closeOnce.Do(func() { close(s.closing) })
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
