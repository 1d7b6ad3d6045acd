package listener

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"github.com/holdfast-lb/holdfast/internal/tlsconn"
)

// phase is what the next byte read from a connection is part of. phaseDetached
// is final; up to there the order is that of a connection's life.
type phase uint32

const (
	phaseFresh    phase = iota // the first request; nothing came yet
	phaseIdle                  // the next request; nothing of it came yet
	phaseHeader                // a header that has begun
	phaseBody                  // a body, or nothing, until the answer is sent
	phaseTaken                 // what the hijacker makes of it
	phaseDetached              // nothing: Read returns ErrDetached
)

const (
	// parkAfter is the silence after which a connection leaves fasthttp.
	parkAfter = time.Second
	// tlsHandshake is the first byte of a TLS connection, and of no request.
	tlsHandshake = 0x16
	// writeChunk is how much may be written under one deadline.
	writeChunk = 64 << 10
)

// headEnd is what a header ends with.
var headEnd = []byte("\r\n\r\n")

var (
	// errRecord is what the rest of a header is in place of a TLS record.
	errRecord = errors.New("read request: a TLS record came")
	// ErrDetached is what Read and Detach return after Detach.
	ErrDetached = errors.New("use connection: it was detached")
)

// Conn is a client's connection as fasthttp sees it, and what
// fasthttp.RequestCtx.Conn returns. Until it is hijacked its deadlines are its
// own; see the package comment.
//
// Up to the hijack its methods, but for Close and the getters, are fasthttp's
// and the handler's to call, one at a time; then the hijacker's.
type Conn struct {
	raw    net.Conn      // *lazyConn, *net.TCPConn or *net.UnixConn
	tls    *tlsconn.Conn // that lies on raw; nil: none
	socket *socket
	remote net.Addr   // that a PROXY header names; nil: raw's
	client netip.Addr // of RemoteAddr, IPv4 within IPv6 as IPv4; zero for Unix sockets
	key    addrKey
	phase  atomic.Uint32
	left   atomic.Bool // off the ledger
	// uploading: from BeginUpload to EndUpload.
	uploading atomic.Bool

	next, prev *Conn // guarded by the mutex of the ledger's shard

	// The rest belongs to the goroutine that serves the connection.

	announces   bool         // begins with a PROXY header
	owed        func()       // of IfNotTaken
	parked      bool         // leave fasthttp without being closed
	served      bool         // a request was answered
	requests    int          // that reached the handler
	headerArmed bool         // the read deadline is the header's
	lingers     bool         // the client may be sending when the connection is closed
	hasByte     bool         // oneByte is the next to read
	ended       bool         // the client's end was met within a body
	hasty       bool         // reads of a body do not wait
	record      bool         // the client speaks TLS, and this is a plain port
	metered     bool         // allowance counts
	allowance   int          // bytes of the body that may be read from the connection
	beforeRead  func() error // of BeginUpload; nil: none
	piece       int          // bytes of the header if it came whole, in one read; 0: it did not
	oneByte     [1]byte
	waitFrom    time.Duration // since the ledger's epoch: begin of the present wait
	readBy      time.Duration // since the ledger's epoch: the armed read deadline; 0: none
	writeBy     time.Duration // the same for writes
}

func newConn(sk *socket, nc net.Conn) *Conn {
	c := &Conn{raw: nc, socket: sk, client: addrOf(nc.RemoteAddr()), waitFrom: sk.ledger.now()}
	c.key = keyOf(c.client)
	return c
}

// AllowHandshake takes one WebSocket handshake from ip's bucket, which is
// refilled by limits.handshakes_per_second_per_ip and holds as many; it reports
// whether there was one. ip is the client's address: that of RemoteAddr, or what
// a trusted proxy says it is. The zero Addr is always allowed.
func (c *Conn) AllowHandshake(ip netip.Addr) bool {
	st := c.socket.settings.Load()
	if c.socket.ledger.allow(keyOf(ip), st.limits.HandshakesPerSecondPerIP) {
		return true
	}
	st.meter.Refused(RefusedHandshakeRate)
	return false
}

