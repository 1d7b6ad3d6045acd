package proxy

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/balancer"
	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/internal/trust"
	"github.com/holdfast-lb/holdfast/metrics"
	"github.com/holdfast-lb/holdfast/relay"
)

// Runtime is one configuration, compiled: what a request needs to know, found
// by at most a few map lookups. [Proxy.Swap] gives it to a Proxy, after which
// nothing changes it.
type Runtime struct {
	router router
	// plainRouter has the same routes under their paths as appendPlain writes
	// them.
	plainRouter router

	routes    []*route
	listeners map[string]*listenerPolicy
	pools     *balancer.Pools

	trusts    map[string]*trust.Client // by pool, of those that have TLS
	sendProxy map[string]string        // by pool
	warm      map[string]int           // by pool: connections to each backend

	tokenParameters []string // query parameters that carry tokens on some route

	// newest is the last one that Swap was given of those that were made of the
	// same configuration, which differ in their backends. They share it.
	newest *atomic.Pointer[Runtime]

	// Filled by Swap, before the Runtime is visible to any request.
	upstreams map[*balancer.Backend]*upstream
	spares    map[*balancer.Backend]*spares // of pools that are warm
}

// listenerPolicy is how the requests of one listener are read.
type listenerPolicy struct {
	name    string
	trusted []netip.Prefix
	maxBody int64 // bytes; 0: no limit
	// patience is how long a client may take none of its answer; 0: for ever.
	patience time.Duration
	// clientCA: clients have shown certificates.
	clientCA bool
	// local is the answer to every request; nil: routes decide.
	local *localAnswer
}

// route is one compiled route.
type route struct {
	number       int // in Runtime.routes
	name         string
	path         string         // as configured
	pool         *balancer.Pool // nil: local
	local        *localAnswer   // nil: pool
	preserveHost bool
	strip        string   // without a slash at its end; empty: nothing
	rewrite      *rewrite // after strip; nil: the path stays
	shape        *shape   // nil: nothing else changes
	timeouts     config.RouteTimeouts
	ping         time.Duration // silence before a Ping to the client; 0: none
	pingBackend  bool
	frames       *relay.Guard // nil: nobody judges them
	retries      int
	guard        *guard // nil: anybody may come in

	hash   key // of the pool's hash_key
	sticky key // of the pool's stickiness
	// carrier is the pool's stickiness if clients carry it; nil otherwise.
	carrier *carrier

	waiting config.Queue   // of the pool
	queue   *queue         // of the pool; filled by Swap
	metrics *metrics.Route // filled by Swap
}

// Compile makes a Runtime of a valid configuration and its pools. It returns
// all mistakes at once and leaves no trace anywhere.
func Compile(cfg *config.Config, pools *balancer.Pools) (*Runtime, error) {
	rt := &Runtime{
		listeners: make(map[string]*listenerPolicy, len(cfg.Listeners)),
		pools:     pools,
		newest:    new(atomic.Pointer[Runtime]),
	}
	trusts, errs := loadTrusts(cfg.Pools)
	rt.trusts = trusts
	rt.sendProxy, rt.warm = make(map[string]string, len(cfg.Pools)), make(map[string]int, len(cfg.Pools))
	for name, p := range cfg.Pools {
		rt.sendProxy[name], rt.warm[name] = p.SendProxy, p.Warm
	}
	for i, l := range cfg.Listeners {
		p := &listenerPolicy{name: l.Name, maxBody: int64(l.Limits.MaxBodyBytes), patience: l.Timeouts.Body, clientCA: l.TLS != nil && l.TLS.ClientCA != ""}
		for j, text := range l.TrustedProxies {
			prefix, err := config.ParsePrefix(text)
			if err != nil {
				errs = append(errs, fmt.Errorf("listeners[%d].trusted_proxies[%d]: %w", i, j, err))
			}
			p.trusted = append(p.trusted, prefix)
		}
		if l.RedirectHTTPS != 0 {
			p.local = &localAnswer{status: fasthttp.StatusPermanentRedirect, to: toHTTPS(l.RedirectHTTPS)}
		}
		rt.listeners[l.Name] = p
	}
	for i, r := range cfg.Routes {
		compiled, err := compileRoute(r, cfg, pools)
		if err == nil {
			compiled.guard, err = compileGuard(r)
		}
		if err == nil {
			err = rt.addRoute(compiled, r.Hosts, cmp.Or(r.Path, "/"))
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("routes[%d]: %w", i, err))
			continue
		}
		compiled.number = len(rt.routes)
		rt.routes = append(rt.routes, compiled)
		if g := compiled.guard; g != nil && g.from.from == keyQuery {
			rt.tokenParameters = append(rt.tokenParameters, g.from.name)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("compile routes: %w", err)
	}
	return rt, nil
}

