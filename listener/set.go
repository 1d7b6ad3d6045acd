package listener

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"

	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/internal/explain"
)

// Refusal is why a connection or a handshake was turned away.
type Refusal uint8

// The reasons, by the limit that was met.
const (
	RefusedMaxConnections      Refusal = iota // limits.max_connections: 503
	RefusedMaxConnectionsPerIP                // limits.max_connections_per_ip: 429
	RefusedHandshakeRate                      // limits.handshakes_per_second_per_ip
	RefusedDescriptors                        // the reserve of descriptors is reached: 503
	RefusedProxyHeader                        // proxy_protocol: closed without a word
	RefusedMemory                             // the process is short of memory: 503
)

// Meter counts for one listener. Its methods are called by many goroutines
// and must not block.
type Meter interface {
	// Accepted counts a connection, whether it is refused afterwards or not.
	Accepted()
	// AcceptError counts a failure to accept.
	AcceptError()
	// Refused counts a connection or a handshake that was turned away.
	Refused(Refusal)
	// SetOpen names the function that tells how many connections are open,
	// upgraded ones included; nil when the listener is gone.
	SetOpen(func() int)
}

// Options are what a [Set] works with. Only Handler must be given.
type Options struct {
	// Handler returns what serves the requests of the listener of that name.
	// It is called by Prepare, for kept listeners too.
	Handler func(listenerName string) fasthttp.RequestHandler
	// TLS returns what ends the TLS of a listener; nil: it is plain HTTP. It is
	// called by Prepare, for kept listeners too, and is asked to disable dynamic
	// record sizing, so that a message takes as few records as it needs. nil:
	// all are plain.
	TLS func(config.Listener) *tls.Config
	// Meter returns the counters of the listener of that name.
	Meter func(listenerName string) Meter
	// BadRequest is told of every request that never reached a handler, with
	// what it was answered: a code whose status is 400, 408, 413 or 431. ctx is
	// valid during the call, and holds what could be read of the request.
	BadRequest func(listenerName string, client netip.Addr, ctx *fasthttp.RequestCtx, code explain.Code)
	// Short tells whether the process is short of memory, so that nobody new
	// comes in; nil: never. It must not block.
	Short func() bool
	// Inherited are listening sockets that another process has bound, by address
	// as written in the configuration. Prepare takes one in place of binding. The
	// Set owns them: the first Commit closes those that nobody has taken, and so
	// does Shutdown. nil: none.
	Inherited map[string]*os.File
	// Help is called before each request is handled, and behind each read of an
	// upload: it does what others wait for, who would have to wait for all of
	// these; nil: nothing.
	Help func()
	// Log gets what operators should know, and at debug level what strangers
	// do wrong.
	Log *slog.Logger
	// Reports gets what is turned away, and failures to accept; nil: nobody.
	Reports *explain.Reporter
}

// Set is the listeners of a process. Its methods may be called at any time
// from any goroutine.
type Set struct {
	opts Options

	mu      sync.Mutex
	bound   map[string]*socket // guarded by mu: by address as written
	retired []*socket          // guarded by mu: stopped, and not known to be empty
	pending *Change            // guarded by mu: neither committed nor aborted
	closed  bool               // guarded by mu: Shutdown was called
	unused  []string           // guarded by mu: files of inherited Unix sockets that no listener has
}

// New returns a Set without listeners.
func New(opts Options) *Set {
	if opts.Meter == nil {
		opts.Meter = func(string) Meter { return noMeter{} }
	}
	if opts.Help == nil {
		opts.Help = func() {}
	}
	if opts.Short == nil {
		opts.Short = func() bool { return false }
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	return &Set{opts: opts, bound: make(map[string]*socket)}
}

// Addr returns the address that the listener of that name is bound to, where
// port 0 has become a real one; nil if there is no such listener.
func (s *Set) Addr(name string) net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sk := range s.bound {
		if sk.settings.Load().name == name {
			return sk.ln.Addr()
		}
	}
	return nil
}

// Shutdown stops accepting on all listeners, closes idle connections at once,
// and waits until every request under way is answered, each with Connection:
// close. Connections that have not sent a byte yet get a second to do so.
// When ctx ends first, what is left is cut off and the error says how much.
// Upgraded connections are left alone in any case. The Set cannot be used
// afterwards: a pending or later Change comes to nothing, and another Shutdown
// waits for what the first one has left.
func (s *Set) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	s.disinherit()
	sockets := s.retired
	for _, sk := range s.bound {
		sockets = append(sockets, sk)
	}
	s.bound, s.retired = make(map[string]*socket), sockets
	s.mu.Unlock()

	for _, sk := range sockets {
		sk.stop()
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, sk := range sockets {
			sk.serving.Wait()
		}
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	cut := 0
	for _, sk := range sockets {
		cut += sk.cut()
	}
	return fmt.Errorf("shut down listeners: %w, connections cut: %d", ctx.Err(), cut)
}

var (
	errPending = errors.New("prepare listeners: an earlier change is neither committed nor aborted")
	errClosed  = errors.New("prepare listeners: the set is shut down")
)

// noMeter counts nothing.
type noMeter struct{}

func (noMeter) Accepted()          {}
func (noMeter) AcceptError()       {}
func (noMeter) Refused(Refusal)    {}
func (noMeter) SetOpen(func() int) {}
