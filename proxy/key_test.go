package proxy

import (
	"net/netip"
	"strings"
	"testing"
)

func TestKeyOf(t *testing.T) {
	r := &request{}
	r.fields.parse([]byte("X-User: u1\r\nx-user: u2\r\nCookie: a=1; sid=\"quoted\"\r\ncookie: sid=second; empty=\r\n"))
	r.setTarget([]byte("/p/x%20y?room=&room2=2&room=a%20b+c&x=room=9"))
	r.client.ip = netip.MustParseAddr("1.2.3.4")
	f := func(spec, want string) {
		t.Helper()
		k, err := parseKey(spec)
		if err != nil {
			t.Fatal(err)
		}
		var buf [16]byte
		if got := string(k.of(r, &buf)); got != want {
			t.Errorf("key %q = %q, want %q", spec, got, want)
		}
	}
	f("", "")
	f("path", "/p/x%20y")
	f("header:X-USER", "u1")
	f("header:X-None", "")
	f("query:room", "")
	f("query:room2", "2")
	f("query:x", "room=9")
	f("query:roo", "")
	f("cookie:sid", "quoted")
	f("cookie:a", "1")
	f("cookie:empty", "")
	f("cookie:none", "")
	f("source_ip", strings.Repeat("\x00", 10)+"\xff\xff\x01\x02\x03\x04")

	r.setTarget([]byte("/p?room=a%20b+c"))
	f("query:room", "a%20b+c") // as sent
	r.client.ip = netip.Addr{}
	f("source_ip", "")
}

func TestParseKeyRefuses(t *testing.T) {
	f := func(spec, want string) {
		t.Helper()
		if _, err := parseKey(spec); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("parseKey(%q): %v, want %q", spec, err, want)
		}
	}
	f("header", "header needs a name")
	f("query:", "query needs a name")
	f("colour:red", `"colour" is none of`)
}

func TestSetTarget(t *testing.T) {
	f := func(in, host, target, path, query string, absolute bool) {
		t.Helper()
		r := &request{host: []byte("field")}
		r.setTarget([]byte(in))
		if string(r.host) != host || string(r.target) != target || string(r.path) != path || string(r.query) != query || r.absolute != absolute {
			t.Errorf("%q: host %q target %q path %q query %q absolute %t", in, r.host, r.target, r.path, r.query, r.absolute)
		}
	}
	f("/a/b?c=d?e", "field", "/a/b?c=d?e", "/a/b", "c=d?e", false)
	f("/a?", "field", "/a?", "/a", "", false)
	f("/a?u=http://x/", "field", "/a?u=http://x/", "/a", "u=http://x/", false)
	f("*", "field", "*", "*", "", false)
	f("http://h:8/a?b", "h:8", "/a?b", "/a", "b", true)
	f("http://h", "h", "", "", "", true)
	f("http://user@h?q", "user@h", "?q", "", "q", true) // refused later
}
