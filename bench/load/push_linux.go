package load

import "context"

// push: the first socket sends, every socket hears it. One message is under
// way at a time; latency is from its sending to each arrival.
type push struct {
	w      *worker
	begun  int64
	heard  int // sockets that have the message under way
	parted int // sockets that have ended
}

func (p *push) measure(ctx context.Context) error {
	p.w.busy++
	p.next(p.w.now())
	if err := p.w.runTo(ctx, p.w.until); err != nil {
		return err
	}
	return p.w.drain(ctx)
}

func (p *push) next(now int64) {
	p.begun, p.heard = now, 0
	p.w.send(p.w.sockets[0])
}

func (p *push) opened(*socket) {}

func (p *push) echoed(*socket) {
	w := p.w
	now := w.now()
	w.record(p.begun, now)
	if p.heard++; p.heard < len(w.sockets)-p.parted {
		return
	}
	if w.draining {
		w.busy--
		return
	}
	p.next(now)
}

func (p *push) ended(_ *socket, why error) {
	p.parted++
	p.w.fail(why)
}
