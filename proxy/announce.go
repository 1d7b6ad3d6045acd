package proxy

import (
	"net"
	"net/netip"

	"github.com/holdfast-lb/holdfast/internal/announce"
)

// ends returns whose request it is and where it came in, for a PROXY header.
// The source is not valid for a client on a Unix socket; its port is 0 if a
// trusted proxy named it, who does not say which it was.
func (x *exchange) ends() (source, destination netip.AddrPort) {
	port := uint16(0)
	if peer := addrPortOf(x.ctx.RemoteAddr()); addressOf(x.ctx.RemoteAddr()) == x.req.client.ip {
		port = peer.Port()
	}
	if x.req.client.ip.IsValid() {
		source = netip.AddrPortFrom(x.req.client.ip, port)
	}
	return source, addrPortOf(x.ctx.LocalAddr())
}

func addrPortOf(a net.Addr) netip.AddrPort {
	if a, ok := a.(interface{ AddrPort() netip.AddrPort }); ok {
		return a.AddrPort()
	}
	return netip.AddrPort{}
}

// preface returns what a connection to x.up begins with; nil: nothing.
func (x *exchange) preface() []byte {
	if x.up.sendProxy == "" {
		return nil
	}
	return x.up.preface(x.ends())
}

// preface returns the PROXY header for a client; nil if the backend wants none.
func (u *upstream) preface(source, destination netip.AddrPort) []byte {
	if u.sendProxy == "" {
		return nil
	}
	return announce.Header(u.sendProxy, source, destination)
}