func (c *Conn) phaseNow() phase { return phase(c.phase.Load()) }

// Read reads under the deadline of the present phase.
func (c *Conn) Read(p []byte) (int, error) {
	switch c.phaseNow() {
	case phaseFresh, phaseIdle:
		n, err := c.readFirst(p)
		c.record = n > 0 && c.tls == nil && p[0] == tlsHandshake
		c.piece = 0
		if c.tls == nil && bytes.HasSuffix(p[:n], headEnd) {
			c.piece = n
		}
		return n, err
	case phaseHeader:
		if c.record {
			return 0, errRecord // no header will come
		}
		c.piece = 0
		return c.readHeader(p)
	case phaseBody:
		return c.readBody(p)
	case phaseTaken:
		if c.uploading.Load() {
			return c.readBody(p)
		}
		return c.stream().Read(p)
	}
	if c.tls != nil {
		// What TLS had taken from the socket goes first.
		if n, _ := c.tls.Read(p); n > 0 {
			return n, nil
		}
	}
	return 0, ErrDetached
}

// readFirst waits for the first bytes of a request. When none come it returns
// io.EOF, for which fasthttp leaves without a word; the connection is parked
// then unless its time is up.
func (c *Conn) readFirst(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if c.hasByte {
		c.hasByte = false
		p[0] = c.oneByte[0]
		return 1, nil
	}
	if c.served {
		if c.socket.stopping.Load() {
			return 0, io.EOF
		}
		c.waitFrom = c.socket.ledger.now()
	}
	timeout := c.socket.settings.Load().firstByte(c.phaseNow())
	parks := timeout <= 0 || timeout > 2*parkAfter
	if parks {
		timeout = parkAfter
	}
	if err := c.armRead(timeout); err != nil {
		return 0, io.EOF
	}
	n, err := c.stream().Read(p)
	if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) {
		c.parked = parks && !c.socket.stopping.Load()
		return 0, io.EOF
	}
	if errors.Is(err, net.ErrClosed) {
		return n, io.EOF
	}
	return n, err
}

// awaitByte is the wait of a parked connection. It reports whether a request
// has begun.
func (c *Conn) awaitByte() bool {
	timeout := c.socket.settings.Load().firstByte(c.phaseNow())
	by := time.Time{}
	if timeout > 0 {
		by = c.socket.ledger.epoch.Add(c.waitFrom + timeout)
	}
	c.readBy = 0
	if c.armWait(by) != nil {
		return false
	}
	n, _ := c.stream().Read(c.oneByte[:])
	c.hasByte = n == 1
	return c.hasByte
}

// readHeader reads a header that has begun, until its deadline.
func (c *Conn) readHeader(p []byte) (int, error) {
	if !c.headerArmed {
		c.headerArmed = true
		c.readBy = 0
		by := time.Time{}
		if timeout := c.socket.settings.Load().timeout.Header; timeout > 0 {
			from := c.waitFrom
			if c.served {
				from = c.socket.ledger.now()
			}
			by = c.socket.ledger.epoch.Add(from + timeout)
		}
		if err := c.raw.SetReadDeadline(by); err != nil {
			return 0, err
		}
	}
	return c.stream().Read(p)
}

// Write writes all of p, in pieces that a client must each take within
// timeouts.body. A hijacked connection has only the deadlines that the
// hijacker sets. A client that has not is reset: the kernel would go on for it,
// with megabytes of what was written, for as long as it takes a byte at times.
func (c *Conn) Write(p []byte) (int, error) {
	n, err := c.write(p)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.Reset()
	}
	return n, err
}

