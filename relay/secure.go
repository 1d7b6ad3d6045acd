//go:build linux && (amd64 || arm64)

package relay

import (
	"io"
	"syscall"

	"github.com/holdfast-lb/holdfast/internal/sys"
)

// maxReplies bounds what is pending for a side of which TLS itself wants to
// answer something: one that makes it answer and reads nothing is cut.
const maxReplies = 2 * bufferSize

// recv reads what a side has sent: n bytes came, which say b, in the loop's
// memory. n is 0 at the end of the stream.
func (l *loop) recv(p *pair, from int) (n int, b []byte, errno sys.Errno) {
	if p.ends[from].tls != nil {
		return l.unseal(p, from)
	}
	n, errno = sys.Recv(int(p.ends[from].fd), l.buf)
	return n, l.buf[:n], errno
}

// unseal is recv for a side with TLS.
func (l *loop) unseal(p *pair, from int) (n int, b []byte, errno sys.Errno) {
	e := &p.ends[from]
	switch e.tls.Err() {
	case nil:
	case io.EOF:
		return 0, nil, 0
	default:
		return 0, nil, syscall.EPROTO
	}
	n, errno = sys.Recv(int(e.fd), l.wire[:bufferSize])
	if n == 0 {
		return 0, nil, errno
	}
	b, reply, err := e.tls.Open(l.buf[:0], l.wire[:n])
	if err != nil {
		e.hup = true // the next read tells what it was
	}
	if len(reply) > 0 && !l.reply(p, from, reply) {
		return 0, nil, syscall.EPROTO
	}
	return n, b, 0
}

// reply sends a side what TLS has to say to it by itself, behind what it is being
// sent. It is false if too much is pending.
func (l *loop) reply(p *pair, to int, b []byte) bool {
	e := &p.ends[to]
	switch {
	case e.gone || e.shut:
	case p.call != nil && len(p.call.request) > 0: // to the backend, as all that is said while dialing
		if p.call.replies += len(b); p.call.replies > maxReplies {
			return false
		}
		p.call.request = append(p.call.request, b...)
	case len(e.pend) == 0:
		l.put(p, to, b)
	case len(e.pend) < maxReplies:
		e.pend = append(e.pend, b...)
	default:
		return false
	}
	return true
}

// seal returns what says b to a side: b itself without TLS, and otherwise
// bytes that are valid until the loop seals or reads again.
func (l *loop) seal(e *end, b []byte) []byte {
	if e.tls == nil {
		return b
	}
	// It fails once TLS has told the side of an error of its own, which the
	// next read meets.
	out, _ := e.tls.Seal(l.wire[:0], b)
	l.wire = out[:cap(out)]
	return out
}

// notified tells a side that no more will come, in the words of TLS if it
// speaks that. It is false while the side has not taken them; pump tries again.
func (l *loop) notified(p *pair, to int) bool {
	e := &p.ends[to]
	if e.tls == nil {
		return true
	}
	if bye := e.tls.CloseNotify(l.wire[:0]); len(bye) > 0 {
		l.put(p, to, bye)
	}
	return len(e.pend) == 0
}

// notify is notified for a side that is about to be closed.
func (l *loop) notify(e *end) {
	if e.tls == nil || e.gone || e.shut || len(e.pend) > 0 {
		return
	}
	if bye := e.tls.CloseNotify(l.wire[:0]); len(bye) > 0 {
		_, _ = sys.Send(int(e.fd), bye)
	}
}

// fault is the reason of a pair that ends because this side broke.
func (e *end) fault() string {
	if e.badTLS() {
		return "tls error"
	}
	return "reset"
}

// trouble is what is known of a side that broke.
func (e *end) trouble(errno sys.Errno) error {
	if e.badTLS() {
		return e.tls.Err()
	}
	return errno
}

func (e *end) badTLS() bool {
	return e.tls != nil && e.tls.Err() != nil && e.tls.Err() != io.EOF
}

// secure makes a pair of which the backend speaks TLS, on a goroutine of its
// own: a handshake that fails is failed for ever, so it cannot be done in
// pieces, and its arithmetic would keep other pairs waiting. A client that
// leaves meanwhile is noticed afterwards.
func (l *loop) secure(c *Call) {
	began := l.clock()
	conn, t, cause, err := connect(l.quit, c)
	if err == nil {
		p := l.newPair(c, began)
		p.call.connected = true
		p.due = p.call.answer
		t.Detach()
		fd := descriptor(conn)
		_ = conn.Close()
		p.ends[Backend].tls = t
		if err = l.watch(p, c, fd); err == nil {
			return
		}
		cause = ConnectFailed
	}
	l.dialing.Add(-1)
	c.Owner.Failed(Failure{Cause: cause, Err: err, Client: c.Client, Backend: -1})
	l.poll.Wake() // it may be waiting for the last of them
}
