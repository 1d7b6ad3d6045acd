package proxy

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"time"
)

// lookupTTL is how long the addresses of a backend's name are used before they
// are looked up again.
const lookupTTL = 30 * time.Second

// place is where a backend listens, for the relay, which takes addresses and
// not names. It is safe for concurrent use.
type place struct {
	literal    netip.AddrPort // valid if the backend's URL holds an address
	host, port string
	known      atomic.Pointer[lookup]
}

// lookup is what a name resolved to.
type lookup struct {
	addrs []netip.AddrPort
	at    time.Time
}

// newPlace takes the address of a validated backend: host:port.
func newPlace(address string) *place {
	p := &place{}
	if a, err := netip.ParseAddrPort(address); err == nil {
		p.literal = a
		return p
	}
	p.host, p.port, _ = net.SplitHostPort(address) // what is not host:port fails to resolve
	return p
}

// resolve returns an address; which of several depends on attempt, so that
// another try meets another one. It blocks for a look-up, at most for within,
// if the backend has a name that was not looked up lately; a name that can not
// be looked up again keeps its last addresses.
func (p *place) resolve(within time.Duration, attempt int) (netip.AddrPort, error) {
	if p.literal.IsValid() {
		return p.literal, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	l := p.known.Load()
	if l == nil || time.Since(l.at) > lookupTTL {
		fresh, err := lookUp(ctx, p.host, p.port)
		switch {
		case err == nil:
			l = fresh
			p.known.Store(l)
		case l == nil:
			return netip.AddrPort{}, err
		}
	}
	return l.addrs[attempt%len(l.addrs)], nil
}

func lookUp(ctx context.Context, host, port string) (*lookup, error) {
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, fmt.Errorf("look up backend %q: %w", host, err)
	}
	n, err := net.DefaultResolver.LookupPort(ctx, "tcp", port)
	if err != nil {
		return nil, fmt.Errorf("look up port %q: %w", port, err)
	}
	l := &lookup{at: time.Now()}
	for _, ip := range ips {
		l.addrs = append(l.addrs, netip.AddrPortFrom(ip.Unmap(), uint16(n))) // #nosec G115 -- a port
	}
	return l, nil
}
