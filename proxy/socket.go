package proxy

import (
	"bytes"
	"errors"
	"net/netip"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/balancer"
	"github.com/holdfast-lb/holdfast/internal/sys"
	"github.com/holdfast-lb/holdfast/internal/tlsconn"
	"github.com/holdfast-lb/holdfast/metrics"
	"github.com/holdfast-lb/holdfast/relay"
)

// socket is one WebSocket from its handshake to its end: the relay's
// [relay.Owner], and what returns the lease. Once it is open it refers to no
// Runtime, so it does not keep an old configuration alive.
type socket struct {
	p      *Proxy
	route  *route
	lease  balancer.Lease
	place  Place // in the listener's limits
	start  time.Time
	id     requestID
	fd     int32 // the client's, while it belongs to s and not to the relay
	client netip.Addr
	key    uint64   // HashKey of the sticky key; 0: none
	asked  *asked   // nil: no log wants it
	call   *calling // nil once open
}

// calling is what a socket needs until it is open.
type calling struct {
	rt        *Runtime
	query     balancer.Query
	tried     balancer.Tried
	attempt   int
	backend   *balancer.Backend // that head names
	waits     bool              // it has a place in the queue, and is not there yet
	blocked   bool              // nobody else is free to try: the pool's limits are met
	spare     bool              // the attempt under way began on a spare connection
	fresh     bool              // no more of those: one has failed
	head      []byte            // of the request to the backend
	authority []byte            // the Host in head, if it is the backend's own
	early     []byte            // what the client sent behind its handshake
	facts     *facts            // for the rules of the route's shape; nil: it has none
	accept    [acceptLen]byte
	spans     spans
	secure    bool
	used      bool          // answers were sent on the client's connection before
	tls       *tlsconn.Conn // that lies on the client's socket; nil: none

	source, destination netip.AddrPort // for a PROXY header

	listener string     // for the log
	client   netip.Addr // for the log
	why      error      // what ended the last attempt, in the system's words; may be nil
}

// blocks are memory to parse answers with.
var blocks = sync.Pool{New: func() any { return new(fieldBlock) }}

// Answer implements [relay.Owner].
func (s *socket) Answer(dst, head []byte) ([]byte, error) {
	c := s.call
	var tie []byte
	if r, b := s.route, s.lease.Backend(); r.carrier != nil && c.query.StickyBackend != b.StickyID() {
		tie = r.carrier.appendLine(nil, b, c.secure)
	}
	b := blocks.Get().(*fieldBlock)
	dst, err := appendSwitching(dst, head, &c.accept, tie, s.route.shape, c.facts, b)
	b.raw = nil
	blocks.Put(b)
	return dst, err
}

// Opened implements [relay.Owner].
func (s *socket) Opened() {
	if s.call.spans.whole != nil {
		s.call.endSpan(fasthttp.StatusSwitchingProtocols, ok)
	}
	s.fd, s.call = -1, nil
	s.lease.Opened()
	b, took := s.lease.Backend(), time.Since(s.start)
	b.Report(balancer.Succeeded)
	s.route.metrics.Handshake(metrics.HandshakeAccepted, took)
	s.route.metrics.SocketOpened()
	s.p.metrics.SocketOpened(b.Key().Pool, b.Name(), took)
}

// RoundTrip implements [relay.Owner].
func (s *socket) RoundTrip(side int, d time.Duration) {
	b := s.lease.Backend()
	s.p.metrics.RoundTrip(b.Key().Pool, b.Name(), side == relay.Backend, d)
}

// Closed implements [relay.Owner].
func (s *socket) Closed(sum relay.Summary) {
	s.place.Leave()
	if o, ours := outcomeOfEnd(&sum); !ours {
		s.lease.Backend().Report(o)
	}
	b := s.lease.Backend()
	s.lease.Done()
	s.route.metrics.SocketClosed(sum.Opened)
	s.p.metrics.SocketClosed(b.Key().Pool, b.Name(), sum.Opened)
	code := codeOfEnd(sum)
	s.logClosed(sum, code)
	s.reportEnd(code)
}

// Failed implements [relay.Owner]. The relay must not wait for what follows.
func (s *socket) Failed(f relay.Failure) {
	s.fd = int32(f.Client) // #nosec G115 -- a descriptor
	s.p.owes.Go(func() { s.failed(f) })
}

// failed tries another backend if the failed one has answered nothing, and
// otherwise tells the client what happened.
func (s *socket) failed(f relay.Failure) {
	c, result := classOfFailure(&f)
	s.call.why = f.Err
	if s.call.spare && gaveUp(&f) {
		// Not the backend has failed but an old connection to it: the attempt
		// goes on.
		s.call.fresh = true
		s.dial()
		return
	}
	if !errors.Is(f.Err, errNot101) {
		s.call.endAttempt(c)
	}
	if o, ours := outcomeOfFailure(&f); !ours && !errors.Is(f.Err, errNot101) {
		s.lease.Backend().Report(o)
	}
	switch f.Cause {
	case relay.ConnectFailed, relay.ConnectTimeout, relay.TLSFailed, relay.BackendEnded:
		if f.Answered {
			break
		}
		if s.again(c) {
			s.dial()
			return
		}
		if s.wait() {
			return
		}
	case relay.NotUpgraded:
		if errors.Is(f.Err, errNot101) {
			s.deliver(&f)
			return
		}
		sys.Close(f.Backend)
	}
	s.giveUp(c, result)
}

// gaveUp tells whether a backend has ended a connection without an answer.
func gaveUp(f *relay.Failure) bool {
	return (f.Cause == relay.ConnectFailed || f.Cause == relay.BackendEnded) && !f.Answered
}

// classOfFailure returns what client, log and metrics hear of a failure.
func classOfFailure(f *relay.Failure) (class, metrics.HandshakeResult) {
	switch f.Cause {
	case relay.ConnectFailed:
		return refused, metrics.HandshakeUnreachable
	case relay.ConnectTimeout:
		return connectTimeout, metrics.HandshakeTimeout
	case relay.AnswerTimeout:
		return late, metrics.HandshakeTimeout
	case relay.TLSFailed:
		return classOfTLS(f.Err), metrics.HandshakeUnreachable
	case relay.BackendEnded:
		if isTLS(f.Err) { // with TLS 1.3 a client certificate is refused behind the handshake
			return classOfTLS(f.Err), metrics.HandshakeUnreachable
		}
		return broken, metrics.HandshakeUnreachable
	case relay.ClientGone:
		return clientGone, metrics.HandshakeClientGone
	case relay.Stopping:
		return stopping, metrics.HandshakeNoBackend
	}
	return badAnswer, metrics.HandshakeBadAnswer
}

// replaceField puts another value into a field of a request head that this
// proxy has built.
func replaceField(head []byte, name string, from, to []byte) []byte {
	was := appendField(nil, "\r\n"+name, from)
	now := appendField(nil, "\r\n"+name, to)
	return bytes.Replace(head, was, now, 1)
}
