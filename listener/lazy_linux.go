//go:build linux && (amd64 || arm64)

package listener

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/holdfast-lb/holdfast/internal/sys"
)

// lazyListener accepts TCP connections as [lazyConn].
type lazyListener struct {
	*net.TCPListener          // keeps the address bound; it never accepts
	file             *os.File // a duplicate of its socket, which does
	raw              syscall.RawConn
	local            net.Addr

	// Of the accept under way: there is one accept loop.
	accept func(fd uintptr) bool // bound once
	fd     int
	remote *net.TCPAddr
	err    error
}

// lazily makes the connections of ln join Go's poller only when they must
// wait. Listeners of other kinds are returned as they are.
func lazily(ln net.Listener) net.Listener {
	tcp, ok := ln.(*net.TCPListener)
	if !ok {
		return ln
	}
	// Package net lets nobody else wait for its listeners.
	fd, err := duplicate(tcp)
	if err != nil {
		return ln
	}
	file := os.NewFile(uintptr(fd), "listener")
	raw, err := file.SyscallConn()
	if err != nil {
		_ = file.Close()
		return ln
	}
	l := &lazyListener{TCPListener: tcp, file: file, raw: raw, local: tcp.Addr()}
	l.accept = func(fd uintptr) bool {
		l.fd, l.remote, l.err = sys.AcceptTCP(int(fd))
		return !errors.Is(l.err, sys.EAGAIN)
	}
	return l
}

// Accept implements [net.Listener], for one goroutine at a time.
func (l *lazyListener) Accept() (net.Conn, error) {
	if err := l.raw.Read(l.accept); err != nil {
		return nil, mended(err)
	}
	if l.err != nil {
		return nil, os.NewSyscallError("accept4", l.err)
	}
	return &lazyConn{fd: l.fd, local: l.local, remote: l.remote}, nil
}

// Close implements [net.Listener].
func (l *lazyListener) Close() error {
	return errors.Join(l.file.Close(), l.TCPListener.Close())
}

// lazyConn is a client's TCP connection that stays outside Go's poller until a
// read or write would block. A WebSocket handshake that comes with its
// connection never does, and its descriptor is handed to the relay as it is:
// that saves six system calls out of 27 for a new socket, a duplicate
// descriptor among them. Reads and writes that cannot wait tell Go's scheduler
// nothing, which spares it from taking the processor away in the middle of
// them: a tenth of the price of a small request.
type lazyConn struct {
	local  net.Addr // of the listener: the wildcard if it is bound to that
	remote *net.TCPAddr

	mu      sync.Mutex // guards what follows; held while nothing waits
	fd      int        // -1: in file, given away, or closed
	closed  bool
	readBy  time.Time // of a connection outside the poller
	writeBy time.Time
	joined  atomic.Pointer[polled] // once in Go's poller
}

// polled is a connection in Go's poller.
type polled struct {
	file *os.File
	raw  syscall.RawConn

	// Of the read under way, and of the write.
	read, write   func(fd uintptr) bool // bound once
	in, out       []byte
	look          bool // the read leaves what it returns
	hasty         bool // the read does not wait
	got, sent     int
	inErr, outErr sys.Errno
}

func newPolled(fd int) (*polled, error) {
	p := &polled{file: os.NewFile(uintptr(fd), "client")}
	raw, err := p.file.SyscallConn()
	if err != nil {
		return nil, err
	}
	p.raw = raw
	p.read = func(fd uintptr) bool {
		p.got, p.inErr = recv(int(fd), p.in, p.look)
		return p.inErr != sys.EAGAIN || p.hasty
	}
	p.write = func(fd uintptr) bool {
		n, errno := sys.Send(int(fd), p.out[p.sent:])
		p.sent, p.outErr = p.sent+n, errno
		return errno != sys.EAGAIN && (errno != 0 || p.sent == len(p.out))
	}
	return p, nil
}

// join puts the connection into Go's poller; mu is held.
func (c *lazyConn) join() (*polled, error) {
	if p := c.joined.Load(); p != nil {
		return p, nil
	}
	if c.fd < 0 {
		return nil, net.ErrClosed
	}
	p, err := newPolled(c.fd)
	if err != nil {
		return nil, err
	}
	c.fd = -1
	if !c.readBy.IsZero() {
		err = p.file.SetReadDeadline(c.readBy)
	}
	if !c.writeBy.IsZero() {
		err = errors.Join(err, p.file.SetWriteDeadline(c.writeBy))
	}
	c.joined.Store(p)
	return p, err
}

func passed(by time.Time) bool { return !by.IsZero() && !time.Now().Before(by) }

// recv is the system call of a read, or of a look.
func recv(fd int, b []byte, look bool) (int, sys.Errno) {
	if look {
		return sys.Peek(fd, b)
	}
	return sys.Recv(fd, b)
}

// Read implements [net.Conn].
func (c *lazyConn) Read(b []byte) (int, error) { return c.read(b, false, false) }

// peek is Read that leaves what it returns to be read again.
func (c *lazyConn) peek(b []byte) (int, error) { return c.read(b, true, false) }

// readThere is Read that returns 0 and no error where that would wait.
func (c *lazyConn) readThere(b []byte) (int, error) { return c.read(b, false, true) }

func (c *lazyConn) read(b []byte, look, hasty bool) (int, error) {
	p := c.joined.Load()
	if p == nil {
		var n int
		var err error
		if p, n, err = c.readNow(b, look, hasty); p == nil {
			return n, err
		}
	}
	p.in, p.look, p.hasty, p.got, p.inErr = b, look, hasty, 0, 0
	err := p.raw.Read(p.read)
	p.in = nil
	if hasty && err == nil && p.inErr == sys.EAGAIN {
		return 0, nil
	}
	return received(p.got, p.inErr, mended(err), len(b))
}

