package tlsconn

import (
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"time"
)

// Conn is a TLS connection. In its first life its methods are those of
// *tls.Conn, and as safe for concurrent use; in its second it belongs to one
// goroutine, which calls Open, Seal, CloseNotify and Err, or Read for what had
// come before.
type Conn struct {
	*tls.Conn
	t   transport
	err error // of Open, for good
}

// Server returns the server's side of a TLS connection over conn.
func Server(conn net.Conn, cfg *tls.Config) *Conn {
	c := &Conn{t: transport{conn: conn}}
	c.Conn = tls.Server(&c.t, cfg)
	return c
}

// Client returns the client's side of a TLS connection over conn. cfg names
// the server, or does not verify it.
func Client(conn net.Conn, cfg *tls.Config) *Conn {
	c := &Conn{t: transport{conn: conn}}
	c.Conn = tls.Client(&c.t, cfg)
	return c
}

// Shake does the handshake, in its turn (see the package comment). by bounds
// the wait for a turn; what bounds the peer is the deadline of the connection
// below, which the caller sets. The zero time is no bound.
func (c *Conn) Shake(by time.Time) error {
	if err := computing.enter(by); err != nil {
		return err
	}
	c.t.shaking, c.t.inside, c.t.by = true, true, by
	err := c.Handshake()
	c.t.shaking = false
	if c.t.inside {
		computing.leave()
		c.t.inside = false
	}
	return err
}

// CloseWrite sends a close_notify and ends the sending direction of the
// connection below, if it can do that.
func (c *Conn) CloseWrite() error {
	err := c.Conn.CloseWrite()
	if h, ok := c.t.conn.(interface{ CloseWrite() error }); ok {
		err = errors.Join(err, h.CloseWrite())
	}
	return err
}

// Detach begins the second life. The connection below is neither closed nor
// kept. The handshake must be complete, and nothing else be under way.
//
// What had come before and was not read, Read returns, and then a temporary
// error.
func (c *Conn) Detach() {
	c.t.conn = nil
	c.trim()
}

// Attach begins a first life again, over conn.
func (c *Conn) Attach(conn net.Conn) { c.t.conn = conn }

// Open takes what has come from the peer and appends what that says to dst. It
// is content with records that are not whole. reply, if there is any, is to be
// sent to the peer behind everything sealed before. The error is io.EOF if the
// peer has said that no more will come; whatever it is, it stays (see Err), and
// plain is what was said before.
//
// sealed is overwritten, and not kept; reply is the caller's.
func (c *Conn) Open(dst, sealed []byte) (plain, reply []byte, err error) {
	if c.err != nil {
		return dst, nil, c.err
	}
	if lends {
		// What completes a record that has begun goes to the rest of it.
		for n := c.rawInput().Len(); n > 0 && len(sealed) > 0 && c.err == nil; n = c.rawInput().Len() {
			part := min(len(sealed), max(1, missing(c.rawInput().Bytes())))
			dst = c.read(dst, sealed[:part])
			sealed = sealed[part:]
		}
	}
	if c.err == nil && len(sealed) > 0 {
		if c.lend(sealed) {
			dst = c.read(dst, nil)
			c.reclaim()
		} else {
			dst = c.read(dst, sealed)
		}
	}
	c.trim()
	reply, c.t.out = c.t.out, nil
	return dst, reply, c.err
}

// read appends to dst what the records say that came before or are in b.
func (c *Conn) read(dst, b []byte) []byte {
	c.t.in = b
	for {
		if cap(dst)-len(dst) == 0 {
			dst = slices.Grow(dst, maxRecord)
		}
		room := dst[len(dst):cap(dst)]
		n, err := c.Read(room)
		dst = dst[:len(dst)+n]
		if err != nil {
			if err != errLater { // it comes as it went in
				c.err = err
			}
			break
		}
		// With room left all was said of the records before. To ask for more
		// where no whole record is costs something.
		if lends && n < len(room) && len(c.t.in) == 0 && missing(c.rawInput().Bytes()) > 0 {
			break
		}
	}
	c.t.in = nil
	return dst
}

