// Package announce writes the headers of the PROXY protocol, with which
// backends are told whose connection one is. Package listener reads them.
package announce

import (
	"net"
	"net/netip"

	"github.com/pires/go-proxyproto"
)

// Header returns the header of a connection from source to destination, in
// version "v1" or "v2". A source that is not valid, such as a client on a Unix
// socket, is not named: v1 then says UNKNOWN and v2 LOCAL, which every receiver
// takes.
func Header(version string, source, destination netip.AddrPort) []byte {
	if !source.IsValid() {
		return Local(version)
	}
	h := proxyproto.Header{Version: 1, Command: proxyproto.PROXY, TransportProtocol: proxyproto.TCPv4}
	if version == "v2" {
		h.Version = 2
	}
	from, to := source.Addr().Unmap().WithZone(""), destination.Addr().Unmap().WithZone("")
	switch {
	case !to.IsValid() && from.Is4():
		to = netip.IPv4Unspecified()
	case !to.IsValid():
		to = netip.IPv6Unspecified()
	}
	if !from.Is4() || !to.Is4() { // one family for both
		h.TransportProtocol = proxyproto.TCPv6
		from, to = netip.AddrFrom16(from.As16()), netip.AddrFrom16(to.As16())
	}
	h.SourceAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, source.Port()))
	h.DestinationAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(to, destination.Port()))
	b, err := h.Format()
	if err != nil { // two addresses of one family: there is nothing to refuse
		return Local(version)
	}
	return b
}

// Local returns the header of a connection that is nobody else's, such as a
// probe's.
func Local(version string) []byte {
	if version == "v2" {
		return []byte("\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00")
	}
	return []byte("PROXY UNKNOWN\r\n")
}
