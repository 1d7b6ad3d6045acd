package relay

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"net"
	"syscall"
	"time"

	"github.com/holdfast-lb/holdfast/internal/sys"
	"github.com/holdfast-lb/holdfast/internal/tlsconn"
)

// connect dials the backend of c, unless it has a Spare, and waits for it:
// preface, TLS handshake if BackendTLS asks for one, and the request, if there
// is one yet. t is nil without TLS, and otherwise lies on conn. The end of ctx
// ends it.
func connect(ctx context.Context, c *Call) (conn net.Conn, t *tlsconn.Conn, cause Cause, err error) {
	began := time.Now()
	by := began.Add(min(c.Connect, c.Answer))
	why := func(err error, other, timeout Cause) Cause {
		switch {
		case ctx.Err() != nil:
			return Stopping
		case !isTimeout(err):
			return other
		case time.Since(began) >= c.Answer:
			return AnswerTimeout
		}
		return timeout
	}
	if c.Spare != nil {
		conn, t, err = c.Spare.conn()
	} else {
		dialer := net.Dialer{Deadline: by, KeepAlive: -1}
		conn, err = dialer.DialContext(ctx, "tcp", c.Backend.String())
	}
	if err != nil {
		return nil, nil, why(err, ConnectFailed, ConnectTimeout), err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	_ = conn.SetDeadline(by)
	cause = BackendEnded
	if len(c.Preface) > 0 {
		_, err = conn.Write(c.Preface)
	}
	stream := conn
	if c.BackendTLS != nil && err == nil {
		if t == nil {
			t = tlsconn.Client(conn, c.BackendTLS)
			cause, err = TLSFailed, t.Shake(by)
		}
		stream = t
	}
	if err == nil && len(c.Request) > 0 {
		cause = BackendEnded
		_ = conn.SetDeadline(began.Add(c.Answer))
		_, err = stream.Write(c.Request)
	}
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		_ = conn.Close()
		return nil, nil, why(err, cause, ConnectTimeout), err
	}
	return conn, t, 0, nil
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// descriptor returns a duplicate of a connection's descriptor, -1 if it has
// none any more.
func descriptor(c net.Conn) int {
	fd := -1
	raw, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		return fd
	}
	_ = raw.Control(func(s uintptr) {
		if n, err := sys.Dup(int(s)); err == nil {
			fd = n
		}
	})
	return fd
}

var errAnswerTooLarge = errors.New("answer header above 32 KiB")

// readHead reads up to and with the empty line that ends a header of at most
// that many bytes. With an error it returns what had come of it.
func readHead(br *bufio.Reader, most int) (head []byte, err error) {
	for !bytes.HasSuffix(head, []byte("\r\n\r\n")) {
		if len(head) >= most {
			return head, errAnswerTooLarge
		}
		c, err := br.ReadByte()
		if err != nil {
			return head, err
		}
		head = append(head, c)
	}
	return head, nil
}
