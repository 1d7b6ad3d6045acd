package proxy

import (
	"net"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/internal/testkit"
)

func TestRetry(t *testing.T) {
	good := testkit.StartBackend(t, func(ctx *fasthttp.RequestCtx) {
		ctx.SetBodyString(string(ctx.Method()) + " " + string(ctx.Request.Body()))
	})
	late := func(c *net.TCPConn) { silent(c) }
	f := func(name, bad, request, want string) {
		t.Helper()
		cfg := configOf(bad, good.Addr)
		if strings.HasSuffix(name, ", late") {
			cfg.Routes[0].Timeouts.Response = time.Second // and the second one has as long
		}
		r := start(t, cfg)
		got := r.exchange(t, request)
		if !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
		r.expectIdle(t, bad)
		r.expectIdle(t, good.Addr)
	}
	request := func(method, body string) string {
		return method + " / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + body
	}
	const none, small, chunked = "\r\n", "Content-Length: 4\r\n\r\nbody", "Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"
	large := "Content-Length: 20000\r\n\r\n" + strings.Repeat("x", 20000)

	refusing := testkit.FreeAddr(t)
	f("GET, refused", refusing, request("GET", none), "\r\n\r\nGET ")
	f("POST, refused: nothing was sent", refusing, request("POST", small), "\r\n\r\nPOST body")
	f("chunked POST, refused", refusing, request("POST", chunked), "\r\n\r\nPOST body")
	f("large POST, refused", refusing, request("POST", large), "\r\n\r\nPOST xxxx")

	breaking := behaving(t, says(""))
	f("GET, broken", breaking, request("GET", none), "\r\n\r\nGET ")
	f("PUT, broken", breaking, request("PUT", small), "\r\n\r\nPUT body")
	f("DELETE, broken", breaking, request("DELETE", none), "\r\n\r\nDELETE ")
	f("POST without a body, broken", breaking, request("POST", none), "\r\n\r\nPOST ")
	f("POST, broken", breaking, request("POST", small), "backend_broken")
	f("PATCH, broken", breaking, request("PATCH", small), "backend_broken")
	f("chunked PUT, broken: its body is gone", breaking, request("PUT", chunked), "backend_broken")

	f("GET, late", behaving(t, late), request("GET", none), "\r\n\r\nGET ")
	f("POST, late", behaving(t, late), request("POST", small), "answer_timeout")
	f("GET, answered in part", behaving(t, says("HTTP/1.1 2")), request("GET", none), "bad_answer")
	f("GET, answered with 500", behaving(t, says("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n")), request("GET", none), "500 Oops")
}

func TestRetriesAreBounded(t *testing.T) {
	f := func(retries, backends, want int) {
		t.Helper()
		var asked atomic.Int64
		var addrs []string
		for range backends {
			addrs = append(addrs, behaving(t, func(*net.TCPConn) { asked.Add(1) }))
		}
		cfg := configOf(addrs...)
		cfg.Routes[0].Retries = retries
		r := start(t, cfg)
		expectRefusal(t, r.exchange(t, get), "502 Bad Gateway", "backend_broken")
		if got := int(asked.Load()); got != want {
			t.Errorf("%d retries, %d backends: asked %d times, want %d", retries, backends, got, want)
		}
	}
	f(0, 4, 1)
	f(2, 4, 3)
	f(9, 4, 4) // none is asked twice
}

// TestStaleConnections: a backend may close a connection whenever it is idle,
// without any announcement; no request must fail for that.
func TestStaleConnections(t *testing.T) {
	f := func(name, request string) {
		t.Helper()
		var served atomic.Int64
		closed := make(chan struct{}, 16)
		addr := behaving(t, func(c *net.TCPConn) {
			says("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")(c)
			served.Add(1)
			_ = c.Close()
			closed <- struct{}{}
		})
		r := start(t, configOf(addr))
		for range 5 {
			if got := r.exchange(t, request); !strings.HasSuffix(got, "\r\n\r\nok") {
				t.Errorf("%s: %q", name, got)
			}
			<-closed
		}
		if n := served.Load(); n != 5 {
			t.Errorf("%s: %d requests served, want 5", name, n)
		}
	}
	f("POST", "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx")
	f("GET", get)
}

