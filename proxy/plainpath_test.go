package proxy

import (
	"bytes"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
	"pgregory.net/rapid"

	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/internal/testkit"
)

func TestAppendPlain(t *testing.T) {
	f := func(path, want string) {
		t.Helper()
		got, _, ok := appendPlain(nil, []byte(path))
		if !ok || string(got) != want {
			t.Errorf("appendPlain(%q) = %q, %t; want %q", path, got, ok, want)
		}
		if isPlain([]byte(path)) && path != want {
			t.Errorf("%q is not plain", path)
		}
		if again, _, _ := appendPlain(nil, got); string(again) != want {
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
	f("/a;x/b;%3b;", "/a/b")
	f("/;/a", "/a")
	f("/.;x/a", "/a")
	f("/%3b/a", "/a")
	f("/a%3fb%2fc", "/a/c")
	f("/a%23b/c", "/a/c")
	f("/%2561", "/a")
	f("/a%25252Fb", "/a/b")
	f("/%%361", "/a")
	f("/%2%3561", "/a")
	f("/caf%C3%A9", "/café")

	f("/a/..b/c../...", "/a/..b/c../...")

	for _, doubtful := range []string{
		"/a%00b", "/..", "/../a", "/a/..", "/a/../b", "/a/%2e%2E/b", "/a%2f..%2Fb", `/a\..\b`, "/a%5c.%2e%5Cb",
		"/a%0ab", "/a%2509", "/a%7f", "/%252e./b", "/;%2fa/b", `/;\a/b`, "/a%3bb%5cc", "/a/;b=%252f", "//a%2fb/c", `//a\b/c`,
		"/..;", "/a/..;x/b", "/a;x%2F..%2Fb", "/a/..%3bx", "/a//.%2e/",
	} {
		if got, _, ok := appendPlain(nil, []byte(doubtful)); ok || isPlain([]byte(doubtful)) {
			t.Errorf("appendPlain(%q) = %q", doubtful, got)
		}
	}
	h := func(path, want string) {
		t.Helper()
		got, host, ok := appendPlain(nil, []byte(path))
		if !ok || host == 0 || string(got[host:]) != want {
			t.Errorf("appendPlain(%q) = %q, %d, %t; want %q behind the host", path, got, host, ok, want)
		}
	}
	h("//a", "")
	h("//a/", "/")
	h("//a/b/c", "/b/c")
	h("////a/b", "/b")
	h(`/\a//b`, "/b")
	h("/%2fa/b", "/b")
	h("/.//a;x/b", "/b")
	for _, path := range []string{"/", "/a//b", "//", "/./"} {
		if got, host, ok := appendPlain(nil, []byte(path)); !ok || host != 0 {
			t.Errorf("appendPlain(%q) = %q, %d, %t; want no host", path, got, host, ok)
		}
	}

	for _, malformed := range []string{"/%", "/%4", "/%zz", "/%4z"} {
		if got, _, ok := appendPlain(nil, []byte(malformed)); !ok || string(got) != malformed {
			t.Errorf("appendPlain(%q) = %q, %t", malformed, got, ok)
		}
	}
}

func FuzzAppendPlain(f *testing.F) {
	for _, s := range []string{"/", "/a/../b", "/%2e%2e/x;y/..;/z", `\..\%5c//`, "/%00", "*"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, path []byte) {
		got, host, ok := appendPlain(nil, path)
		if !ok {
			return
		}
		if got[0] != '/' {
			t.Fatalf("appendPlain(%q) = %q", path, got)
		}
		if bytes.Contains(got, []byte("//")) {
			t.Fatalf("appendPlain(%q) = %q has an empty segment", path, got)
		}
		if host > 0 && host < len(got) && got[host] != '/' || host > len(got) {
			t.Fatalf("appendPlain(%q) = %q, with a host of %d", path, got, host)
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
	f("//cdn/x;y=1/z", true)
	f("//cdn/admin", false)
	f("/;%2fx/admin", false)
	f("/x;%2fx/y", false)
	f("/x%3f%2fy", true)
	f("/%2561dmin", false)
	f("/x%252Fy", true)
	f("/admin%0a", false)
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

// reader is how a backend may understand a path.
type reader struct {
	host      bool // "//x" begins with a host
	cutEarly  bool // parameters are cut before anything is decoded
	turnEarly bool // and backslashes turned
	decode    int  // so many times
	turn      bool // backslashes are turned behind that
	cut       bool // parameters are cut behind that
	end       bool // what "?" and "#" have become ends the path
	merge     bool // empty segments are left out
	dots      bool // "." is left out, and ".." resolved
	whole     bool // an encoded slash is a part of its segment
}

func (r reader) read(path string) string {
	if r.turnEarly {
		path = strings.ReplaceAll(path, `\`, "/")
	}
	if r.host && strings.HasPrefix(path, "//") {
		_, rest, _ := strings.Cut(strings.TrimLeft(path, "/"), "/")
		path = "/" + rest
	}
	segments := strings.Split(path, "/")
	for i, s := range segments {
		if r.cutEarly {
			s, _, _ = strings.Cut(s, ";")
		}
		for range r.decode {
			s = decodedOnce(s)
		}
		if r.whole {
			s = strings.ReplaceAll(s, "/", "\x01")
		}
		segments[i] = s
	}
	path = strings.Join(segments, "/")
	if r.turn {
		path = strings.ReplaceAll(path, `\`, "/")
	}
	if r.end {
		if i := strings.IndexAny(path, "?#"); i >= 0 {
			path = path[:i]
		}
	}
	segments = strings.Split(strings.TrimPrefix(path, "/"), "/")
	var kept []string
	for i, s := range segments {
		if r.cut {
			s, _, _ = strings.Cut(s, ";")
		}
		last := i == len(segments)-1
		if s == ".." && r.dots {
			kept = kept[:max(0, len(kept)-1)]
			if last {
				kept = append(kept, "")
			}
			continue
		}
		if s == "." && r.dots {
			s = ""
			if !last {
				continue
			}
		}
		if s != "" || last || !r.merge {
			kept = append(kept, s)
		}
	}
	return "/" + strings.Join(kept, "/")
}

func decodedOnce(s string) string {
	var b []byte
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) && unhex(s[i+1]) >= 0 && unhex(s[i+2]) >= 0 {
			b = append(b, byte(unhex(s[i+1])<<4|unhex(s[i+2])))
			i += 2
			continue
		}
		b = append(b, s[i])
	}
	return string(b)
}

// However a backend reads a path that passes, it leads to the same route.
func TestReadersAgree(t *testing.T) {
	var rt Runtime
	for _, path := range []string{"/", "/admin", "/admin/x", "/x/admin", "/ws/"} {
		if err := rt.addRoute(&route{name: path}, nil, path); err != nil {
			t.Fatal(err)
		}
	}
	pieces := []string{
		"/", "/", "/", "/admin", "admin", "x", "ws", `\`, "%2f", "%5C", "%252F", "%25252f", "%255c", ";", ";x", "%3b", "%253B", ".", "%2e", "%252e", "..",
		"%61dmin", "%2561dmin", "%3f", "%23", "%", "%25", "2f", "5c",
	}
	passed := 0
	rapid.Check(t, func(t *rapid.T) {
		path := "/" + strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 0, 8).Draw(t, "path"), "")
		x := exchange{rt: &rt}
		x.req.path = []byte(path)
		x.route = rt.router.find(nil, x.req.path)
		if !isPlain(x.req.path) && !x.surely() {
			return
		}
		passed++
		for bits := range 3 << 9 {
			is := func(bit int) bool { return bits>>bit&1 == 1 }
			r := reader{is(0), is(1), is(2), bits >> 9, is(3), is(4), is(5), is(6), is(7), is(8)}
			if got := r.read(path); rt.router.find(nil, []byte(got)) != x.route {
				t.Fatalf("%s is routed to %s; %+v reads it as %s", path, x.route.name, r, got)
			}
		}
	})
	if passed == 0 {
		t.Error("no path has passed")
	}
}

func TestSurelyAllocatesNothing(t *testing.T) {
	var rt Runtime
	only := &route{}
	if err := rt.addRoute(only, nil, "/"); err != nil {
		t.Fatal(err)
	}
	x := exchange{rt: &rt, route: only}
	x.req.path = []byte("//cdn/stra%C3%9Fe;a=b/%2561")
	if n := testing.AllocsPerRun(100, func() {
		if !x.surely() {
			t.Fatal("the path is in doubt")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
