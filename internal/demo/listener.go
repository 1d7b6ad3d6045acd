package demo

import (
	"net"
	"sync"
)

// listener knows the connections that it accepted, so that they can be reset
// together, and waited for until the server has let go of each.
type listener struct {
	net.Listener
	running sync.WaitGroup // one for each connection until its Close

	mu      sync.Mutex // guards the rest
	open    map[*conn]struct{}
	stopped bool
}

// Accept is called by one goroutine of fasthttp.
func (l *listener) Accept() (net.Conn, error) {
	accepted, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped {
		accepted.Close()
		return nil, net.ErrClosed
	}
	c := &conn{Conn: accepted, listener: l}
	l.open[c] = struct{}{}
	l.running.Add(1)
	return c, nil
}

// stop makes the port refuse and Accept fail.
func (l *listener) stop() {
	l.mu.Lock()
	l.stopped = true
	l.mu.Unlock()
	l.Close()
}

// reset ends all connections as the kernel ends those of a crashed process
// whose receive queue was not empty: the peer sees a reset.
func (l *listener) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.open {
		if tcp, ok := c.Conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // fails only on a connection that is gone already
		}
		c.Conn.Close()
	}
}

// conn tells its listener when the server is done with it.
type conn struct {
	net.Conn
	listener *listener
	once     sync.Once
}

// Close is called by fasthttp after the last handler, hijacked ones included.
func (c *conn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() {
		c.listener.mu.Lock()
		delete(c.listener.open, c)
		c.listener.mu.Unlock()
		c.listener.running.Done()
	})
	return err
}
