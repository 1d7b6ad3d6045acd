//go:build unix && !linux

package sys

import (
	"net"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

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

func zoneID(zone string) uint32 {
	if zone == "" {
		return 0
	}
	if ifi, err := net.InterfaceByName(zone); err == nil {
		return uint32(ifi.Index) // #nosec G115 -- interface indices are small and positive
	}
	n, _ := strconv.ParseUint(zone, 10, 32)
	return uint32(n)
}
