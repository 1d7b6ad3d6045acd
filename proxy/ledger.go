package proxy

import (
	"bytes"
	"net/netip"
	"time"

	"github.com/holdfast-lb/holdfast/balancer"
	"github.com/holdfast-lb/holdfast/relay"
)

// OpenSocket is one WebSocket as it is now: who it is, which this package
// knows, and what it does, which the relay's loops know.
type OpenSocket struct {
	ID      uint64 // as [relay.Relay.End] takes it
	Route   string
	Backend balancer.Key
	Client  netip.Addr // invalid: it came over a Unix socket
	// Key is the [Proxy.HashKey] of its sticky key; 0: it has none, or is
	// known by a cookie, a token or its address.
	Key       uint64
	Age, Idle time.Duration
	Bytes     [2]uint64 // delivered by client and backend, by relay.Client and relay.Backend
	Frames    [2]uint64
	RoundTrip time.Duration // to the client and back; 0: not known
	Leaving   bool          // it has been told Close
}

// Sockets yields every WebSocket that is open, until yield returns false. A
// socket costs nothing for being listed: the loops are asked, a few hundred
// sockets at a time. What is yielded is valid during the call only.
func (p *Proxy) Sockets(yield func(*OpenSocket) bool) {
	var o OpenSocket
	p.relay.Each(func(l *relay.Live) bool {
		s, ours := l.Owner.(*socket)
		if !ours {
			return true
		}
		// These fields of s do not change once it is open.
		o = OpenSocket{
			ID: l.ID, Route: s.route.name, Backend: s.lease.Backend().Key(), Client: s.client, Key: s.key,
			Age: l.Age, Idle: l.Idle, Bytes: l.Bytes, Frames: l.Frames, RoundTrip: l.RoundTrip[relay.Client], Leaving: l.Leaving,
		}
		return yield(&o)
	})
}

// HashKey is what [OpenSocket.Key] has for a sticky key as clients send it. It
// leads back to the key for nobody who has not [Proxy.KeySecret]: a key may be
// a secret too.
func (p *Proxy) HashKey(key []byte) uint64 {
	return max(1, p.keySecret.Hash(key))
}

// KeySecret is for the process that this one's sockets are handed over to, so
// that it finds them by the same hashes: its [Options.KeySecret]. The caller owns
// the bytes and shows them to nobody else.
func (p *Proxy) KeySecret() []byte { return bytes.Clone(p.keySecret[:]) }
