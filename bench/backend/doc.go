// Package backend is the server that stands behind every balancer in a
// measurement: it answers any GET with a small 200 and echoes WebSocket frames,
// at the lowest price that Go allows, so that the balancer is what is seen.
//
// [Start] opens several listening addresses, which balancers see as several
// backends, served by a few epoll loops in this process. A message is echoed
// while it arrives: a loop has one buffer, a connection has none unless its
// peer reads slower than it writes, and then nothing more is read from it.
//
// A few paths have a meaning of their own: /bytes/N has a body of N bytes, a
// POST's body is read and forgotten, a message on a WebSocket at /push goes to
// all of those that the same loop serves, on /hello the backend says its number
// first, and /die closes all other connections to the same address.
//
// The parts without a socket are [Echo], which turns masked frames into their
// echo in place, and the request scanner. Linux only; elsewhere [Start]
// returns [ErrUnsupported].
package backend

import "errors"

// ErrUnsupported is returned by Start on systems without epoll.
var ErrUnsupported = errors.New("start backend: the bench backend is built on epoll; run it on Linux")
