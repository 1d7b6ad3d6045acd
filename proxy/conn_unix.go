//go:build unix

package proxy

import (
	"io"
	"os"

	"github.com/holdfast-lb/holdfast/internal/sys"
)

// peek looks at a descriptor that should have nothing to read. Go's sockets do
// not block.
func (c *backendConn) peek(fd uintptr) { c.stale = !sys.Waits(int(fd)) }

// recv reads once.
func (w *wire) recv(fd uintptr) {
	n, err := sys.Recv(int(fd), w.buf)
	switch {
	case err == sys.EAGAIN || err == sys.EINTR:
		w.err = errNothing
	case err != 0:
		w.err = os.NewSyscallError("read", err)
	case n == 0:
		w.err = io.EOF
	}
	w.n = n
}

// send writes once.
func (w *wire) send(fd uintptr) {
	n, err := sys.Send(int(fd), w.buf)
	switch {
	case err != 0:
		w.err = os.NewSyscallError("write", err)
	case n < len(w.buf):
		w.err = io.ErrShortWrite
	}
	w.n = n
}

// push writes once.
func (c *backendConn) push(fd uintptr) {
	n, err := sys.Send(int(fd), c.unsent)
	switch {
	case err == 0:
		c.unsent = c.unsent[n:]
	case err != sys.EAGAIN && err != sys.EINTR:
		c.err = os.NewSyscallError("write", err)
	}
}

// writeThenRead is called by a RawConn's Read, once and again when there is
// something to read, until it returns true. The first call writes. It returns
// with neither bytes nor an error if the write was not complete. What has come
// before it gives no event any more: a connection that was used was looked at
// for that, and from a new one the first call reads as well.
func (c *backendConn) writeThenRead(fd uintptr) (done bool) {
	if len(c.unsent) > 0 {
		n, err := sys.Send(int(fd), c.unsent)
		if n > 0 {
			c.out += int64(n)
			c.unsent = c.unsent[n:]
		}
		switch {
		case err == 0 || err == sys.EAGAIN || err == sys.EINTR:
		default:
			c.err = os.NewSyscallError("write", err)
			return true
		}
		if len(c.unsent) > 0 || c.used {
			return len(c.unsent) > 0
		}
	}
	n, err := sys.Recv(int(fd), c.into)
	switch {
	case err == sys.EAGAIN || err == sys.EINTR:
		return false
	case err != 0:
		c.err = os.NewSyscallError("read", err)
	case n == 0:
		c.err = io.EOF
	default:
		c.got = n
	}
	return true
}
