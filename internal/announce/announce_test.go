package announce

import (
	"bufio"
	"bytes"
	"net/netip"
	"testing"

	"github.com/pires/go-proxyproto"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

func TestHeader(t *testing.T) {
	f := func(source, destination, v1, v2 string) {
		t.Helper()
		parse := func(s string) (a netip.AddrPort) {
			if s != "" {
				a = netip.MustParseAddrPort(s)
			}
			return a
		}
		for version, want := range map[string]string{"v1": v1, "v2": v2} {
			got := Header(version, parse(source), parse(destination))
			if string(got) != want {
				t.Errorf("%s from %s to %s:\n%q, want\n%q", version, source, destination, got, want)
			}
			h, err := proxyproto.Read(bufio.NewReader(bytes.NewReader(got)))
			if err != nil || h.Command.IsLocal() != (source == "") {
				t.Errorf("%s from %s: read as %+v, %v", version, source, h, err)
			}
		}
	}
	const v2 = "\r\n\r\n\x00\r\nQUIT\n"
	f("192.0.2.7:1000", "10.0.0.1:443", "PROXY TCP4 192.0.2.7 10.0.0.1 1000 443\r\n",
		v2+"\x21\x11\x00\x0c\xc0\x00\x02\x07\x0a\x00\x00\x01\x03\xe8\x01\xbb")
	f("[::ffff:192.0.2.7]:1000", "[::ffff:10.0.0.1]:443", "PROXY TCP4 192.0.2.7 10.0.0.1 1000 443\r\n",
		v2+"\x21\x11\x00\x0c\xc0\x00\x02\x07\x0a\x00\x00\x01\x03\xe8\x01\xbb")
	f("192.0.2.7:0", "", "PROXY TCP4 192.0.2.7 0.0.0.0 0 0\r\n",
		v2+"\x21\x11\x00\x0c\xc0\x00\x02\x07\x00\x00\x00\x00\x00\x00\x00\x00")
	f("[2001:db8::7]:1000", "[2001:db8::1]:443", "PROXY TCP6 2001:db8::7 2001:db8::1 1000 443\r\n",
		v2+"\x21\x21\x00\x24 \x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x07 \x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x03\xe8\x01\xbb")
	f("192.0.2.7:1000", "[2001:db8::1]:443", "PROXY TCP6 ::ffff:192.0.2.7 2001:db8::1 1000 443\r\n",
		v2+"\x21\x21\x00\x24\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xc0\x00\x02\x07 \x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x03\xe8\x01\xbb")
	f("[fe80::7%eth0]:1", "[fe80::1%eth0]:2", "PROXY TCP6 fe80::7 fe80::1 1 2\r\n",
		v2+"\x21\x21\x00\x24\xfe\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x07\xfe\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x01\x00\x02")
	f("", "10.0.0.1:443", "PROXY UNKNOWN\r\n", v2+"\x20\x00\x00\x00")
}
