package admin

import (
	"net"
	"net/netip"
	"strings"
)

// hostCheck holds the names by which a loopback listener may be called. A web
// page can make a browser's name resolve to 127.0.0.1 (DNS rebinding), but
// the Host header then still bears the page's name. On other addresses the
// check is off: which names point there is not ours to know.
type hostCheck struct {
	on    bool
	names []string // lower case, without port, brackets and final dot
}

func newHostCheck(addr net.Addr, configured string) hostCheck {
	ap, err := netip.ParseAddrPort(addr.String())
	if err != nil || !ap.Addr().Unmap().IsLoopback() {
		return hostCheck{}
	}
	names := []string{"localhost", "127.0.0.1", "::1", ap.Addr().Unmap().String()}
	if name := hostName(configured); name != "" {
		names = append(names, name)
	}
	return hostCheck{on: true, names: names}
}

// allows reports whether a request with that Host header may be answered. An
// empty one is: no browser sends it, old health checkers do.
func (c hostCheck) allows(host string) bool {
	if !c.on || host == "" {
		return true
	}
	host = hostName(host)
	for _, name := range c.names {
		if host == name {
			return true
		}
	}
	return false
}

// hostName strips port, brackets and final dot, and lowers the case.
func hostName(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	return strings.ToLower(strings.TrimSuffix(host, "."))
}
