//go:build unix

package proxy

import (
	"io"
	"os"
	"syscall"
)

// peek reads from a descriptor that should have nothing to read. Go's sockets
// do not block.
func (c *backendConn) peek(fd uintptr) {
	n, err := syscall.Read(int(fd), c.one[:])
	c.stale = n >= 0 || err != syscall.EAGAIN && err != syscall.EINTR
}

// writeThenRead is called by a RawConn's Read, once and again when there is
// something to read, until it returns true. The first call writes. It returns
// with neither bytes nor an error if the write was not complete.
func (c *backendConn) writeThenRead(fd uintptr) (done bool) {
	if len(c.unsent) > 0 {
		n, err := syscall.Write(int(fd), c.unsent)
		if n > 0 {
			c.out += int64(n)
			c.unsent = c.unsent[n:]
		}
		switch {
		case err == nil || err == syscall.EAGAIN || err == syscall.EINTR:
		default:
			c.err = os.NewSyscallError("write", err)
			return true
		}
		return len(c.unsent) > 0
	}
	n, err := syscall.Read(int(fd), c.into)
	switch {
	case err == syscall.EAGAIN || err == syscall.EINTR:
		return false
	case err != nil:
		c.err = os.NewSyscallError("read", err)
	case n == 0:
		c.err = io.EOF
	default:
		c.got = n
	}
	return true
}
