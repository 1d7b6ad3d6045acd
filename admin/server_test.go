package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// serving starts a server on a free loopback port, which the test's end
// closes.
func serving(t *testing.T, opts Options) (base string) {
	t.Helper()
	if opts.Listener == nil {
		opts.Listener = listen(t)
	}
	return runs(t, New(opts))
}

// runs has s serve until the test's end.
func runs(t *testing.T, s *Server) (base string) {
	t.Helper()
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Errorf("Close: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return "http://" + s.Addr().String()
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("listen: %v", err)
	}
	return ln
}

// do sends one request on a connection of its own; change may edit it first.
func do(t *testing.T, method, url string, change func(*http.Request)) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatalf("make request: %v", err)
	}
	req.Close = true
	if change != nil {
		change(req)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: read body: %v", method, url, err)
	}
	return resp, string(body)
}

func twoPools() []Pool {
	return []Pool{
		{Name: "arena", Balance: "least_conn", Backends: []Backend{
			{
				Name: "arena-1", Address: "http://10.0.0.11:9000", State: Up, Mode: "ready", Usable: true,
				Weight: 2, MaxConnections: 5000, Active: Active{Sockets: 3, Requests: 2, Handshakes: 1}, Handshakes: 9,
				Why: "2 probes in a row passed", Since: time.Unix(1700000000, 0).UTC(),
				LastProbe: &Probe{OK: true, Why: "200", At: time.Unix(1700000002, 0).UTC(), Seconds: .002},
			},
			{Name: "arena-0", Address: "http://10.0.0.10:9000", State: Up, Mode: "ready", Usable: true, Retired: true},
		}},
		{Name: "web", Balance: "p2c", Backends: []Backend{
			{Name: "web-1", Address: "http://10.0.0.21:80", State: Down, Mode: "ready", Weight: 1, Why: "connection refused"},
		}},
	}
}

func TestPaths(t *testing.T) {
	base := serving(t, Options{
		Pools:   twoPools,
		Version: "v1.2.3",
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain; version=0.0.4")
			_, _ = io.WriteString(w, "holdfast_up 1\n")
		}),
	})
	f := func(method, path string, status int, contentType, body string) {
		t.Helper()
		resp, got := do(t, method, base+path, nil)
		if resp.StatusCode != status {
			t.Errorf("%s %s: status %d, want %d", method, path, resp.StatusCode, status)
		}
		if ct := resp.Header.Get("Content-Type"); !strings.HasPrefix(ct, contentType) {
			t.Errorf("%s %s: type %q, want %q", method, path, ct, contentType)
		}
		if !strings.Contains(got, body) || (method == http.MethodHead && got != "") {
			t.Errorf("%s %s: body %q, want %q in it", method, path, got, body)
		}
	}

	f("GET", "/", 200, "text/html", `src="ui/app.js"`)
	f("GET", "/ui/style.css", 200, "text/css", "")
	f("GET", "/ui/app.js", 200, "text/javascript", "")
	f("GET", "/ui/mark.svg", 200, "image/svg+xml", "")
	f("GET", "/ui/", 404, "application/json", "")
	f("GET", "/ui/../page.go", 404, "application/json", "")
	f("GET", "/ui/%2e%2e/page.go", 404, "application/json", "")
	f("GET", "/api/v1/status", 200, "application/json", `"version":"v1.2.3"`)
	f("GET", "/healthz", 200, "application/json", `{"status":"alive"}`)
	f("HEAD", "/healthz", 200, "application/json", "")
	f("GET", "/readyz", 200, "application/json", `{"status":"ready","pools_down":["web"]}`)
	f("GET", "/metrics", 200, "text/plain; version=0.0.4", "holdfast_up 1")
	f("HEAD", "/metrics", 200, "text/plain", "")
	f("GET", "/api/v1/pools", 200, "application/json", `"name":"arena-1"`)
	f("GET", "/nothing", 404, "application/json", `{"error":"no such path`)
	f("POST", "/healthz", 405, "application/json", `{"error":"this path does not answer`)
	f("DELETE", "/api/v1/pools", 405, "application/json", `{"error":"this path does not answer`)
	f("POST", "/nothing", 404, "application/json", `{"error":"no such path`)

	if resp, _ := do(t, "PUT", base+"/readyz", nil); resp.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("405 with Allow %q, want GET, HEAD", resp.Header.Get("Allow"))
	}
	if resp, _ := do(t, "GET", base+"/healthz", nil); resp.Header.Get("Server") != "" || resp.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("headers %v: want no Server, and Cache-Control: no-store", resp.Header)
	}
}

