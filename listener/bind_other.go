//go:build !linux

package listener

import "syscall"

// inheritKeepAlive does nothing: connections do not inherit the options of
// their listening socket here, and the kernel's keep-alive is not vital.
func inheritKeepAlive(string, string, syscall.RawConn) error { return nil }
