package proxy

import (
	"net"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/internal/tlsconn"
	"github.com/holdfast-lb/holdfast/metrics"
)

// detacher is a client's connection that gives its socket away; see
// listener.Conn.
type detacher interface {
	Detach() (fd int, p Place, err error)
}

// Place is a client's in the limits of its listener; see listener.Place. It is
// an alias, so that neither package needs the other.
type Place = interface {
	Leave()
	Origin() (listener string, key uint64)
}

// cameAlone tells whether this is its connection's first request, and nothing
// but its header has been read from that. See listener.Conn.
func (x *exchange) cameAlone() bool {
	c, ok := x.ctx.Conn().(interface{ CameAlone(int) bool })
	if !ok || x.answeredBefore() {
		return false
	}
	h := &x.ctx.Request.Header
	return c.CameAlone(len("GET  HTTP/1.1\r\n") + len(h.RequestURI()) + len(h.RawHeaders()))
}

// answeredBefore tells whether answers were sent on the client's connection
// before this request.
func (x *exchange) answeredBefore() bool {
	c, ok := x.ctx.Conn().(interface{ Answered() bool })
	return x.ctx.ConnRequestNum() > 1 || ok && c.Answered()
}

// hijack has taken called with the client's connection, or lost if fasthttp
// gives it up before that.
func (x *exchange) hijack(taken fasthttp.HijackHandler, lost func()) {
	if c, ok := x.ctx.Conn().(interface{ IfNotTaken(func()) }); ok {
		c.IfNotTaken(lost)
	}
	x.ctx.HijackSetNoResponse(true)
	x.ctx.Hijack(taken)
}

// detach takes the client's socket out of its connection. On error nothing has
// changed.
func (s *socket) detach(c detacher) error {
	fd, place, err := c.Detach()
	if err != nil {
		return err
	}
	s.fd, s.place = int32(fd), place // #nosec G115 -- a descriptor
	if t, ok := c.(interface{ TLS() *tlsconn.Conn }); ok {
		s.call.tls = t.TLS()
	}
	return nil
}

// take runs on fasthttp's goroutine for hijacked connections. It takes the
// client's socket and has it dialled.
func (s *socket) take(c net.Conn) {
	defer s.p.owes.Done()
	if s.seize(c) {
		s.proceed()
	}
}

// seize takes the client's socket, and every byte that was read ahead, out of
// Go's hands. It is false, and s is finished, if that fails.
func (s *socket) seize(c net.Conn) bool {
	inner := c.(interface{ UnsafeConn() net.Conn }).UnsafeConn().(detacher)
	if err := s.detach(inner); err != nil {
		s.abandon()
		s.call.why = err
		_ = c.SetWriteDeadline(time.Now().Add(lingerTime))
		_, _ = c.Write(noDescriptor.appendAnswer(nil, &s.id, 0))
		s.finish(noDescriptor, metrics.HandshakeUnreachable)
		return false
	}
	// After Detach a read yields what fasthttp had buffered, then an error.
	// The buffer is small because nearly always there is nothing, and a larger
	// one would make this goroutine's stack grow.
	var buf [32]byte
	for {
		n, err := c.Read(buf[:])
		s.call.early = append(s.call.early, buf[:n]...)
		if err != nil {
			break
		}
	}
	return true
}
