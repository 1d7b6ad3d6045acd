package listener

import (
	"crypto/tls"
	"fmt"
	"net/netip"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/config"
)

// defaultHeaderBytes stands in for a max_header_bytes of 0.
const defaultHeaderBytes = 16 << 10

// settings is all of a listener that a reload can change without touching its
// socket. It is immutable.
type settings struct {
	name    string
	defers  time.Duration // see deferAccept
	limits  config.Limits
	timeout config.ListenerTimeouts
	tls     *tls.Config // nil: plain HTTP
	// Sources that must open with a PROXY header: networks, and clients of a
	// Unix socket.
	announced     []netip.Prefix
	unixAnnounced bool
	handler       fasthttp.RequestHandler
	meter         Meter // set when the settings come into force, so that an aborted change counts nothing
}

// compile checks l and turns it into settings.
func (s *Set) compile(l config.Listener) (*settings, error) {
	st := &settings{
		name:    l.Name,
		defers:  l.DeferAccept,
		limits:  l.Limits,
		timeout: l.Timeouts,
		handler: s.opts.Handler(l.Name),
	}
	if st.defers > 0 && !canDefer {
		return nil, fmt.Errorf("set up listener %q: defer_accept: only Linux can, write 0s", l.Name)
	}
	if st.limits.MaxHeaderBytes <= 0 {
		st.limits.MaxHeaderBytes = defaultHeaderBytes
	}
	if s.opts.TLS != nil {
		st.tls = s.opts.TLS(l)
	}
	if l.TLS != nil && st.tls == nil {
		return nil, fmt.Errorf("set up listener %q: tls: there is nothing that ends it", l.Name)
	}
	for _, text := range l.ProxyProtocol {
		if text == config.UnixClients {
			st.unixAnnounced = true
			continue
		}
		p, err := config.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("set up listener %q: proxy_protocol: %w", l.Name, err)
		}
		st.announced = append(st.announced, p)
	}
	return st, nil
}

// contains looks for ip, whatever its zone, in a list of networks.
func contains(prefixes []netip.Prefix, ip netip.Addr) bool {
	ip = ip.WithZone("")
	for _, p := range prefixes {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// firstByte is how long a connection may stay without a byte before it is
// closed; 0: for ever.
func (st *settings) firstByte(ph phase) time.Duration {
	if ph == phaseFresh {
		return st.timeout.Header
	}
	return st.timeout.Idle
}
