package proxy

import (
	"net"
	"net/netip"
	"strings"
	"testing"
)

func TestClientAddress(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	f := func(peer string, fields, wantIP string, wantTrusted bool) {
		t.Helper()
		var b fieldBlock
		b.parse([]byte(strings.ReplaceAll(fields, "|", "\r\n") + "\r\n"))
		var c client
		c.read(net.TCPAddrFromAddrPort(netip.MustParseAddrPort(peer)), trusted, &b)
		if c.ip.String() != wantIP || c.trusted != wantTrusted {
			t.Errorf("peer %s, %q: %s, trusted %t, want %s, %t", peer, fields, c.ip, c.trusted, wantIP, wantTrusted)
		}
		if want := netip.MustParseAddrPort(peer).Addr().Unmap().WithZone("").String(); string(c.peer()) != want {
			t.Errorf("peer() = %q, want %q", c.peer(), want)
		}
	}
	f("9.9.9.9:1", "X-Forwarded-For: 1.1.1.1", "9.9.9.9", false)
	f("10.0.0.1:1", "", "10.0.0.1", true)
	f("10.0.0.1:1", "X-Forwarded-For: 6.6.6.6, 1.1.1.1", "1.1.1.1", true) // what stands before it may be forged
	f("10.0.0.1:1", "X-Forwarded-For: 6.6.6.6, 1.1.1.1 , 10.0.0.2", "1.1.1.1", true)
	f("10.0.0.1:1", "X-Forwarded-For: 1.1.1.1|x-forwarded-for: 10.0.0.2,10.0.0.3", "1.1.1.1", true)
	f("10.0.0.1:1", "X-Forwarded-For: 10.0.0.3", "10.0.0.3", true)
	f("10.0.0.1:1", "X-Forwarded-For: 1.1.1.1, unknown", "10.0.0.1", true)
	f("10.0.0.1:1", "X-Forwarded-For: ,, ", "10.0.0.1", true)
	f("10.0.0.1:1", "X-Forwarded-For: 1.1.1.1:4711", "1.1.1.1", true)
	f("[fd00::1]:1", "X-Forwarded-For: [2001:db8::1]:80", "2001:db8::1", true)
	f("[fd00::1]:1", "X-Forwarded-For: 2001:db8::1", "2001:db8::1", true)
	f("[::ffff:10.0.0.1]:1", "X-Forwarded-For: ::ffff:1.1.1.1", "1.1.1.1", true)
	f("[fe80::1%eth0]:1", "", "fe80::1", false)
}

func TestClientWithoutAddress(t *testing.T) {
	var b fieldBlock
	b.parse([]byte("X-Forwarded-For: 1.1.1.1\r\n"))
	var c client
	c.read(&net.UnixAddr{Name: "@", Net: "unix"}, []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}, &b)
	if c.ip.IsValid() || c.trusted || len(c.peer()) != 0 {
		t.Errorf("%+v, want nobody", c)
	}
}
