//go:build !unix

package listener

import (
	"errors"
	"net"
)

// peek returns errors.ErrUnsupported: only on Unix systems can a connection be
// looked at.
func peek(net.Conn, []byte) (int, error) { return 0, errors.ErrUnsupported }
