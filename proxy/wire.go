package proxy

import (
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
)

// patienceOfWire is what a read of a wire does when nothing is there.
type patienceOfWire uint8

const (
	waits   patienceOfWire = iota // until something comes, as any connection
	looks                         // asks the kernel once
	refuses                       // does not ask the kernel
)

// wire is the connection below a backend's TLS. It can be told not to wait:
// crypto/tls keeps its state over a temporary error, so a connection can be
// asked whether anything has come, in the kernel or in what TLS has read ahead,
// and what is not for us (a session ticket, a key update) is dealt with.
type wire struct {
	*net.TCPConn
	raw syscall.RawConn

	patience patienceOfWire // the reader's
	ended    bool           // a read has met the connection's end; the reader's
	closing  atomic.Bool    // writes take what room there is

	buf []byte // of the call under way
	n   int
	err error
}

// errNothing is what a wire returns instead of waiting.
var errNothing net.Error = nothing{}

type nothing struct{}

func (nothing) Error() string   { return "read backend: nothing is there" }
func (nothing) Timeout() bool   { return true }
func (nothing) Temporary() bool { return true } // crypto/tls asks
func (nothing) Unwrap() error   { return os.ErrDeadlineExceeded }

func newWire(c *net.TCPConn) (*wire, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	return &wire{TCPConn: c, raw: raw}, nil
}

// Read implements net.Conn.
func (w *wire) Read(p []byte) (int, error) {
	switch w.patience {
	case waits:
		n, err := w.TCPConn.Read(p)
		w.ended = w.ended || err == io.EOF
		return n, err
	case refuses:
		return 0, errNothing
	}
	return w.do(p, w.recv)
}

// told is the error of a read of the TLS above: an end that TLS has not told of
// is none, since whoever stands between may have made it (RFC 9112, section
// 9.8). crypto/tls takes it for one where it stands between two records. w may
// be nil.
func (w *wire) told(err error) error {
	if err == io.EOF && w != nil && w.ended {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Write implements net.Conn.
func (w *wire) Write(p []byte) (int, error) {
	if w.closing.Load() {
		return w.do(p, w.send)
	}
	return w.TCPConn.Write(p)
}

// do runs one system call, without regard to deadlines.
func (w *wire) do(p []byte, call func(fd uintptr)) (int, error) {
	w.buf, w.n, w.err = p, 0, nil
	err := w.raw.Control(call)
	w.buf = nil
	if err == nil {
		err = w.err
	}
	return w.n, err
}
