//go:build linux && (amd64 || arm64)

package sys

import (
	"fmt"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Pipe takes bytes from one socket to another without a copy: what lies in it
// are the pages that the first one received. Its methods do not wait, and it is
// not safe for concurrent use. Programs that use it ignore SIGPIPE, which Go's
// runtime does.
type Pipe struct {
	out, in int
	left    int // bytes in it
}

// NewPipe opens a pipe that holds size bytes if they fill their pages, or less
// if the system does not allow that. Close returns its two descriptors.
func NewPipe(size int) (*Pipe, error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return nil, fmt.Errorf("create pipe: %w", err)
	}
	// A user who may have no more pages in pipes keeps the size that this one
	// has, 64 KiB or a page: more calls, no error (pipe(7)).
	_, _ = unix.FcntlInt(uintptr(fds[1]), unix.F_SETPIPE_SZ, size)
	return &Pipe{out: fds[0], in: fds[1]}, nil
}

// Close returns the pipe's descriptors and drops what is in it.
func (p *Pipe) Close() {
	Close(p.out)
	Close(p.in)
}

// Len returns how many bytes are in the pipe.
func (p *Pipe) Len() int { return p.left }

// Fill moves up to n bytes from a non-blocking socket into the pipe and returns
// how many, 0 with no error at the end of the stream. EAGAIN tells that the
// socket has none, or that the pipe is full.
func (p *Pipe) Fill(fd, n int) (int, Errno) {
	n, errno := splice(fd, p.in, n)
	p.left += n
	return n, errno
}

// Drain moves what is in the pipe to a non-blocking socket and returns how much
// that took.
func (p *Pipe) Drain(fd int) (int, Errno) {
	n, errno := splice(p.out, fd, p.left)
	p.left -= n
	return n, errno
}

// Empty takes what is in the pipe out and appends it to b.
func (p *Pipe) Empty(b []byte) []byte {
	b = slices.Grow(b, p.left)
	for p.left > 0 {
		at := b[len(b) : len(b)+p.left]
		n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(p.out), uintptr(unsafe.Pointer(unsafe.SliceData(at))), uintptr(len(at)))
		switch errno {
		case 0:
			b = b[:len(b)+int(n)]
			p.left -= int(n)
		case unix.EINTR:
		default:
			p.left = 0 // nothing is in it
		}
	}
	return b
}

func splice(from, to, n int) (int, Errno) {
	r, _, errno := unix.RawSyscall6(unix.SYS_SPLICE, uintptr(from), 0, uintptr(to), 0, uintptr(n), unix.SPLICE_F_NONBLOCK)
	if errno != 0 {
		return 0, errno
	}
	return int(r), 0
}
