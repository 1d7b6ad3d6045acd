package epoll

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Read receives into b, which must not be empty, from a non-blocking socket.
// 0 bytes without an error is the end of the stream. recvfrom, not read: it
// skips the kernel's file layer.
func Read(fd int, b []byte) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))),
		uintptr(len(b)), 0, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// Write sends b, which must not be empty, to a non-blocking socket and returns
// how much of it the kernel took. A broken connection is EPIPE, never a signal.
func Write(fd int, b []byte) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))),
		uintptr(len(b)), unix.MSG_NOSIGNAL, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// Accept takes one connection, non-blocking and close-on-exec, without asking
// for the peer's address. The caller owns the descriptor.
func Accept(listener int) (int, unix.Errno) {
	fd, _, errno := unix.RawSyscall6(unix.SYS_ACCEPT4, uintptr(listener), 0, 0,
		unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
	if errno != 0 {
		return -1, errno
	}
	return int(fd), 0
}

// Close closes a descriptor. Its error says nothing that a benchmark can use:
// the descriptor is gone either way.
func Close(fd int) { _, _, _ = unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0) }
