package backend

import (
	"errors"
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
	group     []*conn // those on pathPush
	zeros     []byte  // what bodies are made of
}

// conn is one client connection.
type conn struct {
	fd         int
	generation int32 // of the descriptor's use; even: closed
	listener   int   // the descriptor that it was accepted from
	upgraded   bool
	pushed     bool   // one of the loop's group
	finish     bool   // close when unsent is empty
	skip       int64  // bytes of a request's body still to come
	owes       int64  // bytes of an answer's body still to be made
	in         []byte // a request header that a read cut short
	unsent     []byte // what the peer did not take; while not empty nothing is read
	echo       Echo
}

func newLoop() (*loop, error) {
	p, err := epoll.New()
	if err != nil {
		return nil, err
	}
	return &loop{poller: p, buf: make([]byte, Headroom+readBytes), zeros: make([]byte, readBytes)}, nil
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
		c.listener = listener
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
	if c.pushed {
		l.group = slices.DeleteFunc(l.group, func(other *conn) bool { return other == c })
	}
	*c = conn{fd: c.fd, generation: c.generation + 1, in: c.in[:0], unsent: c.unsent[:0]}
}

// die closes every connection to the address of c but c itself, as the end of
// a process would.
func (l *loop) die(c *conn) {
	for _, other := range l.conns {
		if other != nil && other != c && other.listener == c.listener {
			l.drop(other)
		}
	}
}

// number is which of the loop's addresses c was accepted on, from 0.
func (l *loop) number(c *conn) int { return slices.Index(l.listeners, c.listener) }

// ready handles one event.
func (l *loop) ready(c *conn, events uint32) {
	if len(c.unsent) > 0 || c.owes > 0 {
		if events&(epoll.Out|epoll.Hangup) == 0 {
			return
		}
		rest := c.unsent
		c.unsent = c.unsent[:0]
		if len(rest) > 0 && !l.send(c, rest) || len(c.unsent) > 0 || !l.body(c) || c.owes > 0 {
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
		pushed := c.pushed // before the handshake's own answer
		answer, err := l.answer(c, n)
		if err != nil {
			l.drop(c)
			return
		}
		if pushed && len(answer) > 0 && !c.finish {
			l.broadcast(answer)
			if !c.pushed {
				return // it was broken, and is gone
			}
		} else if len(answer) > 0 && !l.send(c, answer) {
			return
		}
		if !l.body(c) {
			return
		}
		if c.owes > 0 || len(c.unsent) > 0 || (n < readBytes && !hungUp) {
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
		if c.skip > 0 {
			n := min(c.skip, int64(len(in)))
			c.skip -= n
			in = in[n:]
			continue
		}
		if c.owes > 0 {
			return nil, errors.New("read request: another one before the answer to " + pathBytes)
		}
		r, size, err := parseRequest(in)
		if err != nil {
			return nil, err
		}
		if size == 0 {
			break
		}
		l.out = appendAnswer(l.out, r)
		c.upgraded, c.finish = r.key != nil, r.close && r.key == nil
		c.skip = r.body
		if !r.head && r.key == nil {
			c.owes = r.sends()
		}
		in = in[size:]
		l.special(c, r)
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

// special does what a path asks for beside its answer.
func (l *loop) special(c *conn, r request) {
	switch {
	case string(r.path) == pathDie && !c.upgraded:
		l.die(c)
	case string(r.path) == pathPush && c.upgraded:
		c.pushed = true
		l.group = append(l.group, c)
	case string(r.path) == pathHello && c.upgraded:
		l.out = append(l.out, finBit|1, 1, byte('0'+l.number(c)%10))
	}
}

// body sends what the kernel takes of an answer's body. It returns false when
// the connection is gone.
func (l *loop) body(c *conn) bool {
	for c.owes > 0 && len(c.unsent) == 0 {
		n, errno := epoll.Write(c.fd, l.zeros[:min(c.owes, int64(len(l.zeros)))])
		if errno == unix.EAGAIN {
			return true
		}
		if errno != 0 {
			l.drop(c)
			return false
		}
		c.owes -= int64(n)
	}
	if c.owes == 0 && c.finish && len(c.unsent) == 0 {
		l.drop(c)
		return false
	}
	return true
}

// broadcast sends b to the whole group, its sender included. A message of
// several reads must not meet another one: there is one sender at a time.
func (l *loop) broadcast(b []byte) {
	// Backwards, since those that are gone leave the group.
	for i := len(l.group) - 1; i >= 0; i-- {
		c := l.group[i]
		if len(c.unsent) > 0 {
			c.unsent = append(c.unsent, b...)
			continue
		}
		l.send(c, b)
	}
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
	if c.finish && c.owes == 0 {
		l.drop(c)
		return false
	}
	return true
}