func TestPathsWithoutOptions(t *testing.T) {
	base := serving(t, Options{})
	f := func(path string, status int, want string) {
		t.Helper()
		resp, got := do(t, "GET", base+path, nil)
		if resp.StatusCode != status || strings.TrimSpace(got) != want {
			t.Errorf("GET %s: %d %q, want %d %q", path, resp.StatusCode, got, status, want)
		}
	}

	f("/readyz", 200, `{"status":"ready"}`)
	f("/api/v1/pools", 200, `{"pools":[]}`)
	f("/metrics", 404, `{"error":"no such path","code":"no_path","remedy":"docs/openapi.yaml lists those that exist"}`)
}

// A pool that the configuration does not name any more is not down.
func TestGonePoolIsNotDown(t *testing.T) {
	base := serving(t, Options{Pools: func() []Pool {
		return []Pool{{Name: "gone", Backends: []Backend{{Name: "g-1", State: Up, Retired: true}}}, {Name: "empty"}}
	}})
	if _, got := do(t, "GET", base+"/readyz", nil); strings.TrimSpace(got) != `{"status":"ready"}` {
		t.Errorf("/readyz says %s", got)
	}
}

func TestReadinessFollowsTheProcess(t *testing.T) {
	var state atomic.Value
	state.Store("no configuration runs yet")
	base := serving(t, Options{Ready: func() error {
		if reason := state.Load().(string); reason != "" {
			return errors.New(reason)
		}
		return nil
	}})
	f := func(reason string, status int, want string) {
		t.Helper()
		state.Store(reason)
		resp, got := do(t, "GET", base+"/readyz", nil)
		if resp.StatusCode != status || strings.TrimSpace(got) != want {
			t.Errorf("%q: %d %q, want %d %q", reason, resp.StatusCode, got, status, want)
		}
		if alive, _ := do(t, "GET", base+"/healthz", nil); alive.StatusCode != 200 {
			t.Errorf("%q: /healthz %d, want 200 whatever the readiness", reason, alive.StatusCode)
		}
	}

	f("no configuration runs yet", 503, `{"status":"not ready","reason":"no configuration runs yet"}`)
	f("", 200, `{"status":"ready"}`)
	f("shutting down", 503, `{"status":"not ready","reason":"shutting down"}`)
}

func TestPoolsAsJSON(t *testing.T) {
	base := serving(t, Options{Pools: twoPools})
	_, body := do(t, "GET", base+"/api/v1/pools", nil)

	var got struct{ Pools []map[string]any }
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatalf("not JSON: %v\n%s", err, body)
	}
	if len(got.Pools) != 2 || got.Pools[0]["usable"] != 1.0 || got.Pools[1]["usable"] != 0.0 {
		t.Errorf("usable counts wrong, a retired backend is not one:\n%s", body)
	}
	const first = `{"name":"arena-1","address":"http://10.0.0.11:9000","state":"up","mode":"ready","usable":true,"retired":false,` +
		`"weight":2,"max_connections":5000,"active":{"sockets":3,"requests":2,"handshakes":1},"handshakes":9,"why":"2 probes in a row passed",` +
		`"since":"2023-11-14T22:13:20Z","last_probe":{"ok":true,"why":"200","at":"2023-11-14T22:13:22Z","seconds":0.002}}`
	if !strings.Contains(body, first) {
		t.Errorf("want this backend:\n%s\nin:\n%s", first, body)
	}
	const bare = `"why":"connection refused"}`
	if !strings.Contains(body, bare) {
		t.Errorf("a backend that never changed and was never probed should end in %s:\n%s", bare, body)
	}
}

