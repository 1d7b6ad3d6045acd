package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
)

const (
	unixPrefix = "unix:"
	// UnixClients stands for the clients of a Unix socket in a list of sources.
	UnixClients = "unix"
	// unixPathMax is what sockaddr_un holds on Linux, less the closing zero.
	unixPathMax = 107
)

// listenAddress is where a socket is bound, taken apart.
type listenAddress struct {
	unix string     // path of a Unix socket; empty for TCP
	host string     // as written
	ip   netip.Addr // of host, if it is one or "localhost"; unspecified for an empty host
	port uint16     // 0: the system chooses
}

// parseListenAddress reads host:port, :port, [v6]:port or unix:/path.
func parseListenAddress(text string) (listenAddress, error) {
	if text == "" {
		return listenAddress{}, errors.New(`is missing, write host:port such as :8080, or unix:/path`)
	}
	if path, ok := strings.CutPrefix(text, unixPrefix); ok {
		if path == "" {
			return listenAddress{}, fmt.Errorf("%q names no file, write unix:/path", text)
		}
		if len(path) > unixPathMax {
			return listenAddress{}, fmt.Errorf("the path of a Unix socket has %d bytes, use %d at most", len(path), unixPathMax)
		}
		return listenAddress{unix: filepath.Clean(path)}, nil
	}
	host, portText, err := net.SplitHostPort(text)
	if err != nil {
		return listenAddress{}, fmt.Errorf("%q is not host:port, write it as :8080, 127.0.0.1:8080, [::1]:8080 or unix:/path", text)
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return listenAddress{}, fmt.Errorf("port %q is not a number from 0 to 65535, write it as in :8080", portText)
	}
	a := listenAddress{host: strings.ToLower(host), port: uint16(port)}
	switch {
	case host == "":
		a.ip = netip.IPv6Unspecified()
	case a.host == "localhost":
		a.ip = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	case host == "*":
		return listenAddress{}, fmt.Errorf("%q is not host:port, write :%s for all addresses", text, portText)
	default:
		ip, err := netip.ParseAddr(host)
		if err == nil {
			a.ip = ip.Unmap()
		} else if !isHostname(host) {
			return listenAddress{}, fmt.Errorf("%q is neither an IP address nor a host name, write it as 127.0.0.1:%s", host, portText)
		}
	}
	return a, nil
}

// overlaps tells whether the system would refuse to bind both.
func (a listenAddress) overlaps(b listenAddress) bool {
	if a.unix != "" || b.unix != "" {
		return a.unix == b.unix
	}
	if a.port != b.port || a.port == 0 {
		return false
	}
	return a.covers(b) || b.covers(a)
}

// covers tells whether a takes every connection that b could. The unspecified
// IPv6 address takes IPv4 too, as Go binds it.
func (a listenAddress) covers(b listenAddress) bool {
	switch {
	case !a.ip.IsValid() || !b.ip.IsValid():
		return a.host == b.host || a.ip.IsUnspecified()
	case a.ip == netip.IPv6Unspecified():
		return true
	case a.ip == netip.IPv4Unspecified():
		return b.ip.Is4()
	}
	return a.ip == b.ip
}

// isHostname tells whether text is a DNS name in ASCII. Underscores are let
// through, since names within container networks have them.
func isHostname(text string) bool {
	if len(text) > 253 {
		return false
	}
	for label := range strings.SplitSeq(text, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			if c := label[i]; c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
				return false
			}
		}
	}
	return true
}

// ParsePrefix reads a block of addresses such as 10.0.0.0/8, or one address,
// which is a block of its own. IPv4 within IPv6 becomes IPv4. A block whose
// address has bits beyond its length is an error, since it is not clear what
// was meant.
func ParsePrefix(text string) (netip.Prefix, error) {
	if ip, err := netip.ParseAddr(text); err == nil && ip.Zone() == "" {
		ip = ip.Unmap()
		return netip.PrefixFrom(ip, ip.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is not a block of addresses, write it as 10.0.0.0/8, fd00::/8 or 10.0.0.1", text)
	}
	if masked := prefix.Masked(); masked != prefix {
		return netip.Prefix{}, fmt.Errorf("%q has bits beyond its length, write %s for the block or %s for the address", text, masked, prefix.Addr())
	}
	if prefix.Addr().Is4In6() {
		// Its length is 96 at least, or bits would lie beyond it.
		prefix = netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-96)
	}
	return prefix, nil
}
