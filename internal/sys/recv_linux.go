//go:build linux && (amd64 || arm64) && !race

package sys

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Recv reads from a non-blocking socket. It tells Go's scheduler nothing,
// which is right for a call that cannot wait. n is 0 with no error at the end
// of the stream.
func Recv(fd int, b []byte) (n int, errno Errno) {
	r, _, e := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), 0, 0, 0)
	if e != 0 {
		return 0, e
	}
	return int(r), 0
}

// Waits tells whether a non-blocking socket has nothing to read: neither bytes
// nor an end nor an error.
func Waits(fd int) bool {
	var b [1]byte
	_, _, e := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&b)), 1, unix.MSG_PEEK, 0, 0)
	return e == unix.EAGAIN || e == unix.EINTR
}

// Peek is Recv that leaves what it returns where it is.
func Peek(fd int, b []byte) (n int, errno Errno) {
	r, _, e := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), unix.MSG_PEEK, 0, 0)
	if e != 0 {
		return 0, e
	}
	return int(r), 0
}

// Send writes to a non-blocking socket and returns how much it took. It tells
// Go's scheduler nothing, and raises no SIGPIPE.
func Send(fd int, b []byte) (n int, errno Errno) {
	r, _, e := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), unix.MSG_NOSIGNAL, 0, 0)
	if e != 0 {
		return 0, e
	}
	return int(r), 0
}