func TestHostCheckOnLoopback(t *testing.T) {
	base := serving(t, Options{Host: "Ops.Example.com"})
	f := func(host string, status int) {
		t.Helper()
		resp, body := do(t, "GET", base+"/healthz", func(r *http.Request) { r.Host = host })
		if resp.StatusCode != status {
			t.Errorf("Host %q: status %d, want %d (%s)", host, resp.StatusCode, status, body)
		}
	}

	f("localhost", 200)
	f("LOCALHOST:9090", 200)
	f("localhost.", 200)
	f("127.0.0.1:1", 200)
	f("[::1]:9090", 200)
	f("[::1]", 200)
	f("ops.example.com:9090", 200)
	f("evil.example", 421)
	f("evil.example:9090", 421)
	f("127.0.0.1.evil.example", 421)
	f("localhost.evil.example", 421)
	f("10.0.0.1", 421)
}

func TestHostCheckByAddress(t *testing.T) {
	f := func(address, host string, want bool) {
		t.Helper()
		addr, err := net.ResolveTCPAddr("tcp", address)
		if err != nil {
			t.Fatalf("resolve %s: %v", address, err)
		}
		if got := newHostCheck(addr, "").allows(host); got != want {
			t.Errorf("bound on %s, Host %q: allowed %v, want %v", address, host, got, want)
		}
	}

	f("127.0.0.2:9090", "127.0.0.2:9090", true)
	f("127.0.0.2:9090", "evil.example", false)
	f("[::1]:9090", "evil.example", false)
	f("[::ffff:127.0.0.1]:9090", "evil.example", false)
	f("127.0.0.1:9090", "", true)
	f("10.0.0.5:9090", "lb.internal", true)
	f("[::]:9090", "lb.internal", true)
	f("0.0.0.0:9090", "anything", true)
}

func TestBadRequestsAreBounded(t *testing.T) {
	addr := strings.TrimPrefix(serving(t, Options{}), "http://")
	f := func(request, status string) {
		t.Helper()
		c := testkit.DialTCP(t, addr)
		c.Send(request)
		answer := c.ReadUntil("}\n", 5*time.Second)
		if !strings.HasPrefix(answer, "HTTP/1.1 "+status) || !strings.Contains(answer, `{"error":`) {
			t.Errorf("answer %q, want %s with a JSON error", answer, status)
		}
	}

	f("GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: "+strings.Repeat("x", maxHeaderBytes)+"\r\n\r\n", "431")
	f("GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000\r\n\r\n", "413")
	f("nonsense\r\n\r\n", "400")
}

func TestCloseBeforeServe(t *testing.T) {
	s := New(Options{Listener: listen(t)})
	if err := s.Close(t.Context()); err != nil {
		t.Errorf("Close: %v", err)
	}
	if err := s.Serve(); err != nil {
		t.Errorf("Serve after Close: %v, want nil", err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

func TestCloseEndsIdleConnections(t *testing.T) {
	s := New(Options{Listener: listen(t)})
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	c := testkit.DialTCP(t, s.Addr().String())
	c.Send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
	if got := c.ReadUntil("alive", 5*time.Second); !strings.HasPrefix(got, "HTTP/1.1 200") {
		t.Fatalf("answer %q, want 200", got)
	}

	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		t.Errorf("Close with an idle connection open: %v", err)
	}
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

// Who is slow is told that, however fasthttp words it.
func TestTimeoutIsTold(t *testing.T) {
	f := func(err error, status int) {
		t.Helper()
		var ctx fasthttp.RequestCtx
		badRequest(&ctx, fmt.Errorf("error when reading request headers: %w: buffer size=7", err))
		if got := ctx.Response.StatusCode(); got != status {
			t.Errorf("%v: status %d, want %d", err, got, status)
		}
	}
	f(&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, 408)
	f(&net.OpError{Op: "read", Err: syscall.ECONNRESET}, 400)
	f(fasthttp.ErrBodyTooLarge, 413)
}
