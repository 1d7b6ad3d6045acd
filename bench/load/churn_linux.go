package load

import (
	"context"
	"fmt"
)

// hopeless is how many failures in a row end a churn run: the server is gone.
const hopeless = 100

// churn: every socket of the plan is a worker in the everyday sense, which
// opens, uses and closes one connection after the other.
type churn struct {
	w      *worker
	inARow int   // failures since the last success
	fatal  error // what makes going on pointless
}

func (c *churn) measure(ctx context.Context) error {
	w := c.w
	for _, s := range w.sockets {
		w.busy++
		c.next(s)
	}
	for w.now() < w.until && c.fatal == nil {
		if err := w.turn(ctx, w.until); err != nil {
			return err
		}
	}
	if c.fatal != nil {
		return c.fatal
	}
	return w.drain(ctx)
}

// next starts the socket's next life, unless the time is over.
func (c *churn) next(s *socket) {
	w := c.w
	if w.draining || c.fatal != nil {
		w.busy--
		return
	}
	s.begun = w.now()
	if err := w.dial(s); err != nil {
		c.fatal = err
		w.busy--
	}
}

func (c *churn) opened(s *socket) { c.w.send(s) }

func (c *churn) echoed(s *socket) {
	s.state = closing
	s.unsent = c.w.bye
	c.w.flush(s)
}

func (c *churn) ended(s *socket, why error) {
	if why == nil {
		c.w.record(s.begun, c.w.now())
		c.inARow = 0
	} else {
		c.w.fail(why)
		if c.inARow++; c.inARow >= hopeless {
			c.fatal = fmt.Errorf("open sockets: %d failures in a row: %w", c.inARow, why)
		}
	}
	c.next(s)
}
