package config

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"
)

// FuzzValues: a value that is taken means one thing, so written anew it is read
// as the same.
func FuzzValues(f *testing.F) {
	for _, s := range []string{
		"16KiB", "9223372036854775807", "8589934591GiB", "1 MiB", "-1", "10.0.0.0/8", "::ffff:10.0.0.0/104", "fe80::1%eth0", "10.0.0.1/8",
		"https://*.example.com:8443", "HTTPS://Game.Example.com", "https://[::1]:443", "null", "*", "200-399,404", "100 - 200", "99", ":8080", "[::1]:80",
		"unix:/run/x.sock", "unix:", "localhost:0", "*:80", "http://u:p@a", "ws://A:9000/", "wss://[fd00::1]", "http://a:0", "//a", "http://a/b?c#d", "",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if b, err := ParseBytes(text); err == nil {
			if again, err := ParseBytes(b.String()); err != nil || again != b || b < 0 {
				t.Errorf("size %q is %d, written %s, read as %d, %v", text, b, b, again, err)
			}
		}
		if p, err := ParsePrefix(text); err == nil {
			if again, err := ParsePrefix(p.String()); err != nil || again != p || !p.IsValid() || p.Addr().Is4In6() || !p.Contains(p.Addr()) {
				t.Errorf("block %q is %v, read as %v, %v", text, p, again, err)
			}
		}
		if o, err := ParseOrigin(text); err == nil {
			below := ""
			if o.Below {
				below = "*."
			}
			again, err := ParseOrigin(o.Scheme + "://" + below + o.Host)
			if err != nil || again != o || o.Host != strings.ToLower(o.Host) {
				t.Errorf("origin %q is %+v, read as %+v, %v", text, o, again, err)
			}
		}
		if s, err := ParseStatuses(text); err == nil {
			n := 0
			for status := -1; status < 1000; status++ {
				if s.Has(status) {
					n++
				}
			}
			if n == 0 || s.Has(99) || s.Has(600) {
				t.Errorf("statuses %q are %d", text, n)
			}
		}
		if a, err := parseListenAddress(text); err == nil {
			if !a.overlaps(a) && a.port != 0 || (a.unix == "") == (a.ip == netip.Addr{} && a.host == "") {
				t.Errorf("address %q is %+v", text, a)
			}
		}
		if scheme, address, err := parseTarget(text); err == nil {
			host, port, err := net.SplitHostPort(address)
			n, portErr := strconv.ParseUint(port, 10, 16)
			if err != nil || portErr != nil || n == 0 || host == "" || scheme != "http" && scheme != "https" {
				t.Errorf("target %q is %q at %q", text, scheme, address)
			}
			if s2, a2, err := parseTarget(scheme + "://" + address); err != nil || s2 != scheme || a2 != address {
				t.Errorf("target %q is %q at %q, read as %q at %q, %v", text, scheme, address, s2, a2, err)
			}
		}
	})
}
