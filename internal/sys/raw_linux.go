//go:build linux && (amd64 || arm64)

package sys

import (
	"encoding/binary"
	"net/netip"
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

// bigEndian returns port as it lies in memory in network order.
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
