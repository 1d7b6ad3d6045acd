package proxy

import (
	"bytes"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/internal/testkit"
)

func TestAppendPlain(t *testing.T) {
	f := func(path, want string) {
		t.Helper()
		got, ok := appendPlain(nil, []byte(path))
		if !ok || string(got) != want {
			t.Errorf("appendPlain(%q) = %q, %t; want %q", path, got, ok, want)
		}
		if isPlain([]byte(path)) && path != want {
			t.Errorf("%q is not plain", path)
		}
		if again, _ := appendPlain(nil, got); string(again) != want {
			t.Errorf("appendPlain(%q) = %q", got, again)
		}
	}
	f("/", "/")
	f("/a/b", "/a/b")
	f("/a/b/", "/a/b/")
	f("/a.b/.c", "/a.b/.c")
	f("//a///b//", "/a/b/")
	f("/a/./b/.", "/a/b/")
	f("/%61dmin", "/admin")
	f("/a%2Fb", "/a/b")
	f("/a%5Cb", "/a/b")
	f("/a;x=1/b;y", "/a/b")
	f("/caf%C3%A9", "/café")

	f("/a/..b/c../...", "/a/..b/c../...")

	for _, doubtful := range []string{
		"/a%00b", "/..", "/../a", "/a/..", "/a/../b", "/a/%2e%2E/b", "/a%2f..%2Fb", `/a\..\b`, "/a%5c.%2e%5Cb",
		"/..;", "/a/..;x/b", "/a;x%2F..%2Fb", "/a/..%3bx", "/a//.%2e/",
	} {
		if got, ok := appendPlain(nil, []byte(doubtful)); ok || isPlain([]byte(doubtful)) {
			t.Errorf("appendPlain(%q) = %q", doubtful, got)
		}
	}
	for _, malformed := range []string{"/%", "/%4", "/%zz", "/%4z"} {
		if got, ok := appendPlain(nil, []byte(malformed)); !ok || string(got) != malformed {
			t.Errorf("appendPlain(%q) = %q, %t", malformed, got, ok)
		}
	}
}

func FuzzAppendPlain(f *testing.F) {
	for _, s := range []string{"/", "/a/../b", "/%2e%2e/x;y/..;/z", `\..\%5c//`, "/%00", "*"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, path []byte) {
		got, ok := appendPlain(nil, path)
		if !ok {
			return
		}
		if got[0] != '/' {
			t.Fatalf("appendPlain(%q) = %q", path, got)
		}
		if bytes.Contains(got, []byte("//")) {
			t.Fatalf("appendPlain(%q) = %q has an empty segment", path, got)
		}
		if bytes.Contains(append(got, '/'), []byte("/../")) {
			t.Fatalf("appendPlain(%q) = %q climbs", path, got)
		}
		if len(path) > 0 && path[0] == '/' && isPlain(path) && string(got) != string(path) {
			t.Fatalf("%q is taken for plain, and is %q", path, got)
		}
	})
}

// TestAmbiguousPath: a path that leads to one route as it is written, and to
// another as a backend may understand it, is refused; every other is forwarded
// as it came.
func TestAmbiguousPath(t *testing.T) {
	b := testkit.StartBackend(t, func(ctx *fasthttp.RequestCtx) { ctx.SetBody(ctx.RequestURI()) })
	cfg := configOf(b.Addr)
	for _, path := range []string{"/admin", "/ws/", "/stra%C3%9Fe"} {
		r := cfg.Routes[0]
		r.Name, r.Path = "at "+path, path
		cfg.Routes = append(cfg.Routes, r)
	}
	rig := start(t, cfg)
	f := func(path string, passes bool) {
		t.Helper()
		got := rig.exchange(t, "GET "+path+" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
		if passes {
			if !strings.HasPrefix(got, "HTTP/1.1 200 OK\r\n") || !strings.HasSuffix(got, "\r\n\r\n"+path) {
				t.Errorf("%s: got %q", path, got)
			}
			return
		}
		expectRefusal(t, got, "400 Bad Request", "bad_path")
	}
	f("/%61dmin", false)
	f("/x/../admin", false)
	f("/admin/../x", false)
	f("/ws/..;/admin", false)
	f("//admin", false)
	f(`/ws/..\admin`, false)
	f("/ws%2Froom", false)
	f("/ws%2F..%2Fadmin", false)
	f("/admin;x=1", false)
	f("/a%00", false)
	f("/admin/a%2Fb", true)
	f("/admin//x/y", true)
	f("/ws/room%2F7", true)
	f("/a/b//c/%2e", true)
	f("/a?x=../y/..", true)
	f("/a/../b", false)
	f("/admin/../admin", false)
	f("/%61dmin/..;/y", false)
	f("/x/../admin/..;/y", false)
	f("/%61dmin/..%5cy", false)
	f("/%61dmin/%5c..%5c..%5cy", false)
	f("/x/../admin/index.php/..;/..;/y", false)
	f("/%61dmin/secret;%2f..%2f..%2fy", false)
	f("/stra%C3%9Fe", true)
	f("/stra%c3%9fe", false)
	f("/100%", true)

	cfg.Routes = append(cfg.Routes, config.Route{Name: "again", Path: "/%61dmin", Pool: "pool"})
	if _, err := Compile(cfg, rig.proxy.runtime.Load().pools); err == nil {
		t.Error("two routes with paths that mean the same are compiled")
	}
}
