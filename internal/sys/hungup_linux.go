package sys

import "golang.org/x/sys/unix"

// HungUp calls gone with the index of each stream socket whose peer has sent
// its end or was lost, whatever is still to be read before that. It does not
// wait, and costs one system call for all.
func HungUp(fds []int, gone func(i int)) {
	polled := make([]unix.PollFd, len(fds))
	for i, fd := range fds {
		polled[i] = unix.PollFd{Fd: int32(fd), Events: unix.POLLRDHUP} // #nosec G115 -- descriptors are small
	}
	if n, err := unix.Poll(polled, 0); n <= 0 || err != nil {
		return
	}
	for i := range polled {
		if polled[i].Revents != 0 {
			gone(i)
		}
	}
}
