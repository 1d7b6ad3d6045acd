package backend

import (
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-lb/holdfast/bench/internal/epoll"
)

const (
	readBytes = 256 << 10             // the loop's one buffer
	stopCheck = 50 * time.Millisecond // how long Close may wait for a loop
)

// loop owns listening sockets and the connections accepted from them. One
// goroutine uses it.
type loop struct {
	poller    *epoll.Poller
	listeners []int
	conns     []*conn // by descriptor; kept after a close and used again
	buf       []byte  // Headroom and readBytes
	out       []byte  // answers to the requests of one read
}

// conn is one client connection.
type conn struct {
	fd         int
	generation int32 // of the descriptor's use; even: closed
	upgraded   bool
	finish     bool   // close when unsent is empty
	in         []byte // a request header that a read cut short
	unsent     []byte // what the peer did not take; while not empty nothing is read
	echo       Echo
}

func newLoop() (*loop, error) {
	p, err := epoll.New()
	if err != nil {
		return nil, err
	}
	return &loop{poller: p, buf: make([]byte, Headroom+readBytes)}, nil
}

// listen adds a listening socket and returns its host:port.
func (l *loop) listen(address string) (string, error) {
	fd, bound, err := listen(address)
	if err != nil {
		return "", err
	}
	l.listeners = append(l.listeners, fd)
	return bound, l.poller.AddListener(fd)
}

// close closes all descriptors of the loop.
func (l *loop) close() {
	for _, c := range l.conns {
		if c != nil {
			l.drop(c)
		}
	}
	for _, fd := range l.listeners {
		epoll.Close(fd)
	}
	_ = l.poller.Close()
}

// serve runs until stop is set or accepting becomes impossible, then closes
// the loop.
func (l *loop) serve(stop *atomic.Bool) error {
	defer l.close()
	for !stop.Load() {
		events, err := l.poller.Wait(stopCheck)
		if err != nil {
			return err
		}
		for i := range events {
			ev := &events[i]
			if slices.Contains(l.listeners, int(ev.Fd)) {
				if err := l.accept(int(ev.Fd)); err != nil {
					return err
				}
				continue
			}
			c := l.conns[ev.Fd]
			if c.generation != ev.Pad {
				continue // closed, perhaps opened anew, within this batch
			}
			l.ready(c, ev.Events)
		}
	}
	return nil
}

// accept takes all waiting connections.
func (l *loop) accept(listener int) error {
	for {
		fd, errno := epoll.Accept(listener)
		switch errno {
		case 0:
		case unix.EAGAIN:
			return nil
		case unix.ECONNABORTED, unix.EINTR:
			continue
		default:
			return fmt.Errorf("accept connection (raise `ulimit -n` if it is out of descriptors): %w", errno)
		}
		for fd >= len(l.conns) {
			l.conns = append(l.conns, nil)
		}
		c := l.conns[fd]
		if c == nil {
			c = &conn{fd: fd}
			l.conns[fd] = c
		}
		c.generation++
		if err := l.poller.Add(fd, c.generation); err != nil {
			return err
		}
	}
}

// drop closes the connection, if it is open, and empties it for its next use.
func (l *loop) drop(c *conn) {
	if c.generation&1 == 0 {
		return
	}
	epoll.Close(c.fd)
	*c = conn{fd: c.fd, generation: c.generation + 1, in: c.in[:0], unsent: c.unsent[:0]}
}

// ready handles one event.
func (l *loop) ready(c *conn, events uint32) {
	if len(c.unsent) > 0 {
		if events&(epoll.Out|epoll.Hangup) == 0 {
			return
		}
		rest := c.unsent
		c.unsent = c.unsent[:0]
		if !l.send(c, rest) || len(c.unsent) > 0 {
			return
		}
		// Edge-triggered: what came meanwhile is not reported again.
		events |= epoll.In
	}
	if events&(epoll.In|epoll.Hangup) != 0 {
		l.read(c, events&epoll.Hangup != 0)
	}
}

// read takes what has arrived and answers it. A read that does not fill the
// buffer has emptied the socket, so another is only made when the peer has
// hung up, to see the end.
func (l *loop) read(c *conn, hungUp bool) {
	for {
		n, errno := epoll.Read(c.fd, l.buf[Headroom:])
		if errno == unix.EAGAIN {
			return
		}
		if errno != 0 || n == 0 {
			l.drop(c)
			return
		}
		answer, err := l.answer(c, n)
		if err != nil {
			l.drop(c)
			return
		}
		if len(answer) > 0 && !l.send(c, answer) {
			return
		}
		if len(c.unsent) > 0 || (n < readBytes && !hungUp) {
			return
		}
	}
}

// answer returns the bytes that answer the n bytes in the buffer. They are
// valid until the next read.
func (l *loop) answer(c *conn, n int) ([]byte, error) {
	if c.upgraded {
		out, err := c.echo.Feed(l.buf, n)
		c.finish = c.echo.Closed()
		return out, err
	}
	in := l.buf[Headroom : Headroom+n]
	if len(c.in) > 0 {
		c.in = append(c.in, in...)
		in = c.in
	}
	l.out = l.out[:0]
	for len(in) > 0 && !c.upgraded && !c.finish {
		r, size, err := parseRequest(in)
		if err != nil {
			return nil, err
		}
		if size == 0 {
			break
		}
		l.out = appendAnswer(l.out, r)
		c.upgraded, c.finish = r.key != nil, r.close && r.key == nil
		in = in[size:]
	}
	if c.upgraded {
		// No client of the bench sends a frame before it has the 101, and a
		// balancer has nothing to forward by then.
		if len(in) > 0 {
			return nil, fmt.Errorf("read handshake: %d bytes follow it before the answer", len(in))
		}
		c.in = c.in[:0]
		return l.out, nil
	}
	c.in = append(c.in[:0], in...)
	return l.out, nil
}

// send writes b, keeps a copy of what the kernel does not take, and closes a
// finished connection. It returns false when the connection is gone.
func (l *loop) send(c *conn, b []byte) bool {
	n, errno := epoll.Write(c.fd, b)
	if errno != 0 && errno != unix.EAGAIN {
		l.drop(c)
		return false
	}
	if n < len(b) {
		c.unsent = append(c.unsent, b[n:]...)
		return true
	}
	if c.finish {
		l.drop(c)
		return false
	}
	return true
}
