//go:build unix

package sys

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Errno is the kernel's error number. Zero is no error.
type Errno = unix.Errno

// The error numbers that callers decide on.
const (
	EAGAIN       = unix.EAGAIN
	EINTR        = unix.EINTR
	ECONNREFUSED = unix.ECONNREFUSED
	ECONNRESET   = unix.ECONNRESET
	EPIPE        = unix.EPIPE
	EMFILE       = unix.EMFILE
	ENFILE       = unix.ENFILE
)

// Dup returns a second descriptor, close-on-exec, for the open file behind fd.
// The caller owns it.
func Dup(fd int) (int, error) {
	nfd, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("duplicate descriptor %d: %w", fd, err)
	}
	return nfd, nil
}

// Close closes fd. Closing a socket never blocks: they are all non-blocking.
func Close(fd int) { _ = unix.Close(fd) }

// ShutdownWrite ends the sending direction of a socket (FIN for TCP).
func ShutdownWrite(fd int) { _ = unix.Shutdown(fd, unix.SHUT_WR) }

// CloseReset closes a TCP socket with a reset: whatever was not sent is
// dropped and the peer sees ECONNRESET instead of an orderly end.
func CloseReset(fd int) {
	_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1, Linger: 0})
	_ = unix.Close(fd)
}

// SocketError takes the pending error of a socket (SO_ERROR), nil if none.
func SocketError(fd int) error {
	n, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return err
	}
	if n != 0 {
		return unix.Errno(n)
	}
	return nil
}

// DialTCP starts a TCP connection to addr without waiting for it: the socket
// is returned as soon as the connection is under way, and is writable once it
// is up. TCP_NODELAY is set. The caller owns the descriptor.
func DialTCP(addr netip.AddrPort) (int, error) {
	var (
		family = unix.AF_INET
		to     unix.Sockaddr
		ip     = addr.Addr().Unmap()
	)
	if ip.Is4() {
		to = &unix.SockaddrInet4{Port: int(addr.Port()), Addr: ip.As4()}
	} else {
		family = unix.AF_INET6
		to = &unix.SockaddrInet6{Port: int(addr.Port()), Addr: ip.As16(), ZoneId: zoneID(ip.Zone())}
	}
	fd, err := streamSocket(family)
	if err != nil {
		return -1, fmt.Errorf("open socket: %w", err)
	}
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	for {
		err = unix.Connect(fd, to)
		if err != unix.EINTR {
			break
		}
	}
	if err != nil && err != unix.EINPROGRESS {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}
