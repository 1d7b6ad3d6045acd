package proxy

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/internal/tlsconn"
	"github.com/holdfast-lb/holdfast/metrics"
	"github.com/holdfast-lb/holdfast/relay"
)

// lingerTime bounds how long a connection is kept for a client to read a last
// answer.
const lingerTime = time.Second

// deliver gives the client a backend's ordinary answer to a handshake: a
// redirect, a 401, a 404. It owns both sockets and ends both; Received is what
// was read of the answer already.
func (s *socket) deliver(f *relay.Failure) {
	backend, below, err := answering(f)
	if err != nil {
		s.giveUp(badAnswer, metrics.HandshakeBadAnswer)
		return
	}
	defer func() { _ = backend.Close() }()
	defer context.AfterFunc(s.p.quit, func() { _ = backend.Close() })()

	resp := fasthttp.AcquireResponse()
	defer fasthttp.ReleaseResponse(resp)
	resp.Header.DisableNormalizing()
	resp.Header.SetNoDefaultContentType(true)
	resp.StreamBody = true
	rest := &patient{Conn: backend, below: below, limit: s.route.timeouts.Body}
	from := io.MultiReader(bytes.NewReader(f.Received), rest)
	if err := readSound(resp, bufio.NewReaderSize(from, maxAnswerHeader)); err != nil {
		s.giveUp(badAnswer, metrics.HandshakeBadAnswer)
		return
	}
	rest.chunked = resp.Header.ContentLength() == -1
	cleanAnswer(&resp.Header, nil)
	if s.route.shape != nil {
		s.route.shape.answer(&resp.Header, s.call.facts, nil)
	}
	for n := fieldNamed(&resp.Header, []byte("date")); n != nil; n = fieldNamed(&resp.Header, []byte("date")) {
		resp.Header.DelBytes(n) // fasthttp writes one of its own here
	}
	resp.SetConnectionClose()
	status := resp.StatusCode()
	if o, ours := outcomeOf(ok, nil, status); !ours {
		s.lease.Backend().Report(o)
	}

	client, err := s.clientConn()
	defer func() {
		if client != nil {
			_ = client.SetDeadline(time.Now().Add(lingerTime))
			linger(client)
			_ = client.Close()
		}
	}()
	if err == nil {
		defer context.AfterFunc(s.p.quit, func() { _ = client.Close() })()
		w := bufio.NewWriter(patientWriter{client, s.route.timeouts.Body})
		err = errors.Join(resp.Write(w), w.Flush()) // of one that breaks off, what had come
		_ = resp.CloseBodyStream()
	}
	c := ok
	if err != nil {
		c = cut
	}
	s.settle(metrics.HandshakeRejected)
	s.logHandshake(status, c)
	s.call.endSpan(status, c)
}

// answering makes a connection of the backend's socket, and what lies below its
// TLS; nil: it has none.
func answering(f *relay.Failure) (c net.Conn, below *wire, err error) {
	c, err = netConn(f.Backend)
	if err != nil || f.BackendTLS == nil {
		return c, nil, err
	}
	below, err = newWire(c.(*net.TCPConn))
	if err != nil {
		_ = c.Close()
		return nil, nil, err
	}
	return secured(below, f.BackendTLS), below, nil
}

// readSound reads the header of an answer, unless it is in doubt, and makes its
// body a stream.
func readSound(resp *fasthttp.Response, r *bufio.Reader) error {
	head, err := peekHead(r)
	if err != nil {
		return err
	}
	if _, sound := new(fieldBlock).judgeAnswer(head); !sound {
		return errAnswerBroken
	}
	return resp.ReadLimitBody(r, 0)
}

// patient is a backend's connection from which each read may take up to limit;
// 0: as long as it takes.
type patient struct {
	net.Conn
	below   *wire // nil: it has no TLS
	limit   time.Duration
	chunked bool // the body that is being read is
}

func (p *patient) Read(b []byte) (int, error) {
	if p.limit > 0 {
		_ = p.SetReadDeadline(time.Now().Add(p.limit))
	}
	n, err := p.Conn.Read(b)
	if err == io.EOF && p.chunked {
		return n, io.ErrUnexpectedEOF // fasthttp takes it for the last chunk
	}
	return n, p.below.told(err)
}

// patientWriter is a client's connection to which each write may take as long.
type patientWriter struct {
	net.Conn
	limit time.Duration
}

func (p patientWriter) Write(b []byte) (int, error) {
	if p.limit > 0 {
		_ = p.SetWriteDeadline(time.Now().Add(p.limit))
	}
	return p.Conn.Write(b)
}

// netConn makes a connection of a descriptor, which it takes over.
func netConn(fd int) (net.Conn, error) {
	f := os.NewFile(uintptr(fd), "socket")
	defer func() { _ = f.Close() }() // FileConn works on a duplicate
	c, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("take over descriptor %d: %w", fd, err)
	}
	return c, nil
}

// secured is c, or t on it if there is TLS.
func secured(c net.Conn, t *tlsconn.Conn) net.Conn {
	if c == nil || t == nil {
		return c
	}
	t.Attach(c)
	return t
}

// linger ends the sending direction and reads until the client ends too, so
// that bytes of the client's that nobody has read do not turn the end into a
// reset, which could overtake the answer. The connection's deadline bounds it.
func linger(c net.Conn) {
	if h, ok := c.(interface{ CloseWrite() error }); ok {
		_ = h.CloseWrite()
	}
	_, _ = io.CopyN(io.Discard, c, 256<<10)
}
