//go:build unix && (race || !(linux && (amd64 || arm64)))

package sys

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// The race detector takes what was done before a write to have happened before
// the read of it, for calls of package syscall only: its builds use them too.

// Recv reads from a non-blocking socket. n is 0 with no error at the end of
// the stream.
func Recv(fd int, b []byte) (n int, errno Errno) {
	n, err := syscall.Read(fd, b)
	return max(n, 0), errnoOf(err)
}

// Waits tells whether a non-blocking socket has nothing to read: neither bytes
// nor an end nor an error.
func Waits(fd int) bool {
	var b [1]byte
	_, _, err := unix.Recvfrom(fd, b[:], unix.MSG_PEEK)
	return err == unix.EAGAIN || err == unix.EINTR
}

// Peek is Recv that leaves what it returns where it is.
func Peek(fd int, b []byte) (n int, errno Errno) {
	n, _, err := syscall.Recvfrom(fd, b, syscall.MSG_PEEK)
	return max(n, 0), errnoOf(err)
}

// Send writes to a non-blocking socket and returns how much it took.
func Send(fd int, b []byte) (n int, errno Errno) {
	n, err := syscall.Write(fd, b)
	return max(n, 0), errnoOf(err)
}

func errnoOf(err error) Errno {
	if err == nil {
		return 0
	}
	if e, ok := err.(syscall.Errno); ok {
		return e
	}
	return unix.EIO
}
