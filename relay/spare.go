package relay

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/holdfast-lb/holdfast/internal/sys"
	"github.com/holdfast-lb/holdfast/internal/tlsconn"
)

// Spare is a connection to a backend that was made before there is a client for
// it: its pair begins with the request. It is used by one goroutine at a time,
// and ends with [Spare.Close] or [Relay.Open].
type Spare struct {
	fd  int
	tls *tlsconn.Conn // that lies on fd, in its second life; nil: none
}

// Connect makes one, and agrees on TLS if secure is not nil. It waits for that,
// for within at most, and until the end of ctx.
func Connect(ctx context.Context, backend netip.AddrPort, secure *tls.Config, within time.Duration) (*Spare, error) {
	conn, t, _, err := connect(ctx, &Call{Backend: backend, BackendTLS: secure, Connect: within, Answer: within})
	if err != nil {
		return nil, err
	}
	if t != nil {
		t.Detach()
	}
	fd := descriptor(conn)
	_ = conn.Close()
	if fd < 0 {
		return nil, net.ErrClosed
	}
	return &Spare{fd, t}, nil
}

// Alive tells whether the backend has neither ended the connection nor said
// something that nobody has asked for. It does not wait.
func (s *Spare) Alive() bool {
	if s.tls == nil {
		return sys.Waits(s.fd)
	}
	var b [4 << 10]byte // TLS has things of its own to say, such as tickets
	n, errno := sys.Recv(s.fd, b[:])
	if errno != 0 {
		return errno == sys.EAGAIN
	}
	plain, reply, err := s.tls.Open(nil, b[:n])
	return n > 0 && err == nil && len(plain) == 0 && len(reply) == 0
}

// Beyond tells whether the connection's descriptor is n or a higher one. The
// kernel gives the lowest that is free, so when it was made all below were taken.
func (s *Spare) Beyond(n int) bool { return s.fd >= n }

// Close ends the connection, with a word of TLS if that is spoken. What is
// closed or was taken stays as it is.
func (s *Spare) Close() {
	fd, t := s.take()
	if fd < 0 {
		return
	}
	if t != nil {
		_, _ = sys.Send(fd, t.CloseNotify(nil))
	}
	sys.Close(fd)
}

// take hands the connection on; the descriptor is below 0 the second time.
func (s *Spare) take() (fd int, t *tlsconn.Conn) {
	fd, s.fd = s.fd, -1
	return fd, s.tls
}

// conn is take for who wants a connection of package net, on which TLS is in
// its first life again.
func (s *Spare) conn() (net.Conn, *tlsconn.Conn, error) {
	fd, t := s.take()
	f := os.NewFile(uintptr(fd), "backend")
	conn, err := net.FileConn(f)
	_ = f.Close() // FileConn has made a duplicate of its own
	if err == nil && t != nil {
		t.Attach(conn)
	}
	return conn, t, err
}
