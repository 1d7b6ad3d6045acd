//go:build linux && (amd64 || arm64)

package sys

import (
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// HasPoller tells that this platform has [Poller].
const HasPoller = true

// What an [Event] may report.
const (
	Readable = unix.EPOLLIN
	Writable = unix.EPOLLOUT
	PeerShut = unix.EPOLLRDHUP // the peer will send no more
	Hangup   = unix.EPOLLHUP   // both directions are over
	Fault    = unix.EPOLLERR   // the socket has a pending error
)

// Event is one readiness report: What is a set of the bits above, Token and
// Generation are what [Poller.Add] was given.
type Event struct {
	ev unix.EpollEvent
}

// What returns the readiness bits.
func (e *Event) What() uint32 { return e.ev.Events }

// Token returns the token given to Add.
func (e *Event) Token() uint32 { return uint32(e.ev.Fd) } // #nosec G115 -- a bit pattern, not a number

// Generation returns the generation given to Add.
func (e *Event) Generation() uint32 { return uint32(e.ev.Pad) } // #nosec G115 -- a bit pattern, not a number

// WakeToken is the token under which Wait reports a [Poller.Wake].
const WakeToken = ^uint32(0)

// Poller is an epoll instance, edge-triggered, with a way to wake its waiter.
//
// Its waiter parks in Go's own poller, which watches the epoll descriptor like
// any other, instead of in a system call of its own. So waiting holds neither a
// thread nor a processor of Go's scheduler, and waking takes no hand-over of
// one: measured on two processors, that is a third of the processor time of an
// echo through the relay, and a quarter of that of a new socket.
//
// Its methods may be called from any goroutine, but Wait from one at a time.
type Poller struct {
	epfd int
	file *os.File // owns epfd
	raw  syscall.RawConn

	mu     sync.Mutex // guards what follows
	wakefd int        // -1: closed
	due    time.Time  // the deadline that is set; zero: none
}

// NewPoller opens a poller. Close returns its two descriptors.
func NewPoller() (*Poller, error) {
	epfd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create epoll instance: %w", err)
	}
	p := &Poller{epfd: epfd, wakefd: -1}
	// Go's poller takes descriptors that do not block. A read from this one
	// never happens, so the flag changes nothing else.
	if err := unix.SetNonblock(epfd, true); err != nil {
		_ = unix.Close(epfd)
		return nil, fmt.Errorf("mark epoll descriptor non-blocking: %w", err)
	}
	p.file = os.NewFile(uintptr(epfd), "epoll")
	if p.raw, err = p.file.SyscallConn(); err == nil {
		err = p.file.SetReadDeadline(time.Time{}) // fails if Go's poller did not take it
	}
	if err != nil {
		p.Close()
		return nil, fmt.Errorf("watch epoll descriptor: %w", err)
	}
	if p.wakefd, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		p.Close()
		return nil, fmt.Errorf("create eventfd: %w", err)
	}
	ev := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET, Fd: -1}
	if err := epollCtl(epfd, unix.EPOLL_CTL_ADD, p.wakefd, &ev); err != nil {
		p.Close()
		return nil, fmt.Errorf("watch eventfd: %w", err)
	}
	return p, nil
}

// Add watches fd for every event, edge-triggered, until it is removed or
// closed. token must not be [WakeToken]. The first event comes at once if the
// socket is readable or writable by then.
func (p *Poller) Add(fd int, token, generation uint32) error {
	ev := unix.EpollEvent{
		Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET,
		Fd:     int32(token),      // #nosec G115 -- a bit pattern, not a number
		Pad:    int32(generation), // #nosec G115 -- a bit pattern, not a number
	}
	if err := epollCtl(p.epfd, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
		return fmt.Errorf("watch descriptor %d: %w", fd, err)
	}
	return nil
}

// Remove stops watching fd.
func (p *Poller) Remove(fd int) {
	_ = epollCtl(p.epfd, unix.EPOLL_CTL_DEL, fd, &unix.EpollEvent{})
}

// Poll fills events with what is ready now and never waits.
func (p *Poller) Poll(events []Event) int {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.epfd), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), 0, 0, 0)
	if errno != 0 {
		return 0
	}
	return int(n)
}

// Wait calls look, and again whenever something may have become ready, until
// look returns true or the time of Due is over. look is passed the instance's
// descriptor, as [syscall.RawConn] does.
func (p *Poller) Wait(look func(uintptr) (done bool)) {
	if err := p.raw.Read(look); err != nil {
		p.mu.Lock()
		p.due = time.Time{}
		_ = p.file.SetReadDeadline(p.due) // it has passed
		p.mu.Unlock()
	}
}

// Due has the current or next Wait end after d or somewhat earlier; a negative d
// sets nothing. A time that was set, is still to come and comes before that
// stays: waking early is cheaper than setting it each time.
func (p *Poller) Due(d time.Duration) {
	if d < 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	by := now.Add(d)
	if p.due.After(now) && !p.due.After(by) {
		return
	}
	p.due = by
	_ = p.file.SetReadDeadline(by)
}

// Wake makes the current or next Wait return with an event of [WakeToken].
func (p *Poller) Wake() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.wakefd < 0 {
		return
	}
	one := [8]byte{1}
	_, _ = unix.Write(p.wakefd, one[:])
}

// Woken takes the wake-ups off the counter; the owner calls it on WakeToken.
func (p *Poller) Woken() {
	var b [8]byte
	_, _ = unix.Read(p.wakefd, b[:])
}

// Close returns the poller's descriptors. Nothing but Wake, which then does
// nothing, may be called afterwards.
func (p *Poller) Close() {
	p.mu.Lock()
	if p.wakefd >= 0 {
		_ = unix.Close(p.wakefd)
		p.wakefd = -1
	}
	p.mu.Unlock()
	_ = p.file.Close()
}

// Acked returns how many bytes the peer of a TCP socket has acknowledged in
// all; 0 for other sockets.
func Acked(fd int) uint64 {
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return 0
	}
	return info.Bytes_acked
}

// Deaf tells whether the host at the other end of a TCP socket has stopped to
// acknowledge: what it was sent was sent again and is still not acknowledged,
// or a second probe of its full buffer is out. A host whose process does not
// read answers those.
func Deaf(fd int) bool {
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	return err == nil && (info.Retransmits > 0 || info.Probes > 1)
}

// Unsent returns the bytes that a socket was given to send and its peer has
// not acknowledged.
func Unsent(fd int) int {
	n, err := unix.IoctlGetInt(fd, unix.SIOCOUTQ)
	if err != nil {
		return 0
	}
	return n
}
