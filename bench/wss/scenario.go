package wss

import (
	"context"
	"crypto/tls"
	"fmt"

	"github.com/holdfast-lb/holdfast/bench/load"
	"github.com/holdfast-lb/holdfast/bench/usage"
)

// pingpong keeps one message under way on the socket.
func (r *run) pingpong(ctx context.Context, _ int, s *socket, h *load.Histogram) {
	defer s.endWith(ctx)()
	for begun := r.now(); begun < r.until; {
		if err := s.trip(); err != nil {
			r.fail(err)
			return
		}
		now := r.now()
		r.record(h, begun, now)
		begun = now
	}
}

// churn is a worker that opens, uses and closes one socket after the other.
func (r *run) churn(ctx context.Context, i int, _ *socket, h *load.Histogram) {
	c := config(r.plan)
	inARow := 0
	for n := i; r.now() < r.until; n += r.plan.Sockets {
		begun := r.now()
		resumed, err := r.life(ctx, n, c)
		if err == nil && n > i && resumed != (r.plan.TLS == load.TLSResume) {
			err = fmt.Errorf("open socket %d: session resumed: %t, unlike planned", n, resumed)
		}
		if err == nil {
			r.record(h, begun, r.now())
			inARow = 0
			continue
		}
		r.fail(err)
		if inARow++; inARow >= hopeless {
			return
		}
	}
}

// life is one socket of churn: handshake, echo, Close both ways, end of stream.
func (r *run) life(ctx context.Context, i int, c *tls.Config) (resumed bool, err error) {
	s, err := dial(ctx, r.plan, i, c)
	if err != nil {
		return false, err
	}
	defer func() { _ = s.Close() }()
	defer s.endWith(ctx)()
	if err := s.trip(); err != nil {
		return false, err
	}
	return s.ConnectionState().DidResume, s.bye()
}

// idle opens sockets, uses each once, reads the balancer's memory, and uses
// each again. It is a figure of a balancer that has just been started.
func (r *run) idle(ctx context.Context, res *load.Result) error {
	before, err := usage.Read(r.plan.Watch)
	if err != nil {
		return err
	}
	begun := r.now()
	sockets, err := r.openAll(ctx)
	if err != nil {
		return err
	}
	defer closeAll(sockets)
	opened := r.now() - begun
	after, err := r.readAt(ctx, r.now()+r.plan.Duration)
	if err != nil {
		return err
	}
	for _, s := range sockets {
		stop := s.endWith(ctx)
		if err := s.trip(); err != nil {
			r.fail(fmt.Errorf("use held socket: %w", err))
		}
		stop()
	}
	each := func(before, after int64) float64 { return float64(after-before) / float64(len(sockets)) }
	res.Ops, res.Rate = uint64(len(sockets)), float64(len(sockets))/opened.Seconds()
	res.Memory = &load.Memory{
		Before: before.Memory, After: after.Memory,
		PerSocket: each(before.Memory, after.Memory), MachinePerSocket: each(before.MachineMem, after.MachineMem),
	}
	return nil
}
