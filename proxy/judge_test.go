package proxy

import (
	"strings"
	"testing"
)

func TestValidHost(t *testing.T) {
	f := func(want bool, hosts ...string) {
		t.Helper()
		for _, h := range hosts {
			if got := validHost([]byte(h)); got != want {
				t.Errorf("validHost(%q) = %t, want %t", h, got, want)
			}
		}
	}
	f(true, "a", "a.example.com.", "a.:80", "A-b_c.example:80", "a:", "1.2.3.4:65535", "[::1]", "[2001:db8::1]:8080", "[::ffff:1.2.3.4]:")
	f(false, "", ":", ":80", "a:b", "a:80:80", "a:65536", "a:99999999999999999999", "a b", "a/b", "u@a", "a,b", "a?b", `a\b`, "a%41", "ä", ".", "..", "a..", ".a", "a..b", "a..:80",
		"[::1", "[]", "[:]", "[::1]x", "[::1]:x", "[::1]:65536", "[g::1]", "x[::1]", "::1", strings.Repeat("a", maxHost+1))
}

func TestJudgeMethod(t *testing.T) {
	f := func(want class, methods ...string) {
		t.Helper()
		for _, m := range methods {
			if got := judgeMethod([]byte(m)); got != want {
				t.Errorf("judgeMethod(%q) = %v, want %v", m, got, want)
			}
		}
	}
	f(ok, "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "M-SEARCH", "purge", "Custom")
	f(noTunnel, "CONNECT", "TRACE")
	f(badMethod, "get", "Post", "hEAD", "trace", "Connect", "options", "patch", "delete", "put")
}
