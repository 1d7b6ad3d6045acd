package proxy

import (
	"errors"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/holdfast-lb/holdfast/balancer"
	"github.com/holdfast-lb/holdfast/internal/sys"
	"github.com/holdfast-lb/holdfast/metrics"
	"github.com/holdfast-lb/holdfast/relay"
)

// openWebSocket answers a request to switch to WebSocket. What can be refused
// without a backend is refused as an ordinary answer on a connection that goes
// on. After that the client's socket is taken out of fasthttp (see take) and
// handed to the relay (see dial). x is given back.
func (x *exchange) openWebSocket() {
	key, err := checkOpening(x.ctx.IsGet(), x.ctx.Request.Header.IsHTTP11(), &x.req.fields)
	switch {
	case errors.Is(err, errHandshakeVersion):
		x.refuseHandshake(badVersion, metrics.HandshakeInvalid)
		return
	case err != nil:
		x.refuseOpening(err)
		return
	}
	if l, ok := x.ctx.Conn().(interface{ AllowHandshake(netip.Addr) bool }); ok && !l.AllowHandshake(x.req.client.ip) {
		x.refuseHandshake(tooManyHandshakes, metrics.HandshakeLimited)
		return
	}
	if _, ok := x.ctx.Conn().(detacher); !ok || x.p.relay == nil {
		x.refuseHandshake(unsupported, metrics.HandshakeInvalid)
		return
	}
	x.route.query(&x.query, balancer.Socket, &x.req, &x.keyBuf)
	lease, waits, c := x.pickOrWait()
	if c != ok {
		x.refuseForNow(c)
		return
	}
	s := x.socket(lease, key)
	s.call.waits = waits
	if x.cameAlone() && s.detach(x.ctx.Conn().(detacher)) == nil {
		// fasthttp holds nothing of the client's, so there is no need for a
		// hijack, which takes a goroutine. What it writes now goes nowhere.
		x.ctx.SetConnectionClose()
		x.recycle()
		s.proceed()
		return
	}
	x.p.owes.Add(1)
	x.hijack(s.take, func() {
		s.abandon()
		s.finish(clientGone, metrics.HandshakeClientGone)
		s.p.owes.Done()
	})
	x.recycle()
}

// pickOrWait returns a lease, or a place in the pool's queue if none is to be
// had for now, or else the reason.
func (x *exchange) pickOrWait() (lease balancer.Lease, waits bool, c class) {
	if len(x.route.pool.Backends()) == 0 {
		return lease, false, noBackend // nobody knows when discovery finds one
	}
	q := x.route.queue
	x.query.Patient = q.size.Load() > 0
	if !q.busy() {
		var err error
		lease, err = x.route.pool.Pick(&x.query, nil)
		if err == nil {
			return lease, false, ok
		}
		if c = classOfPick(err); c == noBackend || !x.query.Patient {
			return lease, false, c
		}
	}
	if q.reserve() {
		return lease, true, ok
	}
	q.counts.Full()
	return lease, false, queueFull
}

// refuseForNow is refuseHandshake for what another attempt may get, with the
// time after which it is worth it.
func (x *exchange) refuseForNow(c class) {
	c.write(&x.ctx.Response, &x.req.id)
	if c != noBackend {
		if seconds := x.route.queue.retryAfter(x.route.pool.HandshakeRate()); seconds > 0 {
			x.ctx.Response.Header.Set("Retry-After", strconv.Itoa(seconds))
		}
	}
	x.applyRules()
	x.handshakeRefused(c, metrics.HandshakeNoBackend)
}

// refuseOpening answers a handshake that breaks a rule with what the rule is,
// and gives x back.
func (x *exchange) refuseOpening(rule error) {
	badHandshake.write(&x.ctx.Response, &x.req.id)
	x.applyRules()
	x.ctx.Response.SetBody(badHandshake.appendLine(nil, rule.Error(), &x.req.id))
	x.handshakeRefused(badHandshake, metrics.HandshakeInvalid)
}

