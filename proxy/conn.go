package proxy

import (
	"crypto/tls"
	"net"
	"syscall"
	"time"
)

// backendConn is one connection to a backend. It counts bytes, so that a
// failed attempt can tell whether anything was sent or answered, and keeps its
// deadlines coarse, because setting one costs as much as the whole header
// policy. It is used by one request at a time.
type backendConn struct {
	net.Conn
	raw  syscall.RawConn // nil if Conn has none
	wire *wire           // below Conn, which is TLS; nil: it is not

	in, out int64 // bytes read and written since the connection began
	ended   bool  // a read has met the end of what the backend sends, or failed

	readBy, writeBy time.Time // deadlines that are set; zero: none
	idleSince       time.Time
	used            bool // has carried a request before this one

	look  func(fd uintptr) // c.peek, bound once
	stale bool             // what peek found
	one   [1]byte

	ask    func(fd uintptr) bool // c.writeThenRead, bound once
	shove  func(fd uintptr)      // c.push, bound once
	unsent []byte                // to be written by the next Read
	into   []byte                // where that reads to
	got    int
	err    error
}

func newBackendConn(c net.Conn) *backendConn {
	bc := &backendConn{Conn: c}
	if s, ok := c.(syscall.Conn); ok {
		bc.raw, _ = s.SyscallConn()
	}
	bc.look, bc.ask, bc.shove = bc.peek, bc.writeThenRead, bc.push
	return bc
}

// newTLSConn is newBackendConn for TLS over w.
func newTLSConn(c *tls.Conn, w *wire) *backendConn {
	bc := newBackendConn(c)
	bc.wire = w
	return bc
}

// writeBeforeRead has p written at the beginning of the next Read. The caller
// must not change p until that returns.
func (c *backendConn) writeBeforeRead(p []byte) { c.unsent = p }

func (c *backendConn) Read(p []byte) (int, error) {
	if len(c.unsent) > 0 {
		return c.exchange(p)
	}
	return c.read(p)
}

func (c *backendConn) read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.in += int64(n)
	c.ended = c.ended || err != nil
	return n, c.wire.told(err)
}

// exchange writes what is unsent and reads the first bytes of the answer. A
// plain Write and Read would ask the kernel for an answer that cannot be there
// yet, be told to wait, and ask again; here the wait comes first. (The write
// must then happen inside of the read, after the runtime has begun to watch
// for the answer, or a quick one would be missed.) That is one of six system
// calls of a small request.
func (c *backendConn) exchange(p []byte) (int, error) {
	if c.raw == nil {
		return c.writeAndRead(p)
	}
	c.into, c.got, c.err = p, 0, nil
	err := c.raw.Read(c.ask)
	c.into = nil
	if c.err != nil {
		err = c.err
	}
	c.in += int64(c.got)
	if err != nil || c.got > 0 {
		c.unsent = nil
		return c.got, err
	}
	return c.writeAndRead(p) // the kernel did not take all of it at once
}

// writeAndRead is exchange one after the other.
func (c *backendConn) writeAndRead(p []byte) (int, error) {
	unsent := c.unsent
	c.unsent = nil
	if _, err := c.Write(unsent); err != nil {
		return 0, err
	}
	return c.read(p)
}

func (c *backendConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.out += int64(n)
	return n, err
}

// writeThere writes what the backend takes at once and returns how much that
// was. Over TLS it is nothing.
func (c *backendConn) writeThere(p []byte) (int, error) {
	if c.raw == nil {
		return 0, nil
	}
	c.unsent, c.err = p, nil
	err := c.raw.Control(c.shove)
	if c.err != nil {
		err = c.err
	}
	n := len(p) - len(c.unsent)
	c.unsent = nil
	c.out += int64(n)
	return n, err
}

// alive tells whether an idle connection can carry another request: the
// backend has neither closed it nor sent bytes that nobody asked for. It costs
// one system call and does not block. What came over TLS is read, as it may be
// a session ticket.
func (c *backendConn) alive() bool {
	raw := c.raw
	switch {
	case c.wire != nil:
		raw = c.wire.raw
	case raw == nil:
		return true
	}
	c.stale = false
	if raw.Control(c.look) != nil {
		return false
	}
	return !c.stale || c.wire != nil && c.nothing(looks)
}

// nothing tells whether a read of a TLS connection would have to wait.
func (c *backendConn) nothing(p patienceOfWire) bool {
	c.wire.patience = p
	_, err := c.Conn.Read(c.one[:])
	c.wire.patience = waits
	return err == errNothing
}

// clean tells whether all that was read of the backend was asked for: TLS may
// have read ahead.
func (c *backendConn) clean() bool {
	return !c.ended && (c.wire == nil || c.nothing(refuses))
}

// Close ends the connection. TLS says goodbye first, if the backend takes it at
// once.
func (c *backendConn) Close() error {
	if c.wire != nil {
		c.wire.closing.Store(true)
	}
	return c.Conn.Close()
}

// readWithin lets reads fail when d has passed since now, or an eighth of d
// later: a deadline that still lies in that range is left as it is. 0 is no
// limit.
func (c *backendConn) readWithin(now time.Time, d time.Duration) error {
	by, change := coarse(c.readBy, now, d)
	if !change {
		return nil
	}
	c.readBy = by
	return c.SetReadDeadline(by)
}

// writeWithin is readWithin for writes.
func (c *backendConn) writeWithin(now time.Time, d time.Duration) error {
	by, change := coarse(c.writeBy, now, d)
	if !change {
		return nil
	}
	c.writeBy = by
	return c.SetWriteDeadline(by)
}

// coarse returns the deadline to set for a limit of d from now on, given the
// one that is set, and whether it must be set at all.
func coarse(set, now time.Time, d time.Duration) (by time.Time, change bool) {
	if d <= 0 {
		return time.Time{}, !set.IsZero()
	}
	if left := set.Sub(now); left >= d && left <= d+d/8 {
		return set, false
	}
	return now.Add(d + d/8), true
}
