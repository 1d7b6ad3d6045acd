package e2e

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// from is a PROXY header of version 1.
func from(ip string) string { return "PROXY TCP4 " + ip + " 10.0.0.1 1000 80\r\n" }

// The client that a PROXY header names is the client everywhere.
func TestProxyProtocolIn(t *testing.T) {
	t.Parallel()
	serve := func(name string) string {
		echo := testkit.Echo()
		return testkit.StartBackend(t, func(ctx *fasthttp.RequestCtx) {
			if ctx.Request.Header.ConnectionUpgrade() {
				echo(ctx)
				return
			}
			ctx.SetBodyString(name + " " + string(ctx.Request.Header.Peek("X-Forwarded-For")))
		}).Addr
	}
	one, two := serve("one"), serve("two")
	p := start(t, setup{
		listener: `proxy_protocol: [127.0.0.0/8], trusted_proxies: [198.51.100.0/24], limits: {max_connections_per_ip: 2}`,
		rest: fmt.Sprintf(`routes:
- {path: /, pool: web, access: {deny: [203.0.113.9]}}
pools:
  web: {balance: round_robin, sticky: {by: source_ip}, backends: [{url: "http://%s"}, {url: "http://%s"}]}`, one, two),
	})
	open := 0.0
	// ask returns an answer once its connection counts no more, and is logged.
	ask := func(raw string) (*http.Response, string) {
		t.Helper()
		resp, body := exchange(t, p.web, raw)
		p.counted(open, "holdfast_listener_connections_open")
		return resp, body
	}
	f := func(header, request string, status int, want string) {
		t.Helper()
		resp, body := ask(header + request)
		if resp.StatusCode != status || !strings.Contains(body, want) {
			t.Errorf("%q: %d %s, want %d %s", header, resp.StatusCode, body, status, want)
		}
	}
	closing := get("/", "Connection: close")
	f(from("192.0.2.1"), closing, http.StatusOK, " 192.0.2.1")
	f("PROXY TCP6 2001:db8::7 2001:db8::1 1000 80\r\n", closing, http.StatusOK, " 2001:db8::7")
	f("PROXY UNKNOWN\r\n", closing, http.StatusOK, " 127.0.0.1")
	f(from("203.0.113.9"), closing, http.StatusForbidden, "address_denied")
	// Whom a trusted proxy names counts, and only if it is that one that the
	// header names.
	f(from("198.51.100.1"), get("/", "Connection: close", "X-Forwarded-For: 203.0.113.9"), http.StatusForbidden, "address_denied")
	f(from("192.0.2.1"), get("/", "Connection: close", "X-Forwarded-For: 203.0.113.9"), http.StatusOK, " 192.0.2.1")

	// Stickiness by address.
	places := map[string]string{}
	for i := range 20 {
		ip := fmt.Sprintf("192.0.2.%d", 10+i%4)
		_, body := ask(from(ip) + closing)
		place, _, _ := strings.Cut(body, " ")
		if before := places[ip]; before != "" && before != place {
			t.Errorf("%s is sent to %s and to %s", ip, before, place)
		}
		places[ip] = place
	}

	// Limits by address, and a WebSocket with bytes right behind its handshake.
	var sockets []*testkit.TCP
	for range 2 {
		c := testkit.DialTCP(t, p.web)
		c.Send(from("192.0.2.50") + testkit.HandshakeRequest("game.example.com", "/"))
		if resp := c.ReadResponse(patience); resp.StatusCode != http.StatusSwitchingProtocols {
			t.Fatalf("status %d", resp.StatusCode)
		}
		sockets = append(sockets, c)
		open++
	}
	f(from("192.0.2.50"), closing, http.StatusTooManyRequests, "max_connections_per_ip")
	f(from("192.0.2.51"), closing, http.StatusOK, "192.0.2.51")
	for _, c := range sockets {
		c.Close()
	}

	// No header, no service.
	c := testkit.DialTCP(t, p.web)
	c.Send(get("/"))
	c.ExpectClosed(patience)
	p.counted(1, "holdfast_listener_refused_total", `reason="proxy_header"`)
	if lines := p.accessLines("access.log", 6+20+2+1); lines[0].Client != "192.0.2.1" || lines[1].Client != "2001:db8::7" || lines[2].Client != "127.0.0.1" {
		t.Errorf("the log begins with %+v", lines[:3])
	}
}

// startPeer runs a program of others until the test ends, and returns when it
// accepts at addr. The test is skipped where it is not installed.
func startPeer(t *testing.T, addr, program string, args ...string) {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		for _, dir := range []string{"/usr/sbin", "/usr/local/sbin"} {
			if p, dirErr := exec.LookPath(filepath.Join(dir, program)); dirErr == nil {
				path, err = p, nil
			}
		}
	}
	if err != nil {
		t.Skipf("%s is not installed, and this test is about working with it", program)
	}
	cmd := exec.Command(path, args...)
	output, err := os.CreateTemp(t.TempDir(), program)
	if err != nil {
		t.Fatal(err)
	}
	defer output.Close()
	cmd.Stdout, cmd.Stderr = output, output
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", program, err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s: %s", program, mustRead(t, output.Name()))
		}
	})
	testkit.Eventually(t, patience, func() bool {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
		}
		return err == nil
	}, program+" accepts")
}

