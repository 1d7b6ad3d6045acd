package listener

import (
	"encoding/binary"
	"net"
	"net/netip"
)

// addrKey is what limits per address count: an IPv4 address or an IPv6 /64.
type addrKey uint64

// noAddr is the key of connections without an IP address.
const noAddr addrKey = 0

// ipv4Block marks keys that hold an IPv4 address. It is part of the multicast
// range ff00::/8, from which no connection comes.
const ipv4Block = 0xffff_ffff << 32

// keyOf returns the key under which ip is counted, noAddr for the zero Addr.
func keyOf(ip netip.Addr) addrKey {
	switch {
	case !ip.IsValid():
		return noAddr
	case ip.Is4() || ip.Is4In6():
		b := ip.As4()
		return ipv4Block | addrKey(binary.BigEndian.Uint32(b[:]))
	}
	b := ip.As16()
	if k := addrKey(binary.BigEndian.Uint64(b[:8])); k != noAddr {
		return k
	}
	// ::/64, which holds ::1, must not look like no address.
	return 1
}

// addrOf returns the IP address in a, IPv4 within IPv6 as IPv4; the zero Addr
// if a has none.
func addrOf(a net.Addr) netip.Addr {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	ip, _ := netip.AddrFromSlice(tcp.IP)
	ip = ip.Unmap()
	if tcp.Zone != "" {
		ip = ip.WithZone(tcp.Zone)
	}
	return ip
}
