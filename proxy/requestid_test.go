package proxy

import (
	"regexp"
	"strings"
	"testing"
)

func TestNewRequestID(t *testing.T) {
	form := regexp.MustCompile(`^[0-9a-f]{32}$`)
	seen := map[string]bool{}
	for range 1000 {
		id := newRequestID()
		s := string(id.bytes())
		if !form.MatchString(s) || seen[s] {
			t.Fatalf("id %q is malformed or not new", s)
		}
		seen[s] = true
	}
	if n := testing.AllocsPerRun(100, func() { newRequestID() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestKeepRequestID(t *testing.T) {
	f := func(sent string, want bool) {
		t.Helper()
		id, ok := keepRequestID([]byte(sent))
		if ok != want || ok && string(id.bytes()) != sent {
			t.Errorf("keepRequestID(%q) = %q, %t, want %t", sent, id.bytes(), ok, want)
		}
	}
	f("7f3a-ok_ID.1", true)
	f(strings.Repeat("x", maxRequestID), true)
	f(strings.Repeat("x", maxRequestID+1), false)
	f("", false)
	f("a b", false)
	f("a\x7f", false)
	f("ü", false)
}