// Err returns the error that Open has ended with, nil if it has not.
func (c *Conn) Err() error { return c.err }

// Seal appends to dst what says b to the peer: as few records as b needs,
// unless the configuration has crypto/tls begin with small ones
// (DynamicRecordSizingDisabled). It fails after CloseNotify, and after an error
// of Open that was told to the peer.
func (c *Conn) Seal(dst, b []byte) ([]byte, error) {
	c.t.out = dst
	_, err := c.Write(b)
	dst, c.t.out = c.t.out, nil
	return dst, err
}

// CloseNotify appends to dst what tells the peer that no more will come; the
// second time it appends nothing.
func (c *Conn) CloseNotify(dst []byte) []byte {
	c.t.out = dst
	_ = c.Conn.CloseWrite()
	dst, c.t.out = c.t.out, nil
	return dst
}

// maxRecord is the most that one record says, in bytes.
const maxRecord = 16 << 10

// errLater is the temporary error of a read for which nothing is there.
var errLater error = later{}

type later struct{}

func (later) Error() string   { return "read: nothing has come yet" }
func (later) Timeout() bool   { return true }
func (later) Temporary() bool { return true }

// transport is what crypto/tls reads from and writes to.
type transport struct {
	conn net.Conn // nil in the second life

	// Of the handshake under way.
	by      time.Time
	shaking bool
	inside  bool // it has a place among those that compute

	// Of the second life, within a call of Conn's.
	in  []byte // come, and not read yet
	out []byte // written, and not sent yet
}

// Read implements [net.Conn].
func (t *transport) Read(p []byte) (int, error) {
	switch {
	case t.conn == nil:
		if len(t.in) == 0 {
			return 0, errLater
		}
		n := copy(p, t.in)
		t.in = t.in[n:]
		return n, nil
	case t.shaking:
		return t.aside(t.conn.Read, p)
	}
	return t.conn.Read(p)
}

// Write implements [net.Conn]. In the second life it never fails.
func (t *transport) Write(p []byte) (int, error) {
	switch {
	case t.conn == nil:
		t.out = append(t.out, p...)
		return len(p), nil
	case t.shaking:
		return t.aside(t.conn.Write, p)
	}
	return t.conn.Write(p)
}

// aside calls f, which may wait for the peer, without a place among the
// handshakes that compute. A handshake that has failed here has none any more,
// and may still have an alert to send.
func (t *transport) aside(f func([]byte) (int, error), p []byte) (int, error) {
	if t.inside {
		computing.leave()
		t.inside = false
	}
	n, err := f(p)
	if err != nil {
		return n, err
	}
	if err := computing.enter(t.by); err != nil {
		return 0, err
	}
	t.inside = true
	return n, nil
}

// Close implements [net.Conn].
func (t *transport) Close() error {
	if t.conn == nil {
		return nil
	}
	return t.conn.Close()
}

// LocalAddr implements [net.Conn]; nil in the second life.
func (t *transport) LocalAddr() net.Addr {
	if t.conn == nil {
		return nil
	}
	return t.conn.LocalAddr()
}

// RemoteAddr implements [net.Conn]; nil in the second life.
func (t *transport) RemoteAddr() net.Addr {
	if t.conn == nil {
		return nil
	}
	return t.conn.RemoteAddr()
}

// SetDeadline implements [net.Conn].
func (t *transport) SetDeadline(at time.Time) error {
	if t.conn == nil {
		return nil
	}
	return t.conn.SetDeadline(at)
}

// SetReadDeadline implements [net.Conn].
func (t *transport) SetReadDeadline(at time.Time) error {
	if t.conn == nil {
		return nil
	}
	return t.conn.SetReadDeadline(at)
}

// SetWriteDeadline implements [net.Conn].
func (t *transport) SetWriteDeadline(at time.Time) error {
	if t.conn == nil {
		return nil
	}
	return t.conn.SetWriteDeadline(at)
}
