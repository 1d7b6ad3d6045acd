package listener

import (
	"errors"
	"os"
)

// ErrBodyTimeout is what a Read of a request's body returns after timeouts.body
// without a byte. It is a net.Error whose Timeout is true.
var ErrBodyTimeout error = bodyTimeout{}

// bodyTimeout is the type of ErrBodyTimeout.
type bodyTimeout struct{}

func (bodyTimeout) Error() string   { return "read request body: no byte came for timeouts.body" }
func (bodyTimeout) Timeout() bool   { return true }
func (bodyTimeout) Temporary() bool { return true }
func (bodyTimeout) Unwrap() error   { return os.ErrDeadlineExceeded }

// readBody reads a body, of which something must come once in a while.
func (c *Conn) readBody(p []byte) (int, error) {
	if c.beforeRead != nil {
		if err := c.beforeRead(); err != nil {
			c.ended = true
			return 0, err
		}
	}
	if err := c.armRead(c.socket.settings.Load().timeout.Body); err != nil {
		return 0, err
	}
	if c.metered && c.allowance <= 0 {
		c.ended = true
		return 0, errOverhead
	}
	n, err := c.readSome(p)
	if c.uploading.Load() {
		c.socket.opts.Help() // of handlers only before they begin: see handle
	}
	c.allowance -= n
	switch {
	case n == 0 && errors.Is(err, os.ErrDeadlineExceeded):
		err = ErrBodyTimeout
	case err != nil:
		c.ended = true
	}
	return n, err
}

// thereReader is a connection that can be read without waiting.
type thereReader interface {
	// readThere is Read that returns 0 and no error where that would wait.
	readThere(p []byte) (int, error)
}

func (c *Conn) readSome(p []byte) (int, error) {
	if c.hasty {
		return c.raw.(thereReader).readThere(p)
	}
	return c.stream().Read(p)
}

// ReadOnlyWhatIsThere has Reads of a body return 0 and no error where they
// would wait, or ends that. It reports whether this connection can do so: one
// without TLS, on Linux. Only a body of known length can be read this way:
// fasthttp takes no end of nothing between two chunks.
func (c *Conn) ReadOnlyWhatIsThere(on bool) bool {
	_, can := c.raw.(thereReader)
	can = can && c.tls == nil
	c.hasty = on && can
	return can
}

// ReadEnded tells whether a Read of a request's body has met the end of the
// connection, or failed: fasthttp takes the one between two chunks, and either
// in place of a trailer, for the end of the body.
// It belongs to the goroutine that reads the body.
func (c *Conn) ReadEnded() bool { return c.ended }

// BeginUpload says that a goroutine reads the rest of the body on behalf of the
// handler, until EndUpload. What bounds a body bounds it to its end: the
// connection may be hijacked meanwhile for an answer that comes before that.
//
// before is called ahead of each Read that may wait, which returns its error if
// it has one: it is for what was read and can wait no longer. EndUpload belongs
// to that goroutine. SetReadDeadline ends a Read that waits.
func (c *Conn) BeginUpload(before func() error) {
	c.beforeRead = before
	c.uploading.Store(true)
}

// EndUpload ends what BeginUpload has begun.
func (c *Conn) EndUpload() {
	c.beforeRead = nil
	c.uploading.Store(false)
}
