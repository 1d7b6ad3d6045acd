package load

import (
	"context"
	"fmt"
	"time"
)

// paced: messages are sent by a timetable, whatever became of earlier ones.
type paced struct{ timetable }

func (p *paced) measure(ctx context.Context) error {
	for _, s := range p.w.sockets {
		s.echoes = 0
	}
	p.begin()
	if err := p.run(ctx, p.send, func() bool { return false }); err != nil {
		return err
	}
	return p.w.drain(ctx)
}

func (p *paced) send(s *socket, _ int) {
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
	due := p.dueOf(s, s.echoes)
	s.echoes++
	w.busy--
	if due >= w.from && due < w.until {
		w.latency.Record(time.Duration(w.now() - due))
	}
}

func (p *paced) ended(_ *socket, why error) { p.w.fail(why) }