// Repool is rt, made of cfg, with pools that have other backends. What was read
// of files stays as it is, so that it changes nothing else. It cannot fail.
func (rt *Runtime) Repool(cfg *config.Config, pools *balancer.Pools) *Runtime {
	next := &Runtime{
		listeners: rt.listeners, pools: pools, trusts: rt.trusts, sendProxy: rt.sendProxy, warm: rt.warm,
		tokenParameters: rt.tokenParameters, newest: rt.newest,
	}
	for i, r := range cfg.Routes {
		route := *rt.routes[i]
		if route.pool != nil {
			route.pool = pools.Pool(r.Pool)
		}
		if route.carrier != nil {
			route.carrier = newCarrier(route.pool.Sticky())
		}
		if g := route.guard; g != nil {
			own := *g
			route.guard = &own // Swap writes into it
		}
		if s := route.shape; s != nil && s.reverse != nil {
			own := *s
			own.reverse = &reverse{pool: route.pool, prefix: s.reverse.prefix}
			route.shape = &own
		}
		_ = next.addRoute(&route, r.Hosts, cmp.Or(r.Path, "/")) // as it was added before
		next.routes = append(next.routes, &route)
	}
	return next
}

// addRoute files a route by its path as it is written, and as it may be
// understood.
func (rt *Runtime) addRoute(r *route, hosts []string, path string) error {
	if err := rt.router.add(r, hosts, path); err != nil {
		return err
	}
	plain, _, ok := appendPlain(nil, []byte(path))
	if !ok {
		return fmt.Errorf("add route %q: path %q holds a segment \"..\", an encoded control character or an encoded slash behind a semicolon, write it without", r.name, path)
	}
	return rt.plainRouter.add(r, hosts, string(plain))
}

func compileRoute(r config.Route, cfg *config.Config, pools *balancer.Pools) (*route, error) {
	compiled := &route{
		name:         r.Name,
		path:         cmp.Or(r.Path, "/"),
		pool:         pools.Pool(r.Pool),
		preserveHost: r.PreserveHost,
		strip:        strings.TrimRight(r.StripPrefix, "/"),
		timeouts:     r.Timeouts,
		retries:      r.Retries,
		ping:         r.WebSocket.PingInterval,
		pingBackend:  r.WebSocket.PingBackend,
		frames:       compileFrames(r.WebSocket),
	}
	var err error
	if compiled.local, err = compileLocal(r); err != nil {
		return nil, err
	}
	if compiled.rewrite, err = compileRewrite(r.Rewrite); err != nil {
		return nil, err
	}
	if compiled.shape, err = compileShape(r, compiled); err != nil {
		return nil, err
	}
	if compiled.local != nil {
		return compiled, nil
	}
	if compiled.pool == nil {
		return nil, fmt.Errorf("pool: there is no pool %q, define it or name another", r.Pool)
	}
	compiled.waiting = cfg.Pools[r.Pool].Queue
	if compiled.hash, err = parseKey(cfg.Pools[r.Pool].HashKey); err != nil {
		return nil, fmt.Errorf("pool %q: hash_key: %w", r.Pool, err)
	}
	compiled.carrier = newCarrier(compiled.pool.Sticky())
	switch s := compiled.pool.Sticky(); {
	case s == nil, compiled.carrier != nil:
	case s.By() == "source_ip":
		compiled.sticky = key{from: keySourceIP}
	default:
		if compiled.sticky, err = namedKey(s.By(), s.Name()); err != nil {
			return nil, fmt.Errorf("pool %q: sticky: %w", r.Pool, err)
		}
	}
	return compiled, nil
}

// strict is the policy for requests on a listener that the newest
// configuration does not know, whose last connections are being finished.
var strict = &listenerPolicy{patience: 30 * time.Second}

// listener returns the policy of the listener of that name.
func (rt *Runtime) listener(name string) *listenerPolicy {
	if l := rt.listeners[name]; l != nil {
		return l
	}
	return strict
}

// query fills q with what the route's pool picks by. The result refers to the
// request's memory and to buf.
func (rt *route) query(q *balancer.Query, kind balancer.Kind, r *request, buf *[16]byte) {
	*q = balancer.Query{Kind: kind}
	if rt.hash.from != noKey {
		if k := rt.hash.of(r, buf); len(k) > 0 {
			q.Hash = balancer.HashKey(k)
		}
	}
	if rt.sticky.from != noKey {
		q.StickyKey = rt.sticky.of(r, buf)
	}
	if rt.carrier != nil {
		q.StickyBackend = rt.carrier.shown(r)
	}
}
