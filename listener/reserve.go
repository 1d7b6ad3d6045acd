package listener

import (
	"math"
	"net"
)

const (
	// An eighth of the descriptors that the process may have is no client's,
	// within these bounds: open sockets need some for their backends, and the
	// admin address, log files and reloads must work when clients have taken
	// all that they can.
	leastReserve = 64
	mostReserve  = 1024
)

// reserveFrom returns the first descriptor of the reserve for a process that
// may have limit of them; 0: no limit is known.
func reserveFrom(limit int) int {
	if limit <= 0 {
		return math.MaxInt
	}
	return max(limit-min(max(limit/8, leastReserve), mostReserve), limit/2)
}

// crowded tells whether a connection that was just accepted has a descriptor of
// the reserve. The kernel gives the lowest that is free, so by then all below
// are taken: the number needs no counting. Connections that do not tell theirs
// are let in.
func (sk *socket) crowded(nc net.Conn) bool {
	c, ok := nc.(interface{ descriptor() int })
	return ok && c.descriptor() >= sk.reserve
}
