//go:build unix && !(linux && (amd64 || arm64))

package sys

import (
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// Close closes fd. Closing a socket never blocks: they are all non-blocking.
func Close(fd int) { _ = unix.Close(fd) }

// ShutdownWrite ends the sending direction of a socket (FIN for TCP).
func ShutdownWrite(fd int) { _ = unix.Shutdown(fd, unix.SHUT_WR) }

func streamSocket(family int) (int, error) {
	// The lock keeps a fork from inheriting the descriptor before it is marked.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	fd, err := unix.Socket(family, unix.SOCK_STREAM, 0)
	if err != nil {
		return -1, err
	}
	unix.CloseOnExec(fd)
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func setNoDelay(fd int) { _ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1) }

// connect starts a connection; EINPROGRESS is not an error.
func connect(fd int, ip netip.Addr, port uint16) error {
	var to unix.Sockaddr = &unix.SockaddrInet6{Port: int(port), Addr: ip.As16(), ZoneId: zoneID(ip.Zone())}
	if ip.Is4() {
		to = &unix.SockaddrInet4{Port: int(port), Addr: ip.As4()}
	}
	err := unix.Connect(fd, to)
	if err != nil && err != unix.EINPROGRESS && err != unix.EINTR {
		return err
	}
	return nil // an interrupted connect goes on by itself
}