// refuseHandshake answers for the backend, and gives x back.
func (x *exchange) refuseHandshake(c class, result metrics.HandshakeResult) {
	c.write(&x.ctx.Response, &x.req.id)
	x.applyRules()
	x.handshakeRefused(c, result)
}

// handshakeRefused accounts for an answer of our own, and gives x back.
func (x *exchange) handshakeRefused(c class, result metrics.HandshakeResult) {
	took := time.Since(x.start)
	x.report(c)
	x.route.metrics.Handshake(result, took)
	x.bytesOut = int64(len(x.ctx.Response.Body()))
	x.closeIfUnread() // a handshake has no body, but who breaks that rule may send one
	x.logAccess(c.status(), took, c)
	if x.span != nil {
		x.endSpan(c.status(), c)
	}
	x.recycle()
}

// socket makes what outlives the handler: everything in it is its own. A lease
// that is not held is assigned later.
func (x *exchange) socket(lease balancer.Lease, key []byte) *socket {
	s := &socket{
		p: x.p, route: x.route, lease: lease, start: x.start, id: x.req.id, fd: -1, client: x.req.client.ip,
		call: &calling{
			rt:     x.rt,
			query:  x.query,
			accept: acceptFor(key),
			used:   x.answeredBefore(),
			secure: x.req.proto == "https",

			listener: x.l.name,
			client:   x.req.client.ip,
		},
	}
	c := s.call
	if len(x.query.StickyKey) > 0 {
		c.query.StickyKey = append([]byte(nil), x.query.StickyKey...)
		if x.route.sticky.from != keySourceIP {
			s.key = x.p.HashKey(x.query.StickyKey)
		}
	}
	c.backend = lease.Backend()
	if c.backend == nil {
		c.backend = x.route.pool.Backends()[0] // for the time being
	}
	up := x.rt.upstreams[c.backend]
	if up.sendProxy != "" {
		c.source, c.destination = x.ends()
	}
	if x.route.shape != nil {
		x.lease = lease // its backend is one of the facts
		f := x.facts()
		f.backend = c.backend.Name()
		f.keep()
		c.facts = &f
	}
	if x.span != nil {
		x.handOverSpan(c, &lease)
	}
	c.head = x.req.appendHead(make([]byte, 0, 512+len(x.req.fields.raw)), x.route, up.authority, c.facts, false, true)
	if (!x.route.preserveHost || len(x.req.host) == 0) && !x.route.shape.setsHost() {
		c.authority = up.authority
	}
	s.asked = x.asked()
	return s
}

// proceed has s dialled, or wait its turn if it has a place in the queue.
func (s *socket) proceed() {
	c := s.call
	if !c.waits {
		s.dial()
		return
	}
	c.waits = false
	class := newcomers
	if s.route.pool.Returns(&c.query) {
		class = returning
	}
	s.route.queue.add(s, class)
}

// abandon gives up the place in the queue, if s has one.
func (s *socket) abandon() {
	if s.call.waits {
		s.call.waits = false
		s.route.queue.leave()
	}
}

// dial asks the relay to connect the client's socket, which s owns, to the
// backend of its lease. It may block for a name look-up.
func (s *socket) dial() {
	for {
		c := s.call
		up := c.rt.upstreams[s.lease.Backend()]
		addr, err := up.place.resolve(s.route.timeouts.Connect, c.attempt)
		if err == nil {
			var spare *relay.Spare
			if !c.fresh {
				spare = c.rt.spares[s.lease.Backend()].take()
			}
			c.spare = spare != nil
			err = s.p.relay.Open(&relay.Call{
				Client: int(s.fd), ClientTLS: c.tls, Used: c.used, Early: c.early,
				Backend: addr, BackendTLS: up.tls, Spare: spare, Request: c.head,
				Preface: up.preface(c.source, c.destination),
				Connect: s.route.timeouts.Connect, Answer: s.route.timeouts.Response, Idle: s.route.timeouts.Idle,
				Ping: s.route.ping, PingBackend: s.route.pingBackend, Guard: s.route.frames,
				Owner: s,
			})
		}
		if err == nil {
			return // s belongs to the relay now
		}
		c.why = err
		c.endAttempt(refused)
		switch {
		case errors.Is(err, relay.ErrStopping):
			s.giveUp(stopping, metrics.HandshakeNoBackend)
			return
		case !s.again(refused):
			if !s.wait() {
				s.giveUp(refused, metrics.HandshakeUnreachable)
			}
			return
		}
	}
}

