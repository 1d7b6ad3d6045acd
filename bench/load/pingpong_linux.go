package load

import "context"

// pingpong: every socket has exactly one message under way.
type pingpong struct{ w *worker }

func (p *pingpong) measure(ctx context.Context) error {
	w := p.w
	for _, s := range w.sockets {
		if s.state == open {
			w.busy++
			s.begun = w.now()
			w.send(s)
		}
	}
	if err := w.runTo(ctx, w.until); err != nil {
		return err
	}
	return w.drain(ctx)
}

func (p *pingpong) opened(*socket) {}

// echoed reads the clock once: the end of one trip is the start of the next.
func (p *pingpong) echoed(s *socket) {
	w := p.w
	now := w.now()
	w.record(s.begun, now)
	if w.draining {
		w.busy--
		return
	}
	s.begun = now
	w.send(s)
}

func (p *pingpong) ended(_ *socket, why error) {
	p.w.busy--
	p.w.fail(why)
}
