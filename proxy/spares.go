package proxy

import (
	"context"
	"crypto/tls"
	"math"
	"sync"
	"time"

	"github.com/holdfast-lb/holdfast/balancer"
	"github.com/holdfast-lb/holdfast/internal/sys"
	"github.com/holdfast-lb/holdfast/internal/trust"
	"github.com/holdfast-lb/holdfast/metrics"
	"github.com/holdfast-lb/holdfast/relay"
)

const (
	// spareAge is how old a spare connection may become. Backends close those
	// that say nothing earlier or later, as they please; that is noticed.
	spareAge = 30 * time.Second
	// spareLook is how often they are looked at, and the pause after one that
	// could not be made.
	spareLook = 250 * time.Millisecond
	// spareConnect bounds the making of one.
	spareConnect = 5 * time.Second
)

// sparesKey is what spares are known by over reloads.
type sparesKey struct {
	balancer.Key
	trust trust.ID
}

// spares keeps connections to one backend that were made before a client asks
// for one, so that its handshake saves the round trips of connecting. They are
// no lease and count for nothing. One goroutine makes them, and gives them up
// once the backend is not to be picked; it ends with close.
type spares struct {
	place  *place
	tls    *tls.Config // nil: none
	counts *metrics.Spares
	below  int // the descriptors that spares may have are lower ones
	close  context.CancelFunc
	wake   chan struct{} // a spare is missing

	mu      sync.Mutex        // guards what follows; held for a few instructions
	backend *balancer.Backend // of the newest Runtime
	want    int
	idle    []spare // oldest first; never more than want
	closed  bool
}

type spare struct {
	*relay.Spare
	made time.Time
}

// configure settles how many there are to be, of which backend.
func (s *spares) configure(b *balancer.Backend, want int) {
	s.mu.Lock()
	s.backend, s.want = b, want
	s.mu.Unlock()
	s.missing()
}

// missing has the goroutine look whether one is missing.
func (s *spares) missing() {
	select {
	case s.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// take returns a spare that the backend has not given up, nil if there is none.
// The caller owns it. s may be nil, which has none.
func (s *spares) take() *relay.Spare {
	if s == nil {
		return nil
	}
	defer s.missing()
	for {
		s.mu.Lock()
		if len(s.idle) == 0 {
			s.mu.Unlock()
			s.counts.Missed()
			return nil
		}
		c := s.idle[0]
		s.remove(1)
		s.mu.Unlock()
		if c.Alive() {
			s.counts.Used()
			return c.Spare
		}
		s.counts.Stale()
		c.Close()
	}
}

// remove forgets the n oldest. The caller holds mu.
func (s *spares) remove(n int) {
	rest := copy(s.idle, s.idle[n:])
	clear(s.idle[rest:])
	s.idle = s.idle[:rest]
	s.counts.Ready(-n)
}

// keep makes spares until the end of ctx.
func (s *spares) keep(ctx context.Context) {
	look := time.NewTicker(spareLook)
	defer look.Stop()
	defer func() {
		s.mu.Lock()
		s.closed = true
		s.mu.Unlock()
		s.weed(time.Now())
	}()
	failed := false // the last one
	for {
		for !failed && s.lacks() {
			failed = !s.add(ctx)
		}
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		case now := <-look.C:
			failed = false
			s.weed(now)
		}
	}
}

// lacks tells whether one is missing that there should be.
func (s *spares) lacks() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wanted() > len(s.idle)
}

// wanted is how many there are to be now. The caller holds mu.
func (s *spares) wanted() int {
	if s.closed || !s.backend.State().Usable() {
		return 0
	}
	return s.want
}

// add makes one, and is false if that failed.
func (s *spares) add(ctx context.Context) bool {
	addr, err := s.place.resolve(spareConnect, 0)
	if err != nil {
		return false
	}
	c, err := relay.Connect(ctx, addr, s.tls, spareConnect)
	if err != nil {
		return false
	}
	if c.Beyond(s.below) {
		c.Close() // clients come first
		return false
	}
	s.mu.Lock()
	welcome := s.wanted() > len(s.idle)
	if welcome {
		s.idle = append(s.idle, spare{c, time.Now()})
		s.counts.Ready(1)
	}
	s.mu.Unlock()
	if !welcome {
		c.Close()
	}
	return true
}

// weed closes those that are too old, too many, or given up by the backend.
func (s *spares) weed(now time.Time) {
	s.mu.Lock()
	all := s.idle
	s.idle = nil
	s.counts.Ready(-len(all))
	s.mu.Unlock()
	// Handshakes that come meanwhile find none, and make their own.
	var kept []spare
	for _, c := range all {
		switch {
		case now.Sub(c.made) >= spareAge:
			c.Close()
		case !c.Alive():
			s.counts.Stale()
			c.Close()
		default:
			kept = append(kept, c)
		}
	}
	s.mu.Lock()
	most := s.wanted()
	n := min(len(kept), most)
	s.idle = append(s.idle, kept[:n]...)
	s.counts.Ready(n)
	s.mu.Unlock()
	for _, c := range kept[n:] {
		c.Close()
	}
}

// spareDescriptors is the first descriptor that no spare may have: once half of
// those of the process are taken, the rest is for clients.
func spareDescriptors() int {
	if most := sys.MaxDescriptors(); most > 0 {
		return most / 2
	}
	return math.MaxInt // the system does not tell
}

// warm gives the backends of rt their spares, and ends those of others. The
// caller holds p.swap.
func (p *Proxy) warm(rt *Runtime) {
	keep := make(map[sparesKey]*spares)
	rt.spares = make(map[*balancer.Backend]*spares)
	for b, u := range rt.upstreams {
		want := rt.warm[b.Key().Pool]
		if want == 0 || u.tls != nil && u.sendProxy != "" {
			continue // a PROXY header goes before TLS; discovery may find such a backend
		}
		k := sparesKey{b.Key(), rt.Trust(b).ID()}
		s := p.spares[k]
		if s == nil {
			ctx, cancel := context.WithCancel(context.Background())
			s = &spares{place: u.place, tls: u.tls, counts: p.metrics.Spares(b.Key().Pool), below: spareDescriptors(), close: cancel, wake: make(chan struct{}, 1)}
			s.configure(b, want)
			p.keepers.Go(func() { s.keep(ctx) })
		} else {
			s.configure(b, want)
		}
		p.spares[k], keep[k] = s, s
		rt.spares[b] = s
	}
	for k, s := range p.spares {
		if keep[k] == nil {
			s.close()
		}
	}
	p.spares = keep
}
