package listener

import (
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/internal/explain"
	"github.com/holdfast-lb/holdfast/internal/sys"
)

const (
	// lastRequest is how long a connection that has not sent a byte yet may
	// take to do so once its listener is stopped: its first request is likely
	// on the way.
	lastRequest = time.Second
)

// socket is one bound socket with all that is served on it. It lives from bind
// to stop; what a reload may change is behind the two pointers.
type socket struct {
	address string // as written in the configuration
	ln      net.Listener
	opts    Options
	log     *slog.Logger
	ledger  *ledger

	settings atomic.Pointer[settings]
	// server serves connections from their next request on. There is a new one
	// when the header size changes, since fasthttp's read buffers have that
	// size and are pooled in the server.
	server atomic.Pointer[fasthttp.Server]

	// reserve is the first descriptor that no client gets.
	reserve int
	// inherited: another process has bound it.
	inherited bool

	stopping atomic.Bool
	stopped  chan struct{} // closed by stop
	// serving counts the accept loop, the connections that are served (not the
	// upgraded ones) and the farewells.
	serving   sync.WaitGroup
	crew      *crew
	farewells chan struct{} // a slot for each that may be under way
}

func newSocket(address string, ln net.Listener, st *settings, opts Options) *socket {
	sk := &socket{
		address:   address,
		ln:        ln,
		opts:      opts,
		log:       opts.Log,
		ledger:    newLedger(),
		stopped:   make(chan struct{}),
		farewells: make(chan struct{}, maxFarewells),
		reserve:   reserveFrom(sys.MaxDescriptors()),
	}
	sk.settings.Store(st)
	sk.crew = newCrew(sk.stopped, sk.serve)
	return sk
}

// start begins to accept.
func (sk *socket) start() {
	st := sk.settings.Load()
	if sk.inherited {
		sk.deferAccept(st)
	}
	sk.apply(st)
	sk.serving.Add(1)
	go sk.acceptLoop()
}

// apply brings st into force for connections that are open as well as for
// those to come.
func (sk *socket) apply(st *settings) {
	st.meter = sk.opts.Meter(st.name)
	st.meter.SetOpen(func() int { return int(sk.ledger.open.Load()) })
	if old := sk.settings.Swap(st); old.defers != st.defers {
		sk.deferAccept(st)
	}
	if srv := sk.server.Load(); srv == nil || srv.ReadBufferSize != int(st.limits.MaxHeaderBytes) {
		sk.server.Store(sk.newServer(int(st.limits.MaxHeaderBytes)))
	}
}

// deferAccept has the socket defer connections as st says.
func (sk *socket) deferAccept(st *settings) {
	if err := deferAccept(sk.ln, st.defers); err != nil {
		sk.log.Warn("defer_accept stays what it was", "listener", st.name, "error", err)
	}
}

// acceptLoop accepts until stop. Failures, such as no descriptor left, make it
// wait and try again; they never end it.
func (sk *socket) acceptLoop() {
	defer sk.serving.Done()
	var pause backoff
	for {
		nc, err := sk.ln.Accept()
		if err == nil {
			pause.reset()
			sk.welcome(nc)
			continue
		}
		if sk.stopping.Load() || errors.Is(err, net.ErrClosed) {
			return
		}
		st := sk.settings.Load()
		st.meter.AcceptError()
		sk.opts.Reports.Report(&explain.Event{Code: codeAcceptFailed, Listener: st.name, Err: err})
		select {
		case <-time.After(pause.next()):
		case <-sk.stopped:
			return
		}
	}
}

// welcome takes an accepted connection over: it is served, or refused.
func (sk *socket) welcome(nc net.Conn) {
	st := sk.settings.Load()
	st.meter.Accepted()
	c := newConn(sk, nc)
	if st.mustAnnounce(nc.RemoteAddr()) {
		c.announces, c.key = true, noAddr // nobody is counted before he is known
	}
	var why Refusal
	ok := false
	switch {
	case sk.crowded(nc):
		why = RefusedDescriptors
	case sk.opts.Short():
		why = RefusedMemory
	default:
		why, ok = sk.ledger.enter(c, st.limits.MaxConnections, st.limits.MaxConnectionsPerIP)
	}
	if !ok {
		st.meter.Refused(why)
		sk.opts.Reports.Report(&explain.Event{Code: refusalCodes[why], Listener: st.name, Client: c.client})
		sk.refuse(nc, why)
		return
	}
	sk.serving.Add(1)
	sk.crew.take(c)
}

// serve has fasthttp answer the requests of c until it is closed or upgraded.
func (sk *socket) serve(c *Conn) {
	defer sk.serving.Done()
	if c.announces && !sk.announce(c) {
		return
	}
	if cfg := sk.settings.Load().tls; cfg != nil && !sk.secure(c, cfg) {
		return
	}
	for {
		// ServeConn closes c unless it was upgraded; a Close of a parked
		// connection is ignored by c. A detached one has not failed.
		if err := sk.server.Load().ServeConn(c.seen()); err != nil && !c.parked && !errors.Is(err, ErrDetached) {
			sk.log.Debug("connection ended with an error", "listener", sk.settings.Load().name, "client", c.client, "error", err)
		}
		if f := c.owed; f != nil {
			c.owed = nil
			if c.phaseNow() < phaseTaken {
				f()
			}
		}
		if !c.parked {
			return
		}
		if !c.awaitByte() {
			c.parked = false
			c.Close()
			return
		}
		c.parked = false
	}
}

// stop closes the socket, wakes connections that wait for a request, and lets
// the others finish theirs. It does not wait. A second call does nothing.
func (sk *socket) stop() {
	if sk.stopping.Swap(true) {
		return
	}
	close(sk.stopped)
	sk.ln.Close()
	soon := time.Now().Add(lastRequest)
	sk.ledger.each(func(c *Conn) {
		// The flag above is seen by those that begin to wait from now on; see
		// Conn.armWait.
		switch c.phaseNow() {
		case phaseFresh:
			c.raw.SetReadDeadline(soon)
		case phaseIdle:
			c.raw.SetReadDeadline(past)
		}
	})
}

// cut closes every connection that is served by fasthttp and returns how many
// these were.
func (sk *socket) cut() int {
	n := 0
	sk.ledger.each(func(c *Conn) {
		if c.phaseNow() < phaseTaken {
			n++
			c.raw.Close()
		}
	})
	return n
}
