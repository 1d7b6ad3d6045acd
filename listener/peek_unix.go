//go:build unix

package listener

import (
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"github.com/holdfast-lb/holdfast/internal/sys"
)

// peek is nc.Read that leaves what it returns to be read again.
func peek(nc net.Conn, p []byte) (int, error) {
	if l, ok := nc.(interface{ peek([]byte) (int, error) }); ok {
		return l.peek(p)
	}
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return 0, fmt.Errorf("look at connection: %T has no descriptor", nc)
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return 0, err
	}
	var (
		n     int
		errno sys.Errno
	)
	err = raw.Read(func(fd uintptr) bool {
		n, errno = sys.Peek(int(fd), p)
		return errno != sys.EAGAIN
	})
	switch {
	case err != nil:
		return 0, err
	case errno != 0:
		return 0, os.NewSyscallError("read", errno)
	case n == 0 && len(p) > 0:
		return 0, io.EOF
	}
	return n, nil
}
