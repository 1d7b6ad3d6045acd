//go:build !unix

package proxy

// peek finds nothing where sockets cannot be asked without waiting. A closed
// connection then shows when the request fails on it.
func (c *backendConn) peek(uintptr) { c.stale = c.wire != nil }

// recv finds nothing, as peek.
func (w *wire) recv(uintptr) { w.err = errNothing }

// send gives up: the connection's end has to do.
func (w *wire) send(uintptr) { w.err = errNothing }

// push leaves it to a Write that may wait.
func (c *backendConn) push(uintptr) {}

// writeThenRead leaves it to writeAndRead.
func (c *backendConn) writeThenRead(uintptr) bool { return true }
