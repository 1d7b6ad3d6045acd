package proxy

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/holdfast-lb/holdfast/balancer"
	"github.com/holdfast-lb/holdfast/relay"
)

// CarriedSocket is an open WebSocket on its way to another process, beside its
// two descriptors, as plain data.
type CarriedSocket struct {
	Route   string       `json:"route"`
	Backend balancer.Key `json:"backend"`
	// Listener and Place are the Origin of its [Place].
	Listener  string          `json:"listener"`
	Place     uint64          `json:"place"`
	Client    netip.Addr      `json:"client"`
	RequestID []byte          `json:"request_id"`
	Age       time.Duration   `json:"age"` // since its handshake began
	Key       uint64          `json:"key,omitempty"`
	Asked     *CarriedRequest `json:"asked,omitempty"` // nil: no log wants it
	Relay     relay.Carried   `json:"relay"`
}

// CarriedRequest is what a line of the access log tells of a handshake. Its
// texts are bytes, since clients send any.
type CarriedRequest struct {
	Listener  string `json:"listener"`
	User      []byte `json:"user,omitempty"`
	Host      []byte `json:"host"`
	URI       []byte `json:"uri"`
	Referer   []byte `json:"referer,omitempty"`
	UserAgent []byte `json:"user_agent,omitempty"`
}

// HandOver hands the open WebSockets to another process, some hundred at a time:
// send has it take them, with their descriptors, those of client and backend by
// turns, which stay the proxy's. What send returns, what becomes of the sockets,
// and what is returned here, is that of [relay.Relay.HandOver]. Those that are
// taken leave no line in the access log of this process, and count no more.
func (p *Proxy) HandOver(send func(sockets []CarriedSocket, descriptors []int) (refused []bool, err error)) (relay.Handover, error) {
	return p.relay.HandOver(func(all []relay.Handed) ([]bool, error) {
		sockets, descriptors := make([]CarriedSocket, len(all)), make([]int, 0, 2*len(all))
		for i := range all {
			sockets[i] = all[i].Owner.(*socket).carried(&all[i].Carried)
			descriptors = append(descriptors, all[i].Client, all[i].Backend)
		}
		return send(sockets, descriptors)
	}, func(o relay.Owner) { o.(*socket).handedOver() })
}

// carried is what is known of an open socket.
func (s *socket) carried(r *relay.Carried) CarriedSocket {
	c := CarriedSocket{
		Route: s.route.name, Backend: s.lease.Backend().Key(), Client: s.client,
		RequestID: s.id.bytes(), Age: time.Since(s.start), Key: s.key, Relay: *r,
	}
	c.Listener, c.Place = s.place.Origin()
	if s.asked != nil {
		l := s.record()
		c.Asked = &CarriedRequest{
			Listener: l.Listener, User: []byte(l.User), Host: []byte(l.Host), URI: []byte(l.URI),
			Referer: []byte(l.Referer), UserAgent: []byte(l.UserAgent),
		}
	}
	return c
}

// handedOver takes an open socket off the books: it is another process's.
func (s *socket) handedOver() {
	s.place.Leave()
	s.lease.Done()
	s.route.metrics.SocketHandedOver()
}

// Receive goes on with a WebSocket of another process, as if it had come in
// here. The descriptors are the proxy's when it returns nil; otherwise nothing has
// happened and they are still the caller's. A socket is refused if the running
// configuration has no such route or backend.
func (p *Proxy) Receive(c *CarriedSocket, client, backend int) error {
	rt := p.runtime.Load()
	at := slices.IndexFunc(rt.routes, func(r *route) bool { return r.name == c.Route && r.pool != nil })
	if at < 0 {
		return fmt.Errorf("socket %d: there is no route %q to a pool", c.Relay.ID, c.Route)
	}
	id, ok := keepRequestID(c.RequestID)
	if !ok {
		id = newRequestID()
	}
	lease, ok := p.adopt(c.Backend)
	if !ok {
		return fmt.Errorf("socket %d: there is no backend %s://%s in pool %q", c.Relay.ID, c.Backend.Scheme, c.Backend.Address, c.Backend.Pool)
	}
	r := rt.routes[at]
	s := &socket{
		p: p, route: r, lease: lease, place: p.place(c.Listener, c.Place),
		start: time.Now().Add(-c.Age), id: id, fd: -1, client: c.Client, key: c.Key, asked: c.Asked.asked(),
	}
	// Counted before it can end.
	r.metrics.SocketOpened()
	err := p.relay.Receive(&relay.Call{
		Client: client, Idle: r.timeouts.Idle, Ping: r.ping, PingBackend: r.pingBackend, Guard: r.frames, Owner: s,
	}, &c.Relay, backend)
	if err != nil {
		s.handedOver()
		return fmt.Errorf("socket %d: %w", c.Relay.ID, err)
	}
	return nil
}

// asked takes note of a request that another process had; nil: no log wants it.
func (c *CarriedRequest) asked() *asked {
	if c == nil {
		return nil
	}
	return newAsked(c.Listener, string(c.User), string(c.Host), string(c.URI), string(c.Referer), string(c.UserAgent))
}
