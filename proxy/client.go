package proxy

import (
	"bytes"
	"net"
	"net/netip"
	"unsafe"
)

// client is who sent a request: the other end of the connection and, if that
// is a trusted proxy, the client behind it.
type client struct {
	// ip is the address that a request is attributed to: the peer's, or the
	// last one in X-Forwarded-For that is not a trusted proxy itself. Invalid
	// for a peer on a Unix socket.
	ip      netip.Addr
	trusted bool

	text [48]byte // the peer's address
	len  uint8
}

// read fills c from the connection's remote address and the request's fields.
func (c *client) read(remote net.Addr, trusted []netip.Prefix, b *fieldBlock) {
	*c = client{ip: addressOf(remote)}
	if !c.ip.IsValid() {
		return
	}
	c.len = uint8(len(c.ip.AppendTo(c.text[:0])))
	if len(trusted) == 0 || !contains(trusted, c.ip) {
		return
	}
	c.trusted = true
	for i := len(b.fields) - 1; i >= 0; i-- {
		if f := &b.fields[i]; f.kind == forwardedFor && !c.walk(b.valueOf(f), trusted) {
			return
		}
	}
}

// walk goes through a list of addresses from its end, as long as each is a
// trusted proxy's. It returns false when the client was found, or something
// that is no address: what stands before it cannot be trusted.
func (c *client) walk(list []byte, trusted []netip.Prefix) (on bool) {
	for len(list) > 0 {
		last := list
		if i := bytes.LastIndexByte(list, ','); i >= 0 {
			last, list = list[i+1:], list[:i]
		} else {
			list = nil
		}
		last = bytes.TrimSpace(last)
		if len(last) == 0 {
			continue
		}
		ip, ok := parseAddress(last)
		if !ok {
			return false
		}
		c.ip = ip
		if !contains(trusted, ip) {
			return false
		}
	}
	return true
}

// peer returns the text of the peer's address, empty if it has none.
func (c *client) peer() []byte { return c.text[:c.len] }

// addressOf returns a connection's remote address, without a zone; invalid for
// anything but IP.
func addressOf(a net.Addr) netip.Addr {
	switch a := a.(type) {
	case *net.TCPAddr:
		return a.AddrPort().Addr().Unmap().WithZone("")
	case interface{ AddrPort() netip.AddrPort }:
		return a.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}

func contains(prefixes []netip.Prefix, ip netip.Addr) bool {
	for _, p := range prefixes {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// parseAddress reads one element of X-Forwarded-For: an address, or one with a
// port as some proxies write it.
func parseAddress(b []byte) (netip.Addr, bool) {
	// The string lives for this call only: the results keep none of it, and
	// the error, which does, is dropped.
	s := unsafe.String(unsafe.SliceData(b), len(b))
	ip, err := netip.ParseAddr(s)
	if err != nil {
		var ap netip.AddrPort
		if ap, err = netip.ParseAddrPort(s); err != nil {
			return netip.Addr{}, false
		}
		ip = ap.Addr()
	}
	return ip.Unmap().WithZone(""), true
}
