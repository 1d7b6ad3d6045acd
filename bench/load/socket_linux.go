package load

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/holdfast-lb/holdfast/bench/internal/epoll"
	"github.com/holdfast-lb/holdfast/bench/internal/wire"
)

// state is how far a socket has come.
type state uint8

const (
	ended      state = iota // no descriptor
	connecting              // connecting, or waiting for the 101
	greeting                // the backend's number is expected
	open                    // echoes are expected
	closing                 // the answer to Close is expected
	closed                  // the server's end of the stream is expected
)

// socket is one WebSocket client. Its worker owns it.
type socket struct {
	index      int // among all sockets of the run: target and source follow from it
	fd         int
	generation int32 // tells events of this descriptor's use from older ones
	state      state
	answer     []byte // a handshake answer, or a frame of drain's, that a read cut short
	got        int    // bytes of the expected frame that have come
	unsent     []byte // rest of what is being written; part of a shared slice
	owed       int    // whole messages to write after unsent
	begun      int64  // when the operation under way began, in the worker's time
	echoes     int    // paced: whole echoes so far; drain: number of the oldest message under way
	tries      int    // storm, drain: attempts to come back
	home       int    // drain: number of its backend
	owing      int    // drain: messages under way
	code       uint16 // drain: status of the Close that came; 0: none
}

// dial begins to connect s and to send its handshake. On loopback the
// connection is usually up when connect returns, so the handshake is tried at
// once instead of after another wait.
func (w *worker) dial(s *socket) error {
	target := w.plan.Targets[s.index%len(w.plan.Targets)]
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open socket (raise `ulimit -n` if it is out of descriptors): %w", err)
	}
	if err := w.connect(fd, target); err != nil {
		epoll.Close(fd)
		return err
	}
	w.generation++
	*s = socket{index: s.index, fd: fd, generation: w.generation, state: connecting, unsent: w.hello, begun: s.begun, tries: s.tries}
	for fd >= len(w.byFD) {
		w.byFD = append(w.byFD, nil)
	}
	w.byFD[fd] = s
	if err := w.poller.Add(fd, s.generation); err != nil {
		w.release(s)
		return err
	}
	w.flush(s)
	return nil
}

// connect begins to connect fd, from the next source address if the target is
// on loopback.
func (w *worker) connect(fd int, target netip.AddrPort) error {
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return fmt.Errorf("set TCP_NODELAY: %w", err)
	}
	if w.plan.Sources > 0 && target.Addr().IsLoopback() {
		// Without this option bind would take a port that nobody else may
		// use; with it, connect picks one that is free towards the target.
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
			return fmt.Errorf("set IP_BIND_ADDRESS_NO_PORT: %w", err)
		}
		w.source = (w.source + 1) % w.plan.Sources
		from := unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, byte(2 + w.source)}}
		if err := unix.Bind(fd, &from); err != nil {
			return fmt.Errorf("bind to 127.0.0.%d: %w", 2+w.source, err)
		}
	}
	err := unix.Connect(fd, &unix.SockaddrInet4{Port: int(target.Port()), Addr: target.Addr().As4()})
	if err != nil && err != unix.EINPROGRESS {
		return fmt.Errorf("connect to %s: %w", target, err)
	}
	return nil
}

// release closes the descriptor of s, if it has one.
func (w *worker) release(s *socket) {
	if s.state == ended {
		return
	}
	s.state = ended
	w.byFD[s.fd] = nil
	epoll.Close(s.fd)
}

// end closes s and tells the driver why; nil is an orderly end.
func (w *worker) end(s *socket, why error) {
	if s.state != ended {
		w.release(s)
		w.driver.ended(s, why)
	}
}

// send writes one message to s, now or after what is still unsent.
func (w *worker) send(s *socket) {
	if len(s.unsent) > 0 {
		s.owed++
		return
	}
	s.unsent = w.message
	w.flush(s)
}

// flush writes until all is written or the kernel takes no more.
func (w *worker) flush(s *socket) {
	for len(s.unsent) > 0 {
		n, errno := epoll.Write(s.fd, s.unsent)
		if errno == unix.EAGAIN {
			return
		}
		if errno != 0 {
			w.end(s, fmt.Errorf("write to socket %d: %w", s.index, errno))
			return
		}
		if s.unsent = s.unsent[n:]; len(s.unsent) == 0 && s.owed > 0 {
			s.owed--
			s.unsent = w.message
		}
	}
}

// read takes what has come. A read that does not fill the buffer has emptied
// the socket; another is only made after a hang-up, to see the end.
func (w *worker) read(s *socket, hungUp bool) {
	for {
		n, errno := epoll.Read(s.fd, w.buf)
		switch {
		case errno == unix.EAGAIN:
			return
		case errno != 0:
			w.end(s, fmt.Errorf("read from socket %d: %w", s.index, errno))
			return
		case n == 0 && s.state == closed:
			w.end(s, nil)
			return
		case n == 0:
			w.end(s, fmt.Errorf("read from socket %d: %w", s.index, errGone))
			return
		}
		generation := s.generation
		w.take(s, w.buf[:n])
		// A driver may have closed the socket, and dialled it anew.
		if s.generation != generation || s.state == ended || (n < len(w.buf) && !hungUp) {
			return
		}
	}
}

// take handles received bytes.
func (w *worker) take(s *socket, b []byte) {
	if s.state == connecting {
		if len(s.answer) > 0 {
			s.answer = append(s.answer, b...)
			b = s.answer
		}
		size, err := wire.CheckAnswer(b)
		switch {
		case err != nil:
			w.end(s, err)
			return
		case size == 0:
			s.answer = append([]byte(nil), b...)
			return
		case size < len(b) && !w.greeted:
			w.end(s, fmt.Errorf("read handshake answer: %d bytes follow it, though nothing was sent", len(b)-size))
			return
		}
		s.answer = nil
		if w.greeted {
			s.state = greeting
			w.match(s, b[size:])
			return
		}
		s.state = open
		w.driver.opened(s)
		return
	}
	w.match(s, b)
}