// readNow reads what is there. If that is nothing it returns the poller's side,
// for who is not hasty.
func (c *lazyConn) readNow(b []byte, look, hasty bool) (*polled, int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.joined.Load(); p != nil {
		return p, 0, nil
	}
	if c.fd < 0 {
		return nil, 0, net.ErrClosed
	}
	if passed(c.readBy) {
		return nil, 0, os.ErrDeadlineExceeded
	}
	n, errno := recv(c.fd, b, look)
	switch {
	case errno == sys.EAGAIN && hasty:
		return nil, 0, nil
	case errno == sys.EAGAIN:
		p, err := c.join()
		return p, 0, err
	}
	n, err := received(n, errno, nil, len(b))
	return nil, n, err
}

func received(n int, errno sys.Errno, err error, size int) (int, error) {
	switch {
	case err != nil:
		return 0, err
	case errno != 0:
		return 0, os.NewSyscallError("read", errno)
	case n == 0 && size > 0:
		return 0, io.EOF
	}
	return n, nil
}

// mended turns what package os says into what package net would say.
func mended(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return os.ErrDeadlineExceeded
	case errors.Is(err, os.ErrClosed):
		return net.ErrClosed
	}
	return err
}

// Write implements [net.Conn].
func (c *lazyConn) Write(b []byte) (int, error) {
	p := c.joined.Load()
	done := 0
	if p == nil {
		var err error
		if p, done, err = c.writeNow(b); p == nil {
			return done, err
		}
	}
	p.out, p.sent, p.outErr = b, done, 0
	err := mended(p.raw.Write(p.write))
	done, p.out = p.sent, nil
	if err == nil && p.outErr != 0 {
		err = os.NewSyscallError("write", p.outErr)
	}
	return done, err
}

// writeNow writes what the socket takes. It returns the poller's side if that
// is not all.
func (c *lazyConn) writeNow(b []byte) (*polled, int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.joined.Load(); p != nil {
		return p, 0, nil
	}
	if c.fd < 0 {
		return nil, 0, net.ErrClosed
	}
	if passed(c.writeBy) {
		return nil, 0, os.ErrDeadlineExceeded
	}
	n, errno := sys.Send(c.fd, b)
	switch {
	case errno != 0 && errno != sys.EAGAIN:
		return nil, n, os.NewSyscallError("write", errno)
	case n == len(b):
		return nil, n, nil
	}
	p, err := c.join()
	return p, n, err
}

// take gives the descriptor away: the one that there is, or a duplicate once
// Go's poller has it. The connection reads and writes no more.
func (c *lazyConn) take() (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.joined.Load(); p != nil {
		return duplicate(p.file)
	}
	if c.fd < 0 {
		return -1, net.ErrClosed
	}
	fd := c.fd
	c.fd = -1
	return fd, nil
}

// Close implements [net.Conn].
func (c *lazyConn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	c.closed = true
	if p := c.joined.Load(); p != nil {
		c.joined.Store(nil) // an upgraded connection is remembered for long
		return p.file.Close()
	}
	if c.fd >= 0 {
		sys.Close(c.fd)
		c.fd = -1
	}
	return nil
}

// resetOnClose has Close send a reset.
func (c *lazyConn) resetOnClose() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.joined.Load(); p != nil {
		_ = p.raw.Control(func(fd uintptr) { sys.ResetOnClose(int(fd)) })
	} else if c.fd >= 0 {
		sys.ResetOnClose(c.fd)
	}
}

// CloseWrite sends a FIN.
func (c *lazyConn) CloseWrite() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.joined.Load(); p != nil {
		return mended(p.raw.Control(func(fd uintptr) { sys.ShutdownWrite(int(fd)) }))
	}
	if c.fd < 0 {
		return net.ErrClosed
	}
	sys.ShutdownWrite(c.fd)
	return nil
}

// SetDeadline implements [net.Conn].
func (c *lazyConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline implements [net.Conn].
func (c *lazyConn) SetReadDeadline(t time.Time) error {
	if p := c.joined.Load(); p != nil {
		return mended(p.file.SetReadDeadline(t))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.joined.Load(); p != nil {
		return mended(p.file.SetReadDeadline(t))
	}
	c.readBy = t
	return nil
}

// SetWriteDeadline implements [net.Conn].
func (c *lazyConn) SetWriteDeadline(t time.Time) error {
	if p := c.joined.Load(); p != nil {
		return mended(p.file.SetWriteDeadline(t))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.joined.Load(); p != nil {
		return mended(p.file.SetWriteDeadline(t))
	}
	c.writeBy = t
	return nil
}

// descriptor returns the connection's own, which only whoever has just accepted
// it may ask for.
func (c *lazyConn) descriptor() int { return c.fd }

// LocalAddr implements [net.Conn]. It asks the kernel if the listener is bound
// to every address.
func (c *lazyConn) LocalAddr() net.Addr {
	if tcp, ok := c.local.(*net.TCPAddr); !ok || !tcp.IP.IsUnspecified() {
		return c.local
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var local netip.AddrPort
	if p := c.joined.Load(); p != nil {
		_ = p.raw.Control(func(fd uintptr) { local, _ = sys.LocalAddr(int(fd)) })
	} else if c.fd >= 0 {
		local, _ = sys.LocalAddr(c.fd)
	}
	if !local.IsValid() {
		return c.local
	}
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(local.Addr().Unmap(), local.Port()))
}

// RemoteAddr implements [net.Conn].
func (c *lazyConn) RemoteAddr() net.Addr { return c.remote }
