package proxy

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/internal/testkit"
)

func TestRewrite(t *testing.T) {
	f := func(pattern, replacement, target, want string) {
		t.Helper()
		w, err := compileRewrite(&config.Rewrite{Pattern: pattern, Replacement: replacement})
		if err != nil {
			t.Fatal(err)
		}
		rt := &route{rewrite: w, strip: "/ws"}
		if got := string(rt.appendTarget([]byte("GET "), []byte(target))); got != "GET "+want {
			t.Errorf("%s → %s makes %q of %q, want %q", pattern, replacement, got[4:], target, want)
		}
	}
	f(`^/room/(\d+)$`, "/rooms/$1", "/ws/room/7", "/rooms/7")
	f(`^/room/(\d+)$`, "/rooms/$1", "/ws/room/x?a", "/room/x?a")
	f(`^/room/(\d+)$`, "/rooms?id=${1}", "/room/7?a=%2F&b", "/rooms?id=7&a=%2F&b")
	f(`^/room/(\d+)$`, "/rooms?id=${1}", "/room/7?", "/rooms?id=7")
	f(`^/(?P<a>[^/]+)/(?P<b>.+)$`, "/${b}/${a}", "/x/y?q", "/y/x?q")
	f(`//+`, "/", "/a//b///c?x=//", "/a/b/c?x=//")
	f(`^`, "/app", "/ws", "/app/")
	f(`^/a`, "", "/a", "/")
	f(`^/a/`, "", "/a/b", "/b")
	f(`.*`, "/x", "*", "*")
}

