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
	refreshing atomic.Bool
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
// only while none has succeeded yet. Later ones are made in the background, one
// at a time; while they fail the last addresses stay in use.
func (p *place) resolve(within time.Duration, attempt int) (netip.AddrPort, error) {
	if p.literal.IsValid() {
		return p.literal, nil
	}
	l := p.known.Load()
	switch {
	case l == nil:
		var err error
		if l, err = p.lookUp(within); err != nil {
			return netip.AddrPort{}, err
		}
	case time.Since(l.at) > lookupTTL && p.refreshing.CompareAndSwap(false, true):
		go func() {
			defer p.refreshing.Store(false)
			if _, err := p.lookUp(lookupTTL); err != nil {
				p.known.Store(&lookup{addrs: l.addrs, at: time.Now().Add(time.Second - lookupTTL)}) // again in a second
			}
		}()
	}
	return l.addrs[attempt%len(l.addrs)], nil
}

// lookUp looks the name up and remembers the answer.
func (p *place) lookUp(within time.Duration) (*lookup, error) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	l, err := lookUp(ctx, p.host, p.port)
	if err == nil {
		p.known.Store(l)
	}
	return l, err
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
