package load

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-lb/holdfast/bench/internal/wire"
)

// victim is the number of the backend that a drain is to empty.
const victim = 0

// errGone is the end of a stream without a Close frame.
var errGone = errors.New("the other side ended the stream")

// drain: as paced, until the balancer is told to empty one backend. A socket
// that ends comes back at once, as a game's client would.
type drain struct {
	timetable
	left  int // sockets on the victim
	fatal error
	found Drain
}

func (d *drain) measure(ctx context.Context) error {
	w := d.w
	for _, s := range w.sockets {
		if s.state == open && s.home == victim {
			d.left++
		}
	}
	d.found.Sockets = d.left
	d.begin()
	if err := d.run(ctx, d.send, func() bool { return d.fatal != nil }); err != nil {
		return err
	}
	if d.found.Left = d.left; d.left > 0 {
		d.found.Emptied = 0
	}
	if d.fatal != nil {
		return d.fatal
	}
	return w.drain(ctx)
}

// send sends the socket's n-th message. Those under way on a socket have
// numbers in a row: the first one and how many are enough to know.
func (d *drain) send(s *socket, n int) {
	if s.state != open {
		d.found.Missed++
		return
	}
	if s.owing == 0 {
		s.echoes = n
	}
	s.owing++
	d.w.busy++
	d.w.send(s)
}

func (d *drain) echoed(s *socket) {
	w := d.w
	due := d.dueOf(s, s.echoes)
	s.echoes++
	s.owing--
	w.busy--
	if s.home != victim && due >= w.from && due < w.until {
		w.latency.Record(time.Duration(w.now() - due))
	}
}

// opened: a socket is back.
func (d *drain) opened(s *socket) {
	d.w.busy--
	s.tries = 0
	if s.home == victim {
		d.left++
	}
}

// ended: the first end is what the drain is about, later ones are refusals.
func (d *drain) ended(s *socket, why error) {
	w := d.w
	if why != nil && !errors.Is(why, errGone) && !errors.As(why, new(unix.Errno)) {
		w.fail(why)
	}
	w.busy -= s.owing
	d.found.Unanswered += s.owing
	s.owing = 0
	if w.draining {
		if s.tries > 0 {
			w.busy--
			w.fail(fmt.Errorf("come back: %w", why))
		}
		return
	}
	if s.tries == 0 {
		d.count(s)
		w.busy++
	}
	if s.tries++; s.tries > attempts {
		w.busy--
		w.fail(fmt.Errorf("come back: %d attempts, the last: %w", attempts, why))
		return
	}
	if err := w.dial(s); err != nil {
		d.fatal = err
	}
}

// count notes how a socket ended that had been open.
func (d *drain) count(s *socket) {
	if d.w.now() < d.w.from {
		d.w.fail(fmt.Errorf("hold socket %d: it ended before the order", s.index))
	}
	on, others := &d.found.Told, &d.found.OthersTold
	if s.code == 0 {
		on, others = &d.found.Cut, &d.found.OthersCut
	} else if d.found.Code == 0 {
		d.found.Code = int(s.code)
	}
	if s.home != victim {
		*others++
		return
	}
	*on++
	if d.left--; d.left == 0 {
		d.found.Emptied = time.Duration(d.w.now() - d.w.from).Seconds()
	}
}

// greet takes the backend's number, the first frame of a socket on /hello, and
// returns what follows it.
func (w *worker) greet(s *socket, b []byte) []byte {
	n := min(len(b), 3-len(s.answer))
	s.answer = append(s.answer, b[:n]...)
	if len(s.answer) < 3 {
		return nil
	}
	hello := s.answer
	s.answer = nil
	if hello[0] != wire.FinText || hello[1] != 1 {
		w.end(s, fmt.Errorf("read from socket %d: %x in place of the backend's number", s.index, hello))
		return nil
	}
	s.home = int(hello[2] - '0')
	s.state = open
	w.driver.opened(s)
	return b[n:]
}

// part takes a server's Close, answers it and waits for the end of the stream.
// What else comes is nobody's business (RFC 6455, section 5.5.1); one balancer
// sends two.
func (w *worker) part(s *socket, b []byte) {
	s.answer = append(s.answer, b...)
	if len(s.answer) < 2 || len(s.answer) < 2+int(s.answer[1]) {
		return
	}
	s.code = 1005 // RFC 6455, section 7.4.1: none was given
	if s.answer[1] >= 2 {
		s.code = binary.BigEndian.Uint16(s.answer[2:])
	}
	s.state, s.answer = closed, nil
	if len(s.unsent) == 0 {
		s.unsent, s.owed = w.bye, 0
		w.flush(s)
	}
}

// order tells the balancer, by way of whoever knows it, to empty the victim.
func order(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, nil)
	if err != nil {
		return fmt.Errorf("order drain: %w", err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("order drain: %w", err)
	}
	if err := resp.Body.Close(); err != nil {
		return fmt.Errorf("order drain: %w", err)
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("order drain: %s answers %s", url, resp.Status)
	}
	return nil
}
