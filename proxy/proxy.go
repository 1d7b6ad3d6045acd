package proxy

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/auth"
	"github.com/holdfast-lb/holdfast/balancer"
	"github.com/holdfast-lb/holdfast/internal/explain"
	"github.com/holdfast-lb/holdfast/internal/keyhash"
	"github.com/holdfast-lb/holdfast/metrics"
	"github.com/holdfast-lb/holdfast/relay"
	"github.com/holdfast-lb/holdfast/tracing"
)

// Options are what a Proxy works with.
type Options struct {
	// Metrics counts requests by route. Required.
	Metrics *metrics.Metrics
	// Relay carries WebSockets. Required.
	Relay *relay.Relay
	// Log gets what operators should know. Required.
	Log *slog.Logger
	// Challenge returns the answer that an authority of certificates (RFC 8555,
	// section 8.3) looks for at a host and path; false: there is none, and
	// routes decide. Nil: there never is.
	Challenge func(host, path string) (answer string, ok bool)
	// Adopt returns the lease of a socket that is open already, and Place its
	// place in its listener's limits, by what its Origin was in another process;
	// nil: no sockets are received.
	Adopt func(balancer.Key) (lease balancer.Lease, ok bool)
	Place func(listener string, key uint64) Place
	// Short tells whether the process is short of memory, so that no request is
	// taken; nil: never. It must not block.
	Short func() bool
	// Reports gets what fails; nil: nobody does.
	Reports *explain.Reporter
	// KeySecret is what [Proxy.KeySecret] said in the process before this one,
	// whose HashKey this one goes on with. Nil, or of another length: a new one is
	// drawn.
	KeySecret []byte
}

// Proxy forwards requests by the newest Runtime. Its methods may be called
// from any goroutine.
type Proxy struct {
	metrics  *metrics.Metrics
	unrouted *metrics.Route
	relay    *relay.Relay
	access   atomic.Pointer[AccessLogs]
	tracer   atomic.Pointer[tracing.Tracer] // nil: no spans are made
	log      *slog.Logger
	reports  *explain.Reporter

	keySecret keyhash.Secret // of HashKey

	challenge func(host, path string) (answer string, ok bool) // nil: none
	short     func() bool
	adopt     func(balancer.Key) (balancer.Lease, bool)
	place     func(listener string, key uint64) Place

	runtime atomic.Pointer[Runtime]

	owes    sync.WaitGroup  // handshakes that are on no loop: somebody is waiting for an answer
	answers sync.WaitGroup  // last answers that are being written
	quit    context.Context // ends what is owed and takes too long
	hurry   context.CancelFunc
	keepers sync.WaitGroup // goroutines that keep spares

	swap      sync.Mutex                // held by Swap and Close
	upstreams map[upstreamKey]*upstream // guarded by swap
	spares    map[sparesKey]*spares     // guarded by swap
	queues    map[string]*queue         // by pool; guarded by swap
	keys      map[string]*auth.Keys     // by URL; guarded by swap
	forwards  []*auth.Forward           // of the Runtime in use; guarded by swap
}

// owedTime is how long Close waits for what handshakes are owed.
const owedTime = 2 * time.Second

// New returns a Proxy that answers 503 until the first Swap. Close ends it.
func New(o Options) *Proxy {
	p := &Proxy{
		metrics:   o.Metrics,
		unrouted:  o.Metrics.Route(metrics.Unrouted),
		relay:     o.Relay,
		log:       o.Log,
		reports:   o.Reports,
		challenge: o.Challenge,
		short:     o.Short,
		adopt:     o.Adopt,
		place:     o.Place,
		upstreams: make(map[upstreamKey]*upstream),
		spares:    make(map[sparesKey]*spares),
		queues:    make(map[string]*queue),
	}
	p.quit, p.hurry = context.WithCancel(context.Background())
	if p.short == nil {
		p.short = func() bool { return false }
	}
	var err error
	if p.keySecret, err = keyhash.Carried(o.KeySecret); err != nil {
		p.keySecret = keyhash.New()
	}
	return p
}

