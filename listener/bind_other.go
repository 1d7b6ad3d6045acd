//go:build !linux

package listener

import (
	"net"
	"syscall"
	"time"
)

// canDefer tells whether deferAccept does anything.
const canDefer = false

// deferAccept does nothing: only Linux keeps silent connections to itself.
func deferAccept(net.Listener, time.Duration) error { return nil }

// inheritKeepAlive does nothing: connections do not inherit the options of
// their listening socket here, and the kernel's keep-alive is not vital.
func inheritKeepAlive(string, string, syscall.RawConn) error { return nil }
