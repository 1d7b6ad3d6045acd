//go:build unix

package listener

import (
	"fmt"
	"syscall"

	"github.com/holdfast-lb/holdfast/internal/sys"
)

// Detach takes the connection's socket out of Go's hands. It returns a second
// descriptor for it, close-on-exec and non-blocking, which the caller owns and
// closes, and the connection's place, which must be left when that is done. On
// error nothing has changed.
//
// With TLS, the Conn of [Conn.TLS] goes with the descriptor.
//
// From then on Read returns [ErrDetached] at once, or behind what TLS had read
// from the socket, so that reading from the hijacked connection yields just the
// bytes that were read ahead, and then that error. Write returns it too, and
// sends nothing. The Go side must still be closed, which fasthttp does after
// the hijack handler, or the handler; that sends nothing to the client and
// leaves the descriptor alone.
func (c *Conn) Detach() (fd int, p Place, err error) {
	was := c.phase.Load()
	if phase(was) == phaseDetached || !c.phase.CompareAndSwap(was, uint32(phaseDetached)) {
		return -1, nil, ErrDetached
	}
	if t, ok := c.raw.(interface{ take() (int, error) }); ok {
		fd, err = t.take()
	} else {
		fd, err = duplicate(c.raw)
	}
	if err != nil {
		c.phase.Store(was)
		return -1, nil, fmt.Errorf("detach connection of %v: %w", c.client, err)
	}
	if c.tls != nil {
		c.tls.Detach()
	}
	return fd, c.keepPlace(), nil
}

// keepPlace takes the connection off the list and returns its place in the
// counts, so that whoever holds the socket for hours holds nothing else of it.
func (c *Conn) keepPlace() *place {
	c.left.Store(true)
	c.socket.ledger.strike(c)
	return &place{socket: c.socket, key: c.key}
}

// duplicate returns a second descriptor for the socket of nc. O_NONBLOCK is a
// property of the open file that both share, so the new one has it too.
func duplicate(nc any) (int, error) {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return -1, fmt.Errorf("%T has no descriptor", nc)
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return -1, err
	}
	fd := -1
	var dupErr error
	if err := rc.Control(func(old uintptr) { fd, dupErr = sys.Dup(int(old)) }); err != nil {
		return -1, err
	}
	return fd, dupErr
}
