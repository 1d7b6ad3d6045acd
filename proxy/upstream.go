package proxy

import (
	"crypto/tls"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-lb/holdfast/internal/trust"
)

// idleTime is how long a connection to a backend is kept without a request.
// Backends close theirs earlier or later as they please; a connection is
// looked at before a request is trusted to it.
const idleTime = 60 * time.Second

// upstreamKey is what an upstream is known by. A backend keeps its connections
// when its weight or its pool's name changes, but not when other certificates
// are believed or shown, or when it is told otherwise whose a connection is.
type upstreamKey struct {
	scheme, address string
	trust           trust.ID
	sendProxy       string // as in the configuration
}

// authority is what Host says of the backend: without the port if that is the
// scheme's own (RFC 9110, section 4.2.3).
func (k upstreamKey) authority() []byte {
	port := ":80"
	if k.scheme == "https" {
		port = ":443"
	}
	return []byte(strings.TrimSuffix(k.address, port))
}

// upstream keeps the idle connections to one backend. The one used last is
// taken first, so that those in excess grow old and are closed.
//
// It takes the place of fasthttp's HostClient, which hides what a retry must
// know (was the connection reused, was anything sent or answered), parses the
// request's URI again and keeps a goroutine asleep for each backend.
type upstream struct {
	network, address string
	authority        []byte      // for Host, where the client's is not kept
	place            *place      // for the relay
	tls              *tls.Config // nil: none
	sendProxy        string      // version of the PROXY header; empty: none

	mu     sync.Mutex // guards what follows; held for a few instructions
	idle   []*backendConn
	sweep  *time.Timer // runs while idle is not empty
	closed bool
}

// newUpstream returns one without connections. t is nil for backends without
// TLS.
func newUpstream(k upstreamKey, t *trust.Client) *upstream {
	u := &upstream{network: "tcp", address: k.address, authority: k.authority(), place: newPlace(k.address), sendProxy: k.sendProxy}
	if t != nil {
		u.tls = t.Config(k.address)
	}
	return u
}

// acquire returns a connection that the caller alone may use until release or
// Close: an idle one, or a new one, for which it waits at most connect (0: as
// long as the system does). Each idle one is looked at first, though it costs a
// system call: bytes that nobody asked for would be the next client's answer.
// What begins with a preface, the PROXY header of one client, is always new.
func (u *upstream) acquire(connect time.Duration, preface []byte) (*backendConn, error) {
	for {
		c := (*backendConn)(nil)
		if len(preface) == 0 {
			c = u.pop()
		}
		if c == nil {
			return u.dial(connect, preface)
		}
		if c.alive() {
			return c, nil
		}
		c.Close()
	}
}

func (u *upstream) pop() *backendConn {
	u.mu.Lock()
	defer u.mu.Unlock()
	n := len(u.idle) - 1
	if n < 0 {
		return nil
	}
	c := u.idle[n]
	u.idle[n] = nil
	u.idle = u.idle[:n]
	return c
}

// dial connects, and agrees on TLS if the backend is to have that, for which
// it waits connect at most in all. Go sets TCP_NODELAY by itself; keep-alive probes are left out
// because no connection is idle for longer than idleTime and every wait for an
// answer has a limit of its own.
func (u *upstream) dial(connect time.Duration, preface []byte) (*backendConn, error) {
	d := net.Dialer{KeepAlive: -1}
	if connect > 0 {
		d.Deadline = time.Now().Add(connect)
	}
	c, err := d.Dial(u.network, u.address)
	if err == nil && len(preface) > 0 {
		_, err = c.Write(preface) // an empty send buffer takes it
	}
	switch {
	case err != nil && c != nil:
		_ = c.Close()
		fallthrough
	case err != nil:
		return nil, err
	case u.tls == nil:
		return newBackendConn(c), nil
	}
	bc, err := u.handshake(c.(*net.TCPConn), d.Deadline)
	if err != nil {
		_ = c.Close()
	}
	return bc, err
}

// release gives back a connection whose last answer was read to its end. One
// with a PROXY header is of no use to other clients, so it is closed.
func (u *upstream) release(c *backendConn, now time.Time) {
	c.idleSince, c.used = now, true
	u.mu.Lock()
	if u.closed || u.sendProxy != "" {
		u.mu.Unlock()
		c.Close()
		return
	}
	u.idle = append(u.idle, c)
	if u.sweep == nil {
		u.sweep = time.AfterFunc(idleTime, u.closeOld)
	}
	u.mu.Unlock()
}

// closeOld closes the connections that were idle for too long.
func (u *upstream) closeOld() {
	u.mu.Lock()
	now := time.Now()
	n := 0
	for n < len(u.idle) && now.Sub(u.idle[n].idleSince) >= idleTime {
		n++
	}
	old := append([]*backendConn(nil), u.idle[:n]...)
	rest := copy(u.idle, u.idle[n:])
	clear(u.idle[rest:])
	u.idle = u.idle[:rest]
	switch {
	case u.closed || rest == 0:
		u.sweep = nil
	default:
		u.sweep.Reset(idleTime - now.Sub(u.idle[0].idleSince))
	}
	u.mu.Unlock()
	for _, c := range old {
		c.Close()
	}
}

// close closes the idle connections now, and those in use when they are
// released.
func (u *upstream) close() {
	u.mu.Lock()
	idle := u.idle
	u.idle, u.closed = nil, true
	if u.sweep != nil {
		u.sweep.Stop()
		u.sweep = nil
	}
	u.mu.Unlock()
	for _, c := range idle {
		c.Close()
	}
}
