package testkit

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
)

// The ports of FreeAddr lie below those that systems give to outgoing
// connections, so that none of the thousands that tests make takes one between
// the look and its use.
const firstPort, ports = 10000, 10000

var nextPort atomic.Uint32

// FreeAddr returns a 127.0.0.1 address on which nothing listens: for servers
// that must be told their port, and for connections that must be refused. Nobody
// else gets it from FreeAddr before the test ends, in other processes either: the
// same port of UDP at another address of the loopback, where there is one, says
// that it is taken.
func FreeAddr(t testing.TB) string {
	t.Helper()
	nextPort.CompareAndSwap(0, uint32(os.Getpid())*101)
	for range ports {
		port := firstPort + nextPort.Add(1)%ports
		mark, err := net.ListenPacket("udp", fmt.Sprintf("127.77.0.1:%d", port))
		if errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		if err == nil {
			t.Cleanup(func() { _ = mark.Close() })
		}
		if isFree(int(port)) {
			return fmt.Sprintf("127.0.0.1:%d", port)
		}
	}
	t.Fatalf("find free port: all of %d to %d are taken", firstPort, firstPort+ports-1)
	return ""
}

// isFree tells whether nobody listens on a port of 127.0.0.1. It does not listen
// to find out: what is forked meanwhile, by another test, would listen on for the
// moment until it is another program, and who is to have the port be refused it.
func isFree(port int) bool {
	syscall.ForkLock.RLock()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return false
	}
	defer func() { _ = syscall.Close(fd) }()
	_ = syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)
	return syscall.Bind(fd, &syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}) == nil
}
