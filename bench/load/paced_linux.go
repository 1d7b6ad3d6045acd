package load

import (
	"context"
	"fmt"
	"time"
)

// paced: message k of this worker is due at start + k*every, on socket
// k % sockets. Nothing has to be remembered for a message: the j-th echo on a
// socket belongs to the j-th message sent on it.
type paced struct {
	w     *worker
	start int64
	every float64 // nanoseconds between messages
}

func (p *paced) measure(ctx context.Context) error {
	w := p.w
	p.every = 1e9 / (float64(w.plan.Rate) / float64(w.plan.Threads))
	for i, s := range w.sockets {
		s.echoes = 0
		s.index = i // from here on the place in this worker's timetable
	}
	p.start = w.now()
	for k := 0; ; {
		due := p.due(k)
		if due >= w.until {
			break
		}
		if due > w.now() {
			if err := w.turn(ctx, due); err != nil {
				return err
			}
			continue
		}
		p.send(w.sockets[k%len(w.sockets)])
		k++
	}
	return w.drain(ctx)
}

// due is when message k must be sent.
func (p *paced) due(k int) int64 { return p.start + int64(float64(k)*p.every) }

func (p *paced) send(s *socket) {
	if s.state != open {
		p.w.fail(fmt.Errorf("send message: socket %d is gone", s.index))
		return
	}
	p.w.busy++
	p.w.send(s)
}

func (p *paced) opened(*socket) {}

func (p *paced) echoed(s *socket) {
	w := p.w
	due := p.due(s.index + s.echoes*len(w.sockets))
	s.echoes++
	w.busy--
	if due >= w.from && due < w.until {
		w.latency.Record(time.Duration(w.now() - due))
	}
}

func (p *paced) ended(_ *socket, why error) { p.w.fail(why) }