// wait puts a handshake whose backend failed into the queue, if another one
// would take it but for the pool's limits.
func (s *socket) wait() bool {
	c := s.call
	if !c.blocked || !s.route.queue.reserve() {
		return false
	}
	s.lease.Done()
	s.lease = balancer.Lease{}
	c.attempt++
	s.route.queue.add(s, returning) // it has had a turn
	return true
}

// renew has a handshake that waits go by the backends that discovery has found
// since it came.
func (s *socket) renew() {
	c := s.call
	if rt := c.rt.newest.Load(); rt != c.rt {
		c.rt, s.route = rt, rt.routes[s.route.number]
	}
}

// again returns the lease and takes one on another backend, if there is one
// and the route allows another attempt. failed is why this one came to nothing.
func (s *socket) again(failed class) bool {
	c := s.call
	c.blocked = false
	if c.attempt >= s.route.retries {
		return false
	}
	c.tried.Add(s.lease.Backend())
	lease, err := s.route.pool.Pick(&c.query, &c.tried)
	if err != nil {
		c.blocked = classOfPick(err) != noBackend
		return false
	}
	s.report(failed)
	s.lease.Done()
	c.attempt++
	s.assign(lease)
	s.route.metrics.Retry()
	return true
}

// assign gives s a lease, and the request the names of its backend.
func (s *socket) assign(lease balancer.Lease) {
	c := s.call
	s.lease = lease
	if c.spans.whole != nil {
		c.nextAttempt(lease.Backend())
	}
	if lease.Backend() == c.backend {
		return
	}
	c.backend = lease.Backend()
	if c.facts != nil {
		c.head = s.route.shape.renameBackend(c.head, c.facts, lease.Backend().Name())
	}
	if c.authority != nil {
		up := c.rt.upstreams[lease.Backend()]
		c.head = replaceField(c.head, "Host", c.authority, up.authority)
		c.authority = up.authority
	}
}

// giveUp tells the client why there is no WebSocket and ends the connection.
func (s *socket) giveUp(c class, result metrics.HandshakeResult) {
	conn, err := s.clientConn()
	if err == nil {
		_ = conn.SetDeadline(time.Now().Add(lingerTime))
		if c != clientGone {
			_, _ = conn.Write(s.ownAnswer(c))
			linger(conn)
		}
		_ = conn.Close()
	}
	s.finish(c, result)
}

// clientConn makes a connection of the client's socket, which s has no more.
func (s *socket) clientConn() (net.Conn, error) {
	c, err := netConn(int(s.fd))
	s.fd = -1
	return secured(c, s.call.tls), err
}

// finish accounts for a handshake that came to nothing.
func (s *socket) finish(c class, result metrics.HandshakeResult) {
	s.report(c)
	s.settle(result)
	status := c.status()
	if c == clientGone {
		status = statusClientGone
	}
	s.logHandshake(status, c)
	s.call.endSpan(status, c)
}

// settle returns all that a failed handshake holds.
func (s *socket) settle(result metrics.HandshakeResult) {
	if s.fd >= 0 {
		sys.Close(int(s.fd))
		s.fd = -1
	}
	if s.place != nil {
		s.place.Leave()
	}
	if s.lease.Held() {
		s.lease.Done()
	}
	s.route.metrics.Handshake(result, time.Since(s.start))
}
