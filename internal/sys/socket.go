//go:build unix

package sys

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"golang.org/x/sys/unix"
)

// Errno is the kernel's error number. Zero is no error.
type Errno = unix.Errno

// The error numbers that callers decide on.
const (
	EAGAIN = unix.EAGAIN
	EINTR  = unix.EINTR
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

// ResetOnClose has the close of a TCP socket be a reset.
func ResetOnClose(fd int) {
	_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1, Linger: 0})
}

// CloseReset closes a TCP socket with a reset: whatever was not sent is
// dropped and the peer sees ECONNRESET instead of an orderly end.
func CloseReset(fd int) {
	ResetOnClose(fd)
	_ = unix.Close(fd)
}

// DialTCP starts a TCP connection to addr without waiting for it: the socket
// is returned as soon as the connection is under way, and is writable once it
// is up. TCP_NODELAY is set. The caller owns the descriptor.
func DialTCP(addr netip.AddrPort) (int, error) {
	ip := addr.Addr().Unmap()
	family := unix.AF_INET
	if !ip.Is4() {
		family = unix.AF_INET6
	}
	fd, err := streamSocket(family)
	if err != nil {
		return -1, fmt.Errorf("open socket: %w", err)
	}
	setNoDelay(fd)
	if err := connect(fd, ip, addr.Port()); err != nil {
		Close(fd)
		return -1, fmt.Errorf("connect to %s: %w", addr, err)
	}
	return fd, nil
}

// LocalAddr returns the address that a TCP socket is bound to.
func LocalAddr(fd int) (netip.AddrPort, error) {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("ask for own address: %w", err)
	}
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port)), nil // #nosec G115 -- a port
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port)), nil // #nosec G115 -- a port
	}
	return netip.AddrPort{}, fmt.Errorf("ask for own address: %T is not one of TCP", sa)
}

func zoneID(zone string) uint32 {
	if zone == "" {
		return 0
	}
	if ifi, err := net.InterfaceByName(zone); err == nil {
		return uint32(ifi.Index) // #nosec G115 -- interface indices are small and positive
	}
	n, _ := strconv.ParseUint(zone, 10, 32)
	return uint32(n)
}