// HAProxy in front, with either version, over which it passes on what an
// announced client sends to it itself.
func TestBehindHAProxy(t *testing.T) {
	t.Parallel()
	backend := testkit.StartBackend(t, func(ctx *fasthttp.RequestCtx) {
		ctx.SetBody(ctx.Request.Header.Peek("X-Forwarded-For"))
	})
	p := start(t, setup{
		listener: `proxy_protocol: [127.0.0.1]`,
		rest:     fmt.Sprintf("routes: [{pool: web}]\npools: {web: {backends: [{url: \"http://%s\"}]}}", backend.Addr),
	})
	first, second := freeAddr(t), freeAddr(t)
	file := testkit.WriteFile(t, t.TempDir(), "haproxy.cfg", fmt.Appendf(nil, `defaults
  mode tcp
  timeout connect 5s
  timeout client 5s
  timeout server 5s
listen one
  bind %s accept-proxy
  server s %s send-proxy
listen two
  bind %s accept-proxy
  server s %s send-proxy-v2
`, first, p.web, second, p.web))
	startPeer(t, second, "haproxy", "-db", "-f", file)
	for _, address := range []string{first, second} {
		for header, want := range map[string]string{
			from("192.0.2.7"): "192.0.2.7",
			"PROXY TCP6 2001:db8::7 2001:db8::1 1000 80\r\n": "2001:db8::7",
			"PROXY UNKNOWN\r\n": "127.0.0.1",
		} {
			if resp, body := exchange(t, address, header+get("/", "Connection: close")); resp.StatusCode != http.StatusOK || body != want {
				t.Errorf("%q through %s: %d %s, want %s", header, address, resp.StatusCode, body, want)
			}
		}
	}
}

// Two in a row: what the first one says of a client, the second one believes,
// for requests, sockets and probes, over TLS or not.
func TestProxyProtocolOut(t *testing.T) {
	t.Parallel()
	echo := testkit.Echo()
	backend := testkit.StartBackend(t, func(ctx *fasthttp.RequestCtx) {
		if ctx.Request.Header.ConnectionUpgrade() {
			echo(ctx)
			return
		}
		ctx.SetBody(ctx.Request.Header.Peek("X-Forwarded-For"))
	})
	for _, version := range []string{"v1", "v2"} {
		inner := start(t, setup{
			listener: "proxy_protocol: [127.0.0.1], trusted_proxies: [203.0.113.0/24]",
			rest:     fmt.Sprintf("routes: [{pool: web}]\npools: {web: {backends: [{url: \"http://%s\"}]}}", backend.Addr),
		})
		outer := start(t, setup{
			listener: "trusted_proxies: [127.0.0.1]",
			rest: fmt.Sprintf(`routes: [{pool: web, headers: {request: {remove: [X-Forwarded-For]}}}]
pools:
  web:
    backends: [{name: b1, url: "http://%s"}]
    send_proxy: %s
    health: {type: websocket, path: /, interval: 1s, rise: 1}`, inner.web, version),
		})
		outer.awaitState("web", "b1", "up")
		for _, ip := range []string{"192.0.2.7", "2001:db8::7"} {
			for range 2 {
				resp, body := exchange(t, outer.web, get("/", "Connection: close", "X-Forwarded-For: "+ip))
				if resp.StatusCode != http.StatusOK || body != ip {
					t.Errorf("%s: %d %s, want %s", version, resp.StatusCode, body, ip)
				}
			}
			c := testkit.DialRaw(t, outer.web, "/", "X-Forwarded-For: "+ip)
			c.SendFrames(testkit.Text("hello").Mask())
			if f := c.ReadFrame(patience); string(f.Payload) != "hello" {
				t.Errorf("%s: echo of %q", version, f.Payload)
			}
			c.SendFrames(testkit.Close(1000, "").Mask())
			c.ReadFrame(patience)
		}
		testkit.Eventually(t, patience, func() bool {
			log := inner.read("access.log")
			return strings.Count(log, `"kind":"websocket"`) >= 3 && // probes too
				strings.Contains(log, `"client":"2001:db8::7","method":"GET","host":"game.example.com"`) &&
				strings.Contains(log, `"kind":"websocket","listener":"web","route":"/","client":"2001:db8::7"`) &&
				strings.Contains(log, `"kind":"websocket","listener":"web","route":"/","client":"127.0.0.1"`)
		}, version+": the second one's log names the clients")
		if n := inner.metric("holdfast_listener_refused_total", `reason="proxy_header"`); n != 0 {
			t.Errorf("%s: %v connections were refused", version, n)
		}
	}
}
