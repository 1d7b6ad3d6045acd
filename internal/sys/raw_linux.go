//go:build linux && (amd64 || arm64)

package sys

import (
	"encoding/binary"
	"net"
	"net/netip"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The calls in this file cannot wait, so they tell Go's scheduler nothing:
// what that costs, and a processor taken away in the middle of a call, is a
// tenth of the price of a new socket.

// Close closes fd. Closing a socket never blocks: they are all non-blocking.
func Close(fd int) { _, _, _ = unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0) }

// ShutdownWrite ends the sending direction of a socket (FIN for TCP).
func ShutdownWrite(fd int) {
	_, _, _ = unix.RawSyscall(unix.SYS_SHUTDOWN, uintptr(fd), unix.SHUT_WR, 0)
}

func streamSocket(family int) (int, error) {
	fd, _, errno := unix.RawSyscall(unix.SYS_SOCKET, uintptr(family), unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if errno != 0 {
		return -1, errno
	}
	return int(fd), nil
}

func setNoDelay(fd int) {
	one := int32(1)
	_, _, _ = unix.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.IPPROTO_TCP, unix.TCP_NODELAY,
		uintptr(unsafe.Pointer(&one)), unsafe.Sizeof(one), 0)
}

// connect starts a connection; EINPROGRESS is not an error.
func connect(fd int, ip netip.Addr, port uint16) error {
	var errno unix.Errno
	if ip.Is4() {
		to := unix.RawSockaddrInet4{Family: unix.AF_INET, Port: bigEndian(port), Addr: ip.As4()}
		_, _, errno = unix.RawSyscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&to)), unsafe.Sizeof(to))
	} else {
		to := unix.RawSockaddrInet6{Family: unix.AF_INET6, Port: bigEndian(port), Addr: ip.As16(), Scope_id: zoneID(ip.Zone())}
		_, _, errno = unix.RawSyscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&to)), unsafe.Sizeof(to))
	}
	if errno != 0 && errno != unix.EINPROGRESS && errno != unix.EINTR {
		return errno
	}
	return nil // an interrupted connect goes on by itself (connect(2))
}

// bigEndian returns port as it lies in memory in network order, and the other
// way round.
func bigEndian(port uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], port)
	return binary.NativeEndian.Uint16(b[:])
}

func epollCtl(epfd, op, fd int, ev *unix.EpollEvent) error {
	_, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(epfd), uintptr(op), uintptr(fd), uintptr(unsafe.Pointer(ev)), 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// AcceptTCP accepts a connection from a non-blocking listening TCP socket. The
// caller owns the descriptor, which is non-blocking and close-on-exec. EAGAIN
// tells that there is none.
func AcceptTCP(fd int) (int, *net.TCPAddr, error) {
	for {
		var sa unix.RawSockaddrInet6 // has room for either family
		size := uint32(unsafe.Sizeof(sa))
		r, _, errno := unix.RawSyscall6(unix.SYS_ACCEPT4, uintptr(fd), uintptr(unsafe.Pointer(&sa)), uintptr(unsafe.Pointer(&size)),
			unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
		switch errno {
		case 0:
			return int(r), tcpAddr(&sa), nil
		case unix.EINTR, unix.ECONNABORTED: // the client has left the queue
		default:
			return -1, nil, errno
		}
	}
}

func tcpAddr(sa *unix.RawSockaddrInet6) *net.TCPAddr {
	var ip netip.Addr
	if sa.Family == unix.AF_INET {
		ip = netip.AddrFrom4((*unix.RawSockaddrInet4)(unsafe.Pointer(sa)).Addr)
	} else {
		ip = netip.AddrFrom16(sa.Addr)
		if sa.Scope_id != 0 {
			ip = ip.WithZone(strconv.FormatUint(uint64(sa.Scope_id), 10))
		}
	}
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(ip, bigEndian(sa.Port)))
}