// Swap makes rt the configuration of all requests that begin from now on.
// Those under way end by the one that they began with. Connections to backends
// that rt has too are kept; idle ones to others are closed, and those in use
// when their request ends. A Runtime is swapped in once.
func (p *Proxy) Swap(rt *Runtime) {
	p.swap.Lock()
	defer p.swap.Unlock()
	for _, r := range rt.routes {
		r.metrics = p.metrics.Route(r.name)
	}
	p.watch(rt)
	keep := make(map[upstreamKey]*upstream)
	rt.upstreams = make(map[*balancer.Backend]*upstream)
	for _, r := range rt.routes {
		if r.pool == nil {
			continue
		}
		r.queue = p.queue(r.pool.Name())
		r.queue.configure(r.waiting)
		for _, b := range r.pool.Backends() {
			t := rt.Trust(b)
			k := upstreamKey{scheme: b.Scheme(), address: b.Address(), trust: t.ID(), sendProxy: rt.sendProxy[b.Key().Pool]}
			u := p.upstreams[k]
			if u == nil {
				u = newUpstream(k, t)
			}
			p.upstreams[k], keep[k] = u, u
			rt.upstreams[b] = u
		}
	}
	p.warm(rt)
	rt.newest.Store(rt)
	p.runtime.Store(rt)
	for k, u := range p.upstreams {
		if keep[k] == nil {
			u.close()
		}
	}
	p.upstreams = keep
}

// queue is a pool's; it stays when the pool goes, for those who wait in it. The
// caller holds p.swap.
func (p *Proxy) queue(pool string) *queue {
	q := p.queues[pool]
	if q == nil {
		q = newQueue(p.metrics.Queue(pool))
		p.queues[pool] = q
	}
	return q
}

// Waiting is how many handshakes wait for a backend of that pool.
func (p *Proxy) Waiting(pool string) int {
	p.swap.Lock()
	defer p.swap.Unlock()
	if q := p.queues[pool]; q != nil {
		return int(q.places.Load())
	}
	return 0
}

// Dismiss turns everybody away who waits for a backend, or is about to, and
// gives up the spare connections. Call it when the process is ending.
func (p *Proxy) Dismiss() {
	p.swap.Lock()
	defer p.swap.Unlock()
	for _, q := range p.queues {
		q.close()
	}
	for _, s := range p.spares {
		s.close()
	}
}

// AwaitAnswers waits for answers that end with their connection, and which no
// listener waits for, until ctx is done, whose error it returns then. Call it
// when the listeners are shut down.
func (p *Proxy) AwaitAnswers(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		p.answers.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close closes the idle connections to backends, and those in use when their
// request ends. Call it when no listener takes requests and no relay pairs any
// more: it waits for the answers that failed handshakes are owed, some seconds
// at most, and cuts what has not been delivered by then.
func (p *Proxy) Close() {
	p.Dismiss()
	late := time.AfterFunc(owedTime, p.hurry)
	p.owes.Wait()
	late.Stop()
	p.hurry()
	p.keepers.Wait()
	p.swap.Lock()
	defer p.swap.Unlock()
	for _, u := range p.upstreams {
		u.close()
	}
	p.retire(nil, nil)
	p.keys, p.forwards = nil, nil
}

// Handler returns what serves the requests of the listener of that name. It
// needs a fasthttp.Server that streams request bodies and adds no header
// fields of its own: StreamRequestBody, DisablePreParseMultipartForm,
// NoDefaultServerHeader, NoDefaultDate and NoDefaultContentType. Header names
// should stay normalized there, or fasthttp overlooks an "expect" in lower
// case: what is forwarded is spelt as it was sent in any case. A connection
// that has a method ReadEnded() bool, which tells whether a Read has returned
// io.EOF, protects backends from uploads that were cut between two chunks.
func (p *Proxy) Handler(listener string) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		rt := p.runtime.Load() // once: no request sees two configurations
		if rt == nil {
			id := newRequestID()
			noBackend.write(&ctx.Response, &id)
			return
		}
		p.serve(ctx, rt, rt.listener(listener))
	}
}