func (c *Conn) write(p []byte) (int, error) {
	switch c.phaseNow() {
	case phaseTaken:
		return c.stream().Write(p)
	case phaseDetached:
		return 0, ErrDetached // it is somebody else's now
	}
	done := 0
	for {
		if err := c.armWrite(); err != nil {
			return done, err
		}
		n, err := c.stream().Write(p[done:min(len(p), done+writeChunk)])
		done += n
		if err != nil || done == len(p) {
			return done, err
		}
	}
}

// CameAlone tells whether the header of the request that is being handled, of
// size bytes with its empty line, was read in one piece with nothing behind it.
// Then there is nothing to be had from fasthttp, and the handler may Detach
// without a hijack. Always false with TLS.
func (c *Conn) CameAlone(size int) bool { return c.piece == size }

// Answered tells whether the client was answered before the request that is
// being handled, of which it may not have read everything. fasthttp counts the
// requests of a connection from its last silence on.
func (c *Conn) Answered() bool { return c.served }

// Close closes the connection, but for one that is parked, which fasthttp
// believes it closes. After Detach it closes the Go side only: no FIN is sent
// and the connection keeps counting.
func (c *Conn) Close() error {
	if c.parked {
		return nil
	}
	if c.phaseNow() == phaseDetached {
		return c.raw.Close()
	}
	if c.lingers && c.phaseNow() < phaseTaken {
		linger(c.stream())
	}
	err := c.stream().Close()
	c.leave()
	return err
}

// CloseWrite ends what is sent to the client of a hijacked connection, which may
// go on sending.
func (c *Conn) CloseWrite() error {
	if h, can := c.stream().(interface{ CloseWrite() error }); can {
		return h.CloseWrite()
	}
	return nil
}

// Reset closes a connection at once and with a reset, without TLS's farewell
// too: its client must not believe that what it has read is all.
func (c *Conn) Reset() {
	switch raw := c.raw.(type) {
	case interface{ resetOnClose() }:
		raw.resetOnClose()
	case *net.TCPConn:
		_ = raw.SetLinger(0) // fails only on a connection that is gone already
	}
	_ = c.raw.Close()
}

// leave takes the connection off the ledger, once.
func (c *Conn) leave() {
	if c.left.CompareAndSwap(false, true) {
		c.socket.ledger.leave(c)
	}
}

// LocalAddr returns the address that the client connected to.
func (c *Conn) LocalAddr() net.Addr { return c.raw.LocalAddr() }

// RemoteAddr returns the address at the other end, or that a PROXY header
// names.
func (c *Conn) RemoteAddr() net.Addr {
	if c.remote != nil {
		return c.remote
	}
	return c.raw.RemoteAddr()
}

// SetDeadline is called by fasthttp when the connection is hijacked, and is
// then the hijacker's to call. Reads of an upload keep their own.
func (c *Conn) SetDeadline(t time.Time) error {
	set := c.raw.SetDeadline
	if c.uploading.Load() {
		set = c.raw.SetWriteDeadline
	}
	if err := set(t); err != nil {
		return err // fasthttp gives the hijack up
	}
	if c.phaseNow() < phaseTaken {
		c.phase.Store(uint32(phaseTaken))
	}
	return nil
}

// IfNotTaken has f called, once, if the hijack that the handler asks for never
// comes about: fasthttp gives it up when the client is gone before an earlier,
// pipelined answer could be written. f runs where the handler ran. It is for
// the handler to call, at most once a connection.
func (c *Conn) IfNotTaken(f func()) { c.owed = f }

// SetReadDeadline is called by fasthttp when a header is complete; see
// headerReceived. Up to the hijack the time does not matter, unless it is to end
// an upload.
func (c *Conn) SetReadDeadline(t time.Time) error {
	if c.phaseNow() < phaseTaken && !c.uploading.Load() {
		c.phase.Store(uint32(phaseBody))
		return nil
	}
	return c.raw.SetReadDeadline(t)
}

// SetWriteDeadline sets the deadline of a hijacked connection's writes. Up to
// the hijack it does nothing.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	if c.phaseNow() < phaseTaken {
		return nil
	}
	return c.raw.SetWriteDeadline(t)
}
