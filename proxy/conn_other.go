//go:build !unix

package proxy

// peek finds nothing where sockets cannot be asked without waiting. A closed
// connection then shows when the request fails on it.
func (c *backendConn) peek(uintptr) {}

// writeThenRead leaves it to writeAndRead.
func (c *backendConn) writeThenRead(uintptr) bool { return true }
