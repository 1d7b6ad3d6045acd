package load

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"time"
)

// attempts is how often a socket tries to come back.
const attempts = 1000

// storm: sockets are held until the backend that some of them are on drops
// those. Each of these comes back at once, and tries again when it is refused.
type storm struct {
	w     *worker
	fatal error
}

func (s *storm) measure(ctx context.Context) error {
	w := s.w
	for w.now() < w.until && s.fatal == nil {
		if err := w.turn(ctx, w.until); err != nil {
			return err
		}
	}
	if s.fatal != nil {
		return s.fatal
	}
	return w.drain(ctx)
}

// ended: the first end is what the storm is about, later ones are refusals.
func (s *storm) ended(k *socket, why error) {
	w := s.w
	if k.tries == 0 {
		k.begun = w.now()
		w.busy++
	}
	if k.tries++; k.tries > attempts || w.draining {
		w.busy--
		w.fail(fmt.Errorf("come back: %d attempts, the last: %w", k.tries-1, why))
		return
	}
	if err := w.dial(k); err != nil {
		s.fatal = err
	}
}

func (s *storm) opened(k *socket) { s.w.send(k) }

func (s *storm) echoed(k *socket) {
	w := s.w
	w.busy--
	k.tries = 0
	w.lastBack = w.now()
	w.record(k.begun, w.lastBack)
}

// kill has a bench backend drop all its connections.
func kill(ctx context.Context, victim netip.AddrPort) error {
	c, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", victim.String())
	if err != nil {
		return fmt.Errorf("kill sockets: %w", err)
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(time.Second))
	if _, err := fmt.Fprintf(c, "GET /die HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", victim); err != nil {
		return fmt.Errorf("kill sockets: %w", err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return fmt.Errorf("kill sockets: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answers %s", victim, resp.Status)
	}
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return fmt.Errorf("kill sockets: %w", err)
	}
	return nil
}
