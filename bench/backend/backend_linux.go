package backend

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/holdfast-lb/holdfast/bench/internal/epoll"
)

// backlog is the accept queue asked for; the kernel caps it at net.core.somaxconn.
const backlog = 4096

// Backends is a set of listening addresses and the loops that serve them.
type Backends struct {
	addresses []string
	loops     []*loop
	stop      atomic.Bool
	done      sync.WaitGroup

	mu  sync.Mutex
	err error // guarded by mu: the first loop's failure
}

// Start listens on as many free ports of 127.0.0.1 as listeners says and
// serves them with the given number of loops (each an own thread; one is
// plenty on two cores). It returns at once; the caller owns the result and
// closes it once.
func Start(listeners, loops int) (*Backends, error) {
	if listeners < 1 || loops < 1 {
		return nil, fmt.Errorf("start backend: %d listeners and %d loops; both must be at least 1", listeners, loops)
	}
	b := &Backends{addresses: make([]string, listeners)}
	for range loops {
		l, err := b.newLoop()
		if err != nil {
			b.abandon()
			return nil, fmt.Errorf("start backend: %w", err)
		}
		b.loops = append(b.loops, l)
	}
	for _, l := range b.loops {
		b.done.Go(func() { epoll.Thread(func() { b.fail(l.serve(&b.stop)) }) })
	}
	return b, nil
}

// Addresses returns host:port of every listener; callers must not change it.
func (b *Backends) Addresses() []string { return b.addresses }

// Close stops the loops, waits for them (some 50 ms), closes every connection,
// and returns the error that ended a loop early, if one did.
func (b *Backends) Close() error {
	b.stop.Store(true)
	b.done.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// newLoop makes a loop that listens on every address: the first loop finds
// the ports, the others share them (SO_REUSEPORT).
func (b *Backends) newLoop() (*loop, error) {
	l, err := newLoop()
	if err != nil {
		return nil, err
	}
	for i, known := range b.addresses {
		if b.addresses[i], err = l.listen(known); err != nil {
			l.close()
			return nil, err
		}
	}
	return l, nil
}

func (b *Backends) abandon() {
	for _, l := range b.loops {
		l.close()
	}
}

func (b *Backends) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = err
	}
}

// listen opens a listening socket on address, or on a free port if it is
// empty, and returns host:port.
func listen(address string) (fd int, bound string, err error) {
	at := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 0)
	if address != "" {
		if at, err = netip.ParseAddrPort(address); err != nil {
			return -1, "", err
		}
	}
	fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, "", fmt.Errorf("open socket: %w", err)
	}
	// TCP_NODELAY is inherited by every connection: one call less for each.
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1),
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1),
		unix.Bind(fd, &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}),
		unix.Listen(fd, backlog),
	)
	if err == nil {
		var name unix.Sockaddr
		if name, err = unix.Getsockname(fd); err == nil {
			port := name.(*unix.SockaddrInet4).Port
			return fd, netip.AddrPortFrom(at.Addr(), uint16(port)).String(), nil
		}
	}
	epoll.Close(fd)
	return -1, "", fmt.Errorf("listen on %s: %w", at, err)
}
