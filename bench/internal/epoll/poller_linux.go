package epoll

import (
	"errors"
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Event bits, as the kernel reports them in [unix.EpollEvent.Events].
const (
	In     = unix.EPOLLIN
	Out    = unix.EPOLLOUT
	Hangup = unix.EPOLLRDHUP | unix.EPOLLHUP | unix.EPOLLERR
)

// Poller is one epoll instance, owned by one goroutine that runs in [Thread].
// The zero value is not usable; call [New].
type Poller struct {
	fd     int
	events [512]unix.EpollEvent
}

// New opens a poller. The caller owns it and closes it once.
func New() (*Poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create epoll: %w", err)
	}
	return &Poller{fd: fd}, nil
}

// Close closes the poller; the descriptors in it stay open.
func (p *Poller) Close() error { return unix.Close(p.fd) }

// Add watches a connection for reading, writing and hang-up, edge-triggered,
// until the descriptor is closed. Descriptor numbers are used again within one
// batch of events; generation comes back in the event's Pad and tells a stale
// event from a true one.
func (p *Poller) Add(fd int, generation int32) error {
	return p.add(fd, generation, unix.EPOLLIN|unix.EPOLLOUT|unix.EPOLLRDHUP|unix.EPOLLET)
}

// AddListener watches a listening socket, level-triggered: a burst that one
// turn does not take is reported again.
func (p *Poller) AddListener(fd int) error { return p.add(fd, 0, unix.EPOLLIN) }

func (p *Poller) add(fd int, generation int32, events uint32) error {
	ev := unix.EpollEvent{Events: events, Fd: int32(fd), Pad: generation}
	_, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(p.fd), unix.EPOLL_CTL_ADD, uintptr(fd),
		uintptr(unsafe.Pointer(&ev)), 0, 0)
	if errno != 0 {
		return fmt.Errorf("add descriptor %d to epoll: %w", fd, errno)
	}
	return nil
}

// Wait blocks the thread until something is ready or d has passed, and returns
// what is ready: nothing after a timeout or a signal. The slice is valid until
// the next Wait.
func (p *Poller) Wait(d time.Duration) ([]unix.EpollEvent, error) {
	ts := unix.NsecToTimespec(int64(max(d, 0)))
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT2, uintptr(p.fd), uintptr(unsafe.Pointer(&p.events[0])),
		uintptr(len(p.events)), uintptr(unsafe.Pointer(&ts)), 0, 0)
	switch errno {
	case 0:
		return p.events[:n], nil
	case unix.EINTR:
		return nil, nil
	case unix.ENOSYS:
		return nil, errors.New("wait for events: this kernel has no epoll_pwait2; run on Linux 5.11 or later")
	}
	return nil, fmt.Errorf("wait for events: %w", errno)
}