// What a rewrite puts before a path, no path leaves.
func TestRewriteCannotClimb(t *testing.T) {
	b := testkit.StartBackend(t, func(ctx *fasthttp.RequestCtx) { ctx.SetBody(ctx.RequestURI()) })
	f := func(pattern, replacement, path, want string) {
		t.Helper()
		cfg := configOf(b.Addr)
		cfg.Routes[0].Rewrite = &config.Rewrite{Pattern: pattern, Replacement: replacement}
		got := start(t, cfg).exchange(t, "GET "+path+" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
		if want == "" {
			expectRefusal(t, got, "400 Bad Request", "bad_path")
		} else if !strings.HasSuffix(got, "\r\n\r\n"+want) {
			t.Errorf("%s → %s: got %q, want %q", pattern, replacement, got, want)
		}
	}
	f("^/", "/public/", "/a/%2e?/../b", "/public/a/%2e?/../b")
	f("^/", "/public/", "/../admin", "")
	f("^/", "/public/", "/%2e./admin", "")
	f("^/img", "/static/", "/img/a", "/static//a")
	f("^/img", "/static/", "/img../a", "")
	f("^/img", "/static/", "/img%2e%2e%2fa", "")
	f("^/(.)-(.)/", "/$1$2/", "/a-b/c", "/ab/c")
	f("^/(.)-(.)/", "/$1$2/", "/.-./c", "")
	f("^/(.*)$", "/x?to=$1", "/a..", "/x?to=a..")
}

func TestTemplates(t *testing.T) {
	known := append(append([]string(nil), config.HeaderVariables...), config.RedirectVariables...)
	full := facts{
		ip: netip.MustParseAddr("2001:db8::1"), host: []byte("Game.Example:8080"), path: []byte("/a/<b>"), query: []byte("x=1&y=\xff"),
		id: []byte("id1"), tls: 0x0304, backend: "arena-1",
	}
	f := func(text string, from facts, want string) {
		t.Helper()
		tmpl, err := compileTemplate(text, known)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(tmpl.appendTo(nil, &from)); got != want {
			t.Errorf("%s is %q, want %q", text, got, want)
		}
	}
	f("https://$host$path?$query", full, "https://game.example/a/%3Cb%3E?x=1&y=%FF")
	f("https://$host/?a&$query", full, "https://game.example/?a&x=1&y=%FF")
	f("q=$query", full, "q=x=1&y=%FF")
	f("$client_ip $request_id $tls_version $backend $$", full, "2001:db8::1 id1 TLSv1.3 arena-1 $")
	f("https://x$path?$query", facts{path: rootPath}, "https://x/")
	f("https://x/?a&$query", facts{}, "https://x/?a")
	f("$client_ip$request_id$tls_version$backend$host", facts{}, "")
	f("$host", facts{host: []byte("a b")}, "")
	f("$host", facts{host: []byte("evil@x")}, "")
}

func TestRequestRules(t *testing.T) {
	f := func(name string, rules config.HeaderRules, trusted bool, fields, want string) {
		t.Helper()
		compiled, err := compileRules(rules)
		if err != nil {
			t.Fatal(err)
		}
		h := plainHead()
		h.trusted, h.rules, h.facts = trusted, compiled, &facts{ip: netip.MustParseAddr("1.2.3.4"), backend: "b1"}
		var b fieldBlock
		b.parse([]byte(crlf(fields)))
		if got := string(h.appendTo(nil, &b)); got != "GET /x HTTP/1.1\r\n"+want {
			t.Errorf("%s:\n%q\nwant\n%q", name, got, "GET /x HTTP/1.1\r\n"+want)
		}
	}
	end := strings.TrimSuffix(own, "\r\n")
	type set = map[string]string

	f("set takes the place of every field of the name", config.HeaderRules{Set: set{"X-Region": "eu"}}, false,
		"Host: a\nx-region: us\nX_Region: us\nX-Regions: 1", "Host: a\r\nX-Regions: 1\r\n"+end+"X-Region: eu\r\n\r\n")
	f("add is beside, in order of names", config.HeaderRules{Add: set{"X-B": "$backend", "X-A": "$client_ip"}}, false,
		"Host: a\nX-A: 1", "Host: a\r\nX-A: 1\r\n"+end+"X-A: 1.2.3.4\r\nX-B: b1\r\n\r\n")
	f("remove, in the middle of a run", config.HeaderRules{Remove: []string{"X-Debug"}}, false,
		"Host: a\nA: 1\nx-debug: 1\nB: 2\nX_DEBUG: 2\nC: 3", "Host: a\r\nA: 1\r\nB: 2\r\nC: 3\r\n"+own)
	f("an empty value is not written, and the client's goes", config.HeaderRules{Set: set{"X-TLS": "$tls_version"}}, false,
		"Host: a\nX-TLS: forged", "Host: a\r\n"+own)
	f("our own fields", config.HeaderRules{Set: set{"X-Forwarded-Proto": "https"}, Remove: []string{"X-Forwarded-For", "X-Request-ID", "X-Forwarded-Host"}}, true,
		"Host: a\nX-Forwarded-For: 6.6.6.6\nX-Forwarded-Proto: http\nX-Forwarded-Host: h", "Host: a\r\nX-Forwarded-Proto: https\r\n\r\n")
	f("what Connection names is written all the same", config.HeaderRules{Set: set{"X-Region": "eu"}}, false,
		"Host: a\nConnection: X-Region\nX-Region: us", "Host: a\r\n"+end+"X-Region: eu\r\n\r\n")
}

func TestForwarded(t *testing.T) {
	f := func(name string, change func(*head), fields, want string) {
		t.Helper()
		h := plainHead()
		h.forwarded = true
		if change != nil {
			change(&h)
		}
		var b fieldBlock
		b.parse([]byte(crlf(fields)))
		got := string(h.appendTo(nil, &b))
		var found []string
		for _, line := range strings.Split(got, "\r\n") {
			if strings.HasPrefix(strings.ToLower(line), "forwarded:") {
				found = append(found, line)
			}
		}
		if len(found) != 1 || found[0] != "Forwarded: "+want {
			t.Errorf("%s: %q, want %q", name, found, want)
		}
	}
	trusted := func(h *head) { h.trusted = true }
	f("this hop", nil, "Host: a", "for=9.9.9.9;host=pub.example;proto=http")
	f("a stranger's is dropped", nil, "Host: a\nforwarded: for=6.6.6.6\nX-Forwarded-For: 6.6.6.6", "for=9.9.9.9;host=pub.example;proto=http")
	f("IPv6 and a port are quoted", func(h *head) { h.peer, h.public = []byte("2001:db8::1"), []byte("a:8080") }, "Host: a",
		`for="[2001:db8::1]";host="a:8080";proto=http`)
	f("a Unix socket, no Host", func(h *head) { h.peer, h.public, h.host = nil, nil, []byte("b") }, "", "for=unknown;proto=http")
	f("a host that breaks out of its quotes", func(h *head) { h.public = []byte(`a";for=b\`) }, "Host: a", `for=9.9.9.9;host="a\";for=b\\";proto=http`)
	f("a trusted peer's stays in front", trusted, "Host: a\nForwarded: for=1.1.1.1;proto=https\nforwarded: for=2.2.2.2",
		"for=1.1.1.1;proto=https, for=2.2.2.2, for=9.9.9.9;host=pub.example;proto=http")
	f("X-Forwarded-For is translated", trusted, "Host: a\nX-Forwarded-For: 1.1.1.1, 2001:db8::2\nX-Forwarded-For: ;x\nX-Forwarded-Proto: HTTPS\nX-Forwarded-Host: o.example, p",
		`for=1.1.1.1;host=o.example;proto=https, for="[2001:db8::2]", for=unknown, for=9.9.9.9;host=pub.example;proto=http`)
}

// shaped is a configuration whose only route has these rules.
func shaped(change func(*config.Route), backends ...string) *config.Config {
	cfg := configOf(backends...)
	change(&cfg.Routes[0])
	return cfg
}

func TestRedirectAndRespond(t *testing.T) {
	f := func(change func(*config.Config), request string, want ...string) {
		t.Helper()
		cfg := configOf()
		cfg.Pools, cfg.Routes[0].Pool = nil, ""
		change(cfg)
		got := start(t, cfg).exchange(t, strings.Replace(request, "\r\n", "\r\nConnection: close\r\n", 1))
		for _, w := range want {
			if !strings.Contains(got, w) {
				t.Errorf("%q\nis answered\n%q\nwithout %q", request, got, w)
			}
		}
	}
	redirect := func(status int, to string) func(*config.Config) {
		return func(c *config.Config) { c.Routes[0].Redirect = &config.Redirect{Status: status, To: to} }
	}
	const get = "GET /old/a%20b?x=1 HTTP/1.1\r\nHost: Game.example:8080\r\n\r\n"
	f(redirect(301, "https://$host$path?$query"), get, "HTTP/1.1 301 ", "\r\nLocation: https://game.example/old/a%20b?x=1\r\n")
	f(redirect(308, "/new$path"), "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", "HTTP/1.1 308 ", "\r\nLocation: /new/a\r\n")
	f(redirect(302, "https://$host$path"), "GET http://Abs.example HTTP/1.1\r\nHost: a\r\n\r\n", "\r\nLocation: https://abs.example/\r\n")
	f(redirect(302, "https://$host/"), "GET / HTTP/1.1\r\nHost: a'b\r\n\r\n", "HTTP/1.1 400 ", "bad_host")
	f(func(c *config.Config) {
		redirect(302, "https://n.example$path?$query")(c)
		c.Routes[0].Path, c.Routes[0].StripPrefix = "/old/", "/old"
		c.Routes[0].Rewrite = &config.Rewrite{Pattern: "^/a", Replacement: "/b?c"}
	}, get, "\r\nLocation: https://n.example/b?c%20b&x=1\r\n")
	handshake := testkit.HandshakeRequest("game.example", "/ws")
	f(redirect(307, "https://$host$path"), handshake, "HTTP/1.1 307 ", "\r\nLocation: https://game.example/ws\r\n")

	respond := func(c *config.Config) {
		c.Routes[0].Respond = &config.Respond{Status: 503, Body: "back at noon\n"}
		c.Routes[0].Headers.Response.Set = map[string]string{"Retry-After": "600", "content-type": "text/html"}
	}
	f(respond, get, "HTTP/1.1 503 ", "\r\nRetry-After: 600\r\n", "\r\nContent-Type: text/html\r\n", "\r\nContent-Length: 13\r\n", "\r\n\r\nback at noon\n")
	f(respond, handshake, "HTTP/1.1 503 ", "back at noon\n")

	secure := func(port int) func(*config.Config) {
		return func(c *config.Config) { c.Listeners[0].RedirectHTTPS = port; respond(c) }
	}
	f(secure(8443), get, "HTTP/1.1 308 ", "\r\nLocation: https://game.example:8443/old/a%20b?x=1\r\n")
	f(secure(443), handshake, "HTTP/1.1 308 ", "\r\nLocation: https://game.example/ws\r\n")
	f(secure(443), "GET / HTTP/1.0\r\n\r\n", "HTTP/1.1 400 ", "bad_host")
	f(secure(443), "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "\r\nLocation: https://[::1]/\r\n")
}

func TestRulesOnTheWay(t *testing.T) {
	var b *testkit.Backend
	b = testkit.StartBackend(t, func(ctx *fasthttp.RequestCtx) {
		h := &ctx.Response.Header
		h.Set("Location", "http://"+b.Addr+"/login")
		h.Set("X-Powered-By", "PHP")
		h.Add("Set-Cookie", "a=1; Path=/")
		h.Add("Set-Cookie", "b=2; Path=/x")
		ctx.SetBodyString(string(ctx.Request.Header.Peek("X-Who")) + " " + string(ctx.Host()))
	})
	rules := func(r *config.Route) {
		r.Path, r.StripPrefix, r.RewriteRedirects = "/app/", "/app", true
		r.Headers.Request = config.HeaderRules{Set: map[string]string{"X-Who": "$client_ip at $host", "Host": "inner.example"}}
		r.Headers.Response = config.HeaderRules{
			Set: map[string]string{"Server": "front"}, Add: map[string]string{"X-Served-By": "$backend"}, Remove: []string{"x-powered-by"},
		}
	}
	const request = "GET /app/ HTTP/1.1\r\nHost: Pub.example\r\nX-Who: me\r\nConnection: close\r\n\r\n"
	has := func(got string, want ...string) {
		t.Helper()
		for _, w := range want {
			if strings.Count(got, w) != 1 {
				t.Errorf("%q\nhas %q %d times, want once", got, w, strings.Count(got, w))
			}
		}
	}
	cfg := shaped(rules, b.Addr)
	pool := cfg.Pools["pool"]
	pool.Backends[0].Name = "b1"
	cfg.Pools["pool"] = pool
	r := start(t, cfg)
	got := r.exchange(t, request)
	has(got, "HTTP/1.1 200 ", "\r\nLocation: http://Pub.example/app/login\r\n", "\r\nServer: front\r\n", "\r\nX-Served-By: b1\r\n",
		"\r\nSet-Cookie: a=1; Path=/app\r\n", "\r\nSet-Cookie: b=2; Path=/app/x\r\n", "127.0.0.1 at pub.example inner.example")
	if strings.Contains(got, "PHP") {
		t.Errorf("X-Powered-By in %q", got)
	}

	// Our own answers have the rules too, with the backend that was asked.
	b.Stop(t)
	has(r.exchange(t, request), "HTTP/1.1 502 ", "\r\nServer: front\r\n", "\r\nX-Served-By: b1\r\n")
}

// A shape that writes only fixed values and variables allocates nothing for
// the request.
func TestRulesDoNotAllocate(t *testing.T) {
	rules, err := compileRules(config.HeaderRules{Set: map[string]string{"X-A": "$client_ip $host $backend"}, Remove: []string{"Cookie"}})
	if err != nil {
		t.Fatal(err)
	}
	h := plainHead()
	h.rules, h.forwarded = rules, true
	h.facts = &facts{ip: netip.MustParseAddr("1.2.3.4"), host: []byte("Game.Example"), backend: "b"}
	var b fieldBlock
	b.parse([]byte("Host: a\r\nCookie: c\r\n\r\n"))
	out := h.appendTo(nil, &b)
	if n := testing.AllocsPerRun(100, func() { out = h.appendTo(out[:0], &b) }); n != 0 {
		t.Errorf("%v allocations a head, want none", n)
	}
}
