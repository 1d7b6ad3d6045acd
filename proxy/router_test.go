package proxy

import (
	"fmt"
	"strings"
	"testing"
)

// routerOf compiles rules such as "name host,host /path"; "*" is any host.
func routerOf(t testing.TB, rules ...string) *router {
	t.Helper()
	r := &router{}
	for _, rule := range rules {
		f := strings.Fields(rule)
		var hosts []string
		if f[1] != "*" {
			hosts = strings.Split(f[1], ",")
		}
		if err := r.add(&route{name: f[0]}, hosts, f[2]); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func TestRouterFind(t *testing.T) {
	r := routerOf(t,
		"arena game.example.com,*.game.example.com /ws/",
		"exact a.game.example.com /ws/vip",
		"deep *.eu.game.example.com /",
		"api * /api",
		"apislash * /api/",
		"rest * /",
		"v6 [::1] /six",
	)
	f := func(host, path, want string) {
		t.Helper()
		got := "none"
		if found := r.find([]byte(host), []byte(path)); found != nil {
			got = found.name
		}
		if got != want {
			t.Errorf("find(%q, %q) = %s, want %s", host, path, got, want)
		}
	}
	// Whole segments.
	f("game.example.com", "/ws/", "arena")
	f("game.example.com", "/ws/room/7", "arena")
	f("game.example.com", "/ws", "rest") // "/ws/" is what lies below it
	f("game.example.com", "/wsx", "rest")
	f("other", "/api", "api")
	f("other", "/api/", "apislash")
	f("other", "/api/v1", "apislash")
	f("other", "/apis", "rest")
	// Hosts: case, port, final dot; exact before wildcard before any.
	f("GAME.Example.COM:8080", "/ws/1", "arena")
	f("game.example.com.", "/ws/1", "arena")
	f("a.game.example.com", "/ws/vip", "exact")
	f("a.game.example.com", "/ws/vip/x", "exact")
	f("a.game.example.com", "/ws/other", "arena") // the host has no such path: the wildcard has
	f("a.game.example.com", "/", "rest")
	f("b.c.game.example.com", "/ws/1", "arena") // any depth
	f("x.eu.game.example.com", "/ws/1", "deep") // the longer wildcard
	f("eu.game.example.com", "/ws/1", "arena")
	f("example.com", "/ws/1", "rest")
	f("[::1]:8080", "/six", "v6")
	f("[::1]", "/six/y", "v6")
	f("", "/six", "rest")
	// Paths as they are sent, and what is no path.
	f("game.example.com", "/%77s/1", "rest")
	f("game.example.com", "//ws/1", "rest")
	f("game.example.com", "*", "rest")
	f("game.example.com", "", "rest")
	f(strings.Repeat("a", 300)+".game.example.com", "/ws/1", "rest") // no DNS name

	r = routerOf(t, "only game.example.com /ws")
	f("game.example.com", "/", "none")
	f("other", "/ws", "none")
}

func TestRouterRefuses(t *testing.T) {
	f := func(path, want string) {
		t.Helper()
		r := routerOf(t, "first a.example,b.example /x/")
		err := r.add(&route{name: "second"}, []string{"B.example."}, path)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("add %q: %v, want %q", path, err, want)
		}
	}
	f("/x/", `route "first" has the same path "/x/" for B.example.`)
	f("x", `path "x" does not begin with a slash`)
}

// manyRoutes has n routes: exact hosts, wildcards and paths in equal parts.
func manyRoutes(t testing.TB, n int) *router {
	var rules []string
	for i := range n {
		switch i % 3 {
		case 0:
			rules = append(rules, fmt.Sprintf("r%d h%d.example.com /ws/", i, i))
		case 1:
			rules = append(rules, fmt.Sprintf("r%d *.w%d.example.com /ws/", i, i))
		default:
			rules = append(rules, fmt.Sprintf("r%d * /p%d/ws", i, i))
		}
	}
	return routerOf(t, rules...)
}

// lookups are what is looked up among manyRoutes.
var lookups = []struct{ name, host, path string }{
	{"exact", "h0.example.com", "/ws/room/7"},
	{"wildcard", "a.b.w1.example.com", "/ws/room/7"},
	{"miss", "A.very.Deep.name.example.org:8080", "/p2/x/y/z/z/z/z"},
}

func TestRouterFindDoesNotAllocate(t *testing.T) {
	for _, n := range []int{1, 100, 10_000} {
		r := manyRoutes(t, n)
		for _, c := range lookups {
			host, path := []byte(c.host), []byte(c.path)
			if allocs := testing.AllocsPerRun(100, func() { r.find(host, path) }); allocs != 0 {
				t.Errorf("%d routes, %s: %v allocations", n, c.name, allocs)
			}
		}
	}
}

func BenchmarkRouterFind(b *testing.B) {
	for _, n := range []int{1, 100, 10_000} {
		r := manyRoutes(b, n)
		for _, c := range lookups {
			b.Run(fmt.Sprintf("%d/%s", n, c.name), func(b *testing.B) {
				host, path := []byte(c.host), []byte(c.path)
				b.ReportAllocs()
				for b.Loop() {
					r.find(host, path)
				}
			})
		}
	}
}
