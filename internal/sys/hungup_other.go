//go:build unix && !linux

package sys

import "golang.org/x/sys/unix"

// HungUp calls gone with the index of each stream socket whose peer has sent
// its end or was lost, if nothing is to be read before that. It does not wait.
func HungUp(fds []int, gone func(i int)) {
	var b [1]byte
	for i, fd := range fds {
		n, _, err := unix.Recvfrom(fd, b[:], unix.MSG_PEEK)
		if n == 0 && err == nil || err != nil && err != unix.EAGAIN && err != unix.EINTR {
			gone(i)
		}
	}
}
