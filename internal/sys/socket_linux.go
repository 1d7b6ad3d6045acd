package sys

import (
	"net"
	"strconv"

	"golang.org/x/sys/unix"
)

func streamSocket(family int) (int, error) {
	return unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
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
