package admin

import (
	"slices"
	"testing"
)

func TestFind(t *testing.T) {
	list := []endpoint{
		{method: "GET", path: "/pools"},
		{method: "GET", path: "/pools/{pool}"},
		{method: "POST", path: "/pools/{pool}/drain"},
		{method: "GET", path: "/sockets/{id}"},
		{method: "DELETE", path: "/sockets/{id}"},
	}
	f := func(method, path, want string, values ...string) {
		t.Helper()
		e, p, methods := find(list, method, path)
		got := ""
		switch {
		case e != nil:
			got = e.method + " " + e.path
		case methods != nil:
			got = "other"
		}
		if got != want || !slices.Equal(p, values) {
			t.Errorf("%s %s: %q %q, want %q %q", method, path, got, p, want, values)
		}
	}

	f("GET", "/pools", "GET /pools")
	f("HEAD", "/pools", "GET /pools")
	f("GET", "/pools/", "")
	f("GET", "/pools/a", "GET /pools/{pool}", "a")
	f("GET", "/pools/a%2Fb", "GET /pools/{pool}", "a/b")
	f("GET", "/pools/10.0.0.1:80", "GET /pools/{pool}", "10.0.0.1:80")
	f("GET", "/pools/%zz", "")
	f("POST", "/pools/a/drain", "POST /pools/{pool}/drain", "a")
	f("POST", "/pools//drain", "")
	f("GET", "/pools/a/drain", "other")
	f("HEAD", "/pools/a/drain", "other")
	f("PUT", "/sockets/7", "other")
	f("DELETE", "/sockets/7", "DELETE /sockets/{id}", "7")
	f("GET", "/nothing", "")

	if _, _, methods := find(list, "PUT", "/sockets/7"); !slices.Equal(methods, []string{"GET", "DELETE", "HEAD"}) {
		t.Errorf("methods %q", methods)
	}
}
