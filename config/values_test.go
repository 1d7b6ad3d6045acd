package config

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestParseBytes(t *testing.T) {
	f := func(text string, want Bytes, wantText string) {
		t.Helper()
		got, err := ParseBytes(text)
		if err != nil || got != want || got.String() != wantText {
			t.Errorf("%q is %d, written %s, %v; want %d, written %s", text, got, got, err, want, wantText)
		}
	}
	f("0", 0, "0")
	f("0GiB", 0, "0")
	f("512", 512, "512B")
	f("512B", 512, "512B")
	f("1024", 1024, "1KiB")
	f("16KiB", 16<<10, "16KiB")
	f("16 KiB", 16<<10, "16KiB")
	f("1536KiB", 1536<<10, "1536KiB")
	f("2048MiB", 2<<30, "2GiB")

	for _, bad := range []string{"", "KiB", "1.5KiB", "-1", "16KB", "16k", "16kib", "1TiB", "16  KiB", "x", "9223372036854775808", "8589934592GiB"} {
		if got, err := ParseBytes(bad); err == nil {
			t.Errorf("%q is taken as %d", bad, got)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		want := Bytes(rapid.Int64Min(0).Draw(t, "size"))
		if got, err := ParseBytes(want.String()); err != nil || got != want {
			t.Fatalf("%s is read as %d, %v", want, got, err)
		}
	})
}

func TestTarget(t *testing.T) {
	f := func(url, want string) {
		t.Helper()
		scheme, address := Backend{URL: url}.Target()
		if got := scheme + " " + address; got != want {
			t.Errorf("%s is %s, want %s", url, got, want)
		}
	}
	f("http://10.0.0.1:9000", "http 10.0.0.1:9000")
	f("http://10.0.0.1", "http 10.0.0.1:80")
	f("ws://10.0.0.1", "http 10.0.0.1:80")
	f("HTTP://Game.Example/", "http game.example:80")
	f("http://[::1]:9000", "http [::1]:9000")
	f("http://[fe80::1%25eth0]", "http [fe80::1%eth0]:80")
	f("http://a_b:080", "http a_b:80")
	f("https://10.0.0.1", "https 10.0.0.1:443")
	f("WSS://Game.Example", "https game.example:443")
	f("wss://10.0.0.1:9000", "https 10.0.0.1:9000")

	bad := func(url, want string) {
		t.Helper()
		_, _, err := parseTarget(url)
		if err == nil || err.Error() != want {
			t.Errorf("%s\n got %v\nwant %s", url, err, want)
		}
		if scheme, address := (Backend{URL: url}).Target(); scheme != "" || address != "" {
			t.Errorf("%s has the target %s, %s", url, scheme, address)
		}
	}
	bad("", "is missing, write it as http://host:port")
	bad("10.0.0.1:9000", `"10.0.0.1:9000" has no scheme, write http://10.0.0.1:9000`)
	bad("//a", `"//a" has no scheme, write http://a`)
	bad("ftp://a", `scheme "ftp" is not supported, use one of http, https, ws, wss`)
	bad("http://joe:hunter2@a", "holds a user name or password, write http://host:port and let clients send their own Authorization")
	bad("http://joe:p%zz@a", "holds a user name or password, write http://host:port and let clients send their own Authorization")
	bad("http://a/ws", `path "/ws" is not taken from a backend's URL, write http://a and use strip_prefix of the route to change paths`)
	bad("wss://a/ws", `path "/ws" is not taken from a backend's URL, write https://a and use strip_prefix of the route to change paths`)
	bad("https://a:0", `port "0" is not a number from 1 to 65535, write it as in https://a:9000`)
	bad("http://a?x=1", `"http://a?x=1" has a query or fragment, write http://a`)
	bad("http://a/?", `"http://a/?" has a query or fragment, write http://a`)
	bad("http://a#x", `"http://a#x" has a query or fragment, write http://a`)
	bad("http://", `"http://" names no host, write it as http://host:port`)
	bad("http://:80", `"http://:80" names no host, write it as http://host:port`)
	bad("http://a:b", `"http://a:b" is not a URL, write it as http://host:port`)
	bad("http://a:0", `port "0" is not a number from 1 to 65535, write it as in http://a:9000`)
	bad("http://a:65536", `port "65536" is not a number from 1 to 65535, write it as in http://a:9000`)
	bad("http://a..b", `"a..b" is neither an IP address nor a host name, write it as http://host:port`)
}