// TestStaleConnectionIsNoRetry: with a single backend and no retries, what was
// idle for too long is replaced all the same, unseen.
func TestStaleConnectionIsNoRetry(t *testing.T) {
	b := testkit.StartBackend(t, nil)
	cfg := configOf(b.Addr)
	cfg.Routes[0].Retries = 0
	r := start(t, cfg)
	for range 3 {
		if got := r.exchange(t, get); !strings.HasSuffix(got, "\r\n\r\nok") {
			t.Errorf("got %q", got)
		}
		b.DropConns(true)
	}
}

func TestSwap(t *testing.T) {
	one := testkit.StartBackend(t, func(ctx *fasthttp.RequestCtx) { ctx.SetBodyString("one") })
	two := testkit.StartBackend(t, func(ctx *fasthttp.RequestCtx) { ctx.SetBodyString("two") })
	r := start(t, configOf(one.Addr))
	ask := func(want string) {
		t.Helper()
		if got := r.exchange(t, get); !strings.HasSuffix(got, "\r\n\r\n"+want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	ask("one")
	r.swap(t, configOf(one.Addr)) // the same: connections are kept
	ask("one")
	if n := one.Accepted(); n != 1 {
		t.Errorf("%d connections, want the one before the reload", n)
	}
	r.swap(t, configOf(two.Addr))
	ask("two")
	testkit.Eventually(t, patience, func() bool { return one.Conns() == 0 }, "connections to a removed backend are closed")
}

// A runtime with other pools is the same but for the backends: keys, cookies,
// guards, warm connections and what it changes in answers.
func TestRepool(t *testing.T) {
	one := testkit.StartBackend(t, func(ctx *fasthttp.RequestCtx) { ctx.SetBodyString("one") })
	two := testkit.StartBackend(t, func(ctx *fasthttp.RequestCtx) {
		ctx.Response.Header.Set("Location", "http://"+string(ctx.Host())+"/x")
		ctx.SetBodyString("two")
	})
	cfg := configOf(one.Addr)
	pool := cfg.Pools["pool"]
	pool.Sticky = &config.Sticky{By: "cookie", Name: "hf", TTL: time.Hour}
	pool.Warm = 1
	cfg.Pools["pool"] = pool
	cfg.Routes[0].RewriteRedirects = true
	cfg.Routes[0].PreserveHost = false
	cfg.Routes[0].Access = config.Access{Allow: []string{"127.0.0.0/8"}}
	r := start(t, cfg)
	if got := r.exchange(t, get); !strings.HasSuffix(got, "\r\n\r\none") {
		t.Errorf("got %q", got)
	}
	full := cfg.WithBackends(nil)
	pool.Backends = configOf(two.Addr).Pools["pool"].Backends
	full.Pools["pool"] = pool
	pools, err := r.registry.Compile(full.Pools)
	if err != nil {
		t.Fatal(err)
	}
	was := r.proxy.runtime.Load()
	rt := was.Repool(cfg, pools)
	before, after := reflect.ValueOf(was).Elem(), reflect.ValueOf(rt).Elem()
	for i := range before.NumField() {
		switch name := before.Type().Field(i).Name; name {
		case "router", "plainRouter", "routes", "pools", "upstreams", "spares": // hold what is the backends'
		default:
			if before.Field(i).Pointer() != after.Field(i).Pointer() {
				t.Errorf("%s is lost", name)
			}
		}
	}
	r.registry.Commit(pools)
	r.proxy.Swap(rt)
	if len(rt.spares) != 1 {
		t.Errorf("%d backends have warm connections, want that which came", len(rt.spares))
	}
	got := r.exchange(t, get)
	if !strings.HasSuffix(got, "\r\n\r\ntwo") || !strings.Contains(got, "Set-Cookie: hf=") || !strings.Contains(got, "Location: http://a/x\r\n") {
		t.Errorf("got %q", got)
	}
	testkit.Eventually(t, patience, func() bool { return one.Conns() == 0 }, "connections to a backend that left are closed")

	// Nobody is left.
	pool.Backends = nil
	pool.Discovery = &config.Discovery{}
	full.Pools["pool"] = pool
	if pools, err = r.registry.Compile(full.Pools); err != nil {
		t.Fatal(err)
	}
	r.proxy.Swap(r.proxy.runtime.Load().Repool(cfg, pools))
	r.registry.Commit(pools)
	if got := r.exchange(t, get); !strings.HasPrefix(got, "HTTP/1.1 503 ") {
		t.Errorf("got %q", got)
	}
}

// TestSwapLeavesRequestsAlone: one under way ends by the configuration it began
// with, and its connection is closed when the backend is gone.
func TestSwapLeavesRequestsAlone(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	old := testkit.StartBackend(t, func(ctx *fasthttp.RequestCtx) {
		entered <- struct{}{}
		<-leave
		ctx.SetBodyString("old")
	})
	r := start(t, configOf(old.Addr))
	c := testkit.DialTCP(t, r.addr)
	c.Send(get)
	<-entered
	r.swap(t, configOf(testkit.FreeAddr(t)))
	close(leave)
	if got := c.ReadAll(patience); !strings.HasSuffix(got, "\r\n\r\nold") {
		t.Errorf("got %q", got)
	}
	testkit.Eventually(t, patience, func() bool { return old.Conns() == 0 }, "the connection is closed behind its last request")
}

func TestStickyCookie(t *testing.T) {
	one, two := testkit.StartBackend(t, nil), testkit.StartBackend(t, nil)
	cfg := configOf(one.Addr, two.Addr)
	pool := cfg.Pools["pool"]
	pool.Sticky = &config.Sticky{By: "cookie", Name: "hf", TTL: time.Hour}
	cfg.Pools["pool"] = pool
	r := start(t, cfg)
	ask := func(cookie string) (set string) {
		t.Helper()
		got := r.exchange(t, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nCookie: other=1; hf="+cookie+"\r\n\r\n")
		_, after, _ := strings.Cut(got, "\r\nSet-Cookie: hf=")
		set, _, _ = strings.Cut(after, "\r\n")
		return set
	}
	first := ask("")
	value, attributes, _ := strings.Cut(first, "; ")
	if attributes != "Path=/; HttpOnly; SameSite=Lax" || value == "" {
		t.Errorf("Set-Cookie: hf=%s", first)
	}
	if again := ask(value); again != "" {
		t.Errorf("set again to %q", again)
	}
	if forged := ask(strings.ToUpper(value)); forged != first {
		t.Errorf("a forged cookie is answered with %q, want %q", forged, first)
	}
	one.Stop(t)
	if moved := ask(value); moved == "" || moved == first {
		t.Errorf("moved to another backend with %q", moved)
	}
	if two.Requests() != 1 {
		t.Errorf("the other backend got %d requests, want 1", two.Requests())
	}
}

func TestStickyQueryAndHash(t *testing.T) {
	f := func(name string, change func(*config.Pool)) {
		t.Helper()
		var backends []*testkit.Backend
		var addrs []string
		for range 3 {
			b := testkit.StartBackend(t, nil)
			backends, addrs = append(backends, b), append(addrs, b.Addr)
		}
		cfg := configOf(addrs...)
		pool := cfg.Pools["pool"]
		pool.Balance = "round_robin"
		change(&pool)
		cfg.Pools["pool"] = pool
		r := start(t, cfg)
		for range 9 {
			r.exchange(t, "GET /?a=b&room=7 HTTP/1.1\r\nHost: a\r\nX-Room: 7\r\nConnection: close\r\n\r\n")
		}
		served := 0
		for _, b := range backends {
			if b.Requests() > 0 {
				served++
			}
		}
		if served != 1 {
			t.Errorf("%s: %d backends served one key", name, served)
		}
	}
	sticky := func(by, name string) func(*config.Pool) {
		return func(p *config.Pool) {
			p.Sticky = &config.Sticky{By: by, Name: name, TTL: time.Hour, MaxEntries: 10}
		}
	}
	f("query", sticky("query", "room"))
	f("header", sticky("header", "X-Room"))
	f("source_ip", sticky("source_ip", ""))
	f("hash", func(p *config.Pool) { p.Balance, p.HashKey = "hash", "query:room" })
}
