package load

import "context"

// idle: sockets are held; after the reading of memory each must still echo.
type idle struct {
	w       *worker
	sampled <-chan struct{} // closed when memory has been read
	late    bool            // the sockets are used again
}

func (i *idle) measure(ctx context.Context) error {
	w := i.w
	if err := w.runTo(ctx, w.until); err != nil {
		return err
	}
	for {
		select {
		case <-i.sampled:
			return i.wake(ctx)
		default:
		}
		if err := w.turn(ctx, w.now()+int64(longestNap)); err != nil {
			return err
		}
	}
}

// wake sends one message on every socket.
func (i *idle) wake(ctx context.Context) error {
	i.late = true
	for _, s := range i.w.sockets {
		if s.state == open {
			i.w.busy++
			i.w.send(s)
		}
	}
	return i.w.drain(ctx)
}

func (i *idle) opened(*socket) {}
func (i *idle) echoed(*socket) { i.w.busy-- }

func (i *idle) ended(_ *socket, why error) {
	if i.late {
		i.w.busy--
	}
	i.w.fail(why)
}