func TestParseStatuses(t *testing.T) {
	f := func(text string, in, out []int) {
		t.Helper()
		s, err := ParseStatuses(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
		}
		for _, status := range in {
			if !s.Has(status) {
				t.Errorf("%q lacks %d", text, status)
			}
		}
		for _, status := range out {
			if s.Has(status) {
				t.Errorf("%q has %d", text, status)
			}
		}
	}
	f("200", []int{200}, []int{0, 199, 201})
	f("200-399", []int{200, 301, 399}, []int{199, 400})
	f("200, 204,300-302", []int{200, 204, 300, 302}, []int{201, 299, 303})
	for _, bad := range []string{"", ",", "99", "600", "300-200", "2xx", "200-", "-200", "200-300-400"} {
		if _, err := ParseStatuses(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestParsePrefix(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		got, err := ParsePrefix(text)
		if err != nil || got.String() != want {
			t.Errorf("%q is %s, %v; want %s", text, got, err, want)
		}
	}
	f("10.0.0.0/8", "10.0.0.0/8")
	f("10.0.0.1", "10.0.0.1/32")
	f("::1", "::1/128")
	f("0.0.0.0/0", "0.0.0.0/0")
	f("::/0", "::/0")
	f("::ffff:10.0.0.1", "10.0.0.1/32")
	f("::ffff:10.0.0.0/104", "10.0.0.0/8")

	bad := func(text, want string) {
		t.Helper()
		if got, err := ParsePrefix(text); err == nil || err.Error() != want {
			t.Errorf("%q\n got %s, %v\nwant %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "x", "10.0.0/8", "10.0.0.0/33", "fe80::1%eth0", "fe80::1%eth0/64"} {
		bad(text, fmt.Sprintf("%q is not a block of addresses, write it as 10.0.0.0/8, fd00::/8 or 10.0.0.1", text))
	}
	bad("10.0.0.1/8", `"10.0.0.1/8" has bits beyond its length, write 10.0.0.0/8 for the block or 10.0.0.1 for the address`)
	bad("::ffff:10.0.0.0/90", `"::ffff:10.0.0.0/90" has bits beyond its length, write ::ffc0:0:0/90 for the block or ::ffff:10.0.0.0 for the address`)
}

func TestListenAddress(t *testing.T) {
	bad := func(text, want string) {
		t.Helper()
		if _, err := parseListenAddress(text); err == nil || err.Error() != want {
			t.Errorf("%q\n got %v\nwant %s", text, err, want)
		}
	}
	bad("8080", `"8080" is not host:port, write it as :8080, 127.0.0.1:8080, [::1]:8080 or unix:/path`)
	bad("::1:80", `"::1:80" is not host:port, write it as :8080, 127.0.0.1:8080, [::1]:8080 or unix:/path`)
	bad(":http", `port "http" is not a number from 0 to 65535, write it as in :8080`)
	bad(":65536", `port "65536" is not a number from 0 to 65535, write it as in :8080`)
	bad("*:80", `"*:80" is not host:port, write :80 for all addresses`)
	bad("a b:80", `"a b" is neither an IP address nor a host name, write it as 127.0.0.1:80`)
	bad("unix:", `"unix:" names no file, write unix:/path`)
	bad("unix:/"+strings.Repeat("a", 107), "the path of a Unix socket has 108 bytes, use 107 at most")

	overlaps := func(a, b string, want bool) {
		t.Helper()
		x, errX := parseListenAddress(a)
		y, errY := parseListenAddress(b)
		if errX != nil || errY != nil {
			t.Fatal(errX, errY)
		}
		if x.overlaps(y) != want || y.overlaps(x) != want {
			t.Errorf("%s overlaps %s: %v and %v, want %v", a, b, x.overlaps(y), y.overlaps(x), want)
		}
	}
	overlaps(":80", ":80", true)
	overlaps(":80", ":81", false)
	overlaps(":80", "0.0.0.0:80", true)
	overlaps(":80", "[::]:80", true)
	overlaps(":80", "10.0.0.1:80", true)
	overlaps(":80", "game.example:80", true)
	overlaps("[::]:80", "10.0.0.1:80", true)
	overlaps("0.0.0.0:80", "[::1]:80", false)
	overlaps("0.0.0.0:80", "game.example:80", true)
	overlaps("10.0.0.1:80", "10.0.0.1:80", true)
	overlaps("10.0.0.1:80", "[::ffff:10.0.0.1]:80", true)
	overlaps("10.0.0.1:80", "10.0.0.2:80", false)
	overlaps("10.0.0.1:80", "game.example:80", false)
	overlaps("Game.example:80", "game.example:80", true)
	overlaps("localhost:80", "127.0.0.1:80", true)
	overlaps(":0", ":0", false)
	overlaps("unix:/a", "unix:/a", true)
	overlaps("unix:/a", "unix:/b", false)
	overlaps("unix:/a", ":80", false)
}

func TestIsHostname(t *testing.T) {
	for _, good := range []string{"a", "a.b", "a-b.c_d", "1.2.3", strings.Repeat("a", 63) + ".b"} {
		if !isHostname(good) {
			t.Errorf("%q is refused", good)
		}
	}
	for _, bad := range []string{"", ".", "a.", ".a", "a..b", "-a", "a-", "a b", "é", strings.Repeat("a", 64), strings.Repeat("a.", 127) + "b"} {
		if isHostname(bad) {
			t.Errorf("%q is taken", bad)
		}
	}
}

// No way of printing a configuration shows what signs its cookies.
func TestSecret(t *testing.T) {
	c := mustParse(t, "pools: {web: {sticky: {by: cookie, name: a, secret: correct-horse-battery}, backends: [{url: 'http://a'}]}}")
	sticky := *c.Pools["web"].Sticky
	if string(sticky.Secret) != "correct-horse-battery" {
		t.Fatalf("the secret is %q", string(sticky.Secret))
	}
	asJSON, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "sticky", sticky)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "sticky", sticky)
	for _, text := range []string{
		fmt.Sprintf("%v %+v %#v %s %q", sticky, sticky, sticky, sticky.Secret, sticky.Secret),
		string(asJSON), log.String(),
	} {
		if strings.Contains(text, "horse") || strings.Contains(text, fmt.Sprintf("%x", "horse")) {
			t.Errorf("shows the secret: %s", text)
		}
		if !strings.Contains(text, redacted) {
			t.Errorf("does not tell that there is a secret: %s", text)
		}
	}
	if got := fmt.Sprintf("%v%#v", Secret(""), Secret("")); got != `""` {
		t.Errorf("no secret prints as %s", got)
	}
}
