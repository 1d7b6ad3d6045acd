package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// command runs holdfast to its end.
func command(t testing.TB, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		status = exit.ExitCode()
	} else if err != nil {
		t.Fatalf("run %s: %v", cmd, err)
	}
	return status, out.String(), errs.String()
}

// expectAll checks that text has all of these, in this order.
func expectAll(t testing.TB, what, text string, wants ...string) {
	t.Helper()
	rest := text
	for _, want := range wants {
		_, after, found := strings.Cut(rest, want)
		if !found {
			t.Errorf("%s lacks %q, or not in this order:\n%s", what, want, text)
			return
		}
		rest = after
	}
}

// check --connect says of each backend what its probe would, in bounded time,
// and fails when a pool could serve nobody.
func TestCheckConnect(t *testing.T) {
	t.Parallel()
	good := testkit.StartBackend(t, testkit.Echo())
	hangs := testkit.StartBackend(t, testkit.HangOnUpgrade())
	silent := testkit.ServeTCP(t, func(c *net.TCPConn) { _, _ = c.Read(make([]byte, 1)) })
	file := filepath.Join(t.TempDir(), "holdfast.yaml")
	write := func(plain string) {
		text := fmt.Sprintf(`
listeners: [{name: web, address: "127.0.0.1:0"}]
routes: [{path: /ws, pool: arena}, {path: /, pool: web}]
pools:
  arena:
    health: {type: websocket, path: /ws, interval: 1s, timeout: 300ms}
    backends:
      - {name: good, url: "ws://%s"}
      - {name: hangs, url: "ws://%s"}
      - {name: silent, url: "http://%s"}
      - {name: closed, url: "http://%s"}
      - {name: nameless, url: "http://nowhere.invalid:80"}
  web: {backends: [{name: plain, url: "http://%s"}]}
`, good.Addr, hangs.Addr, silent, freeAddr(t), plain)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(good.Addr)
	status, out, errs := command(t, "check", "--config", file, "--connect")
	if status != 0 {
		t.Errorf("status %d although each pool has a backend that is up", status)
	}
	expectAll(t, "standard output", out,
		"configuration OK: ", "up ", "arena/good", "websocket", "pong", " ms\n", "down ", "arena/hangs", "within 300ms",
		"down ", "arena/silent", "down ", "arena/closed", "connection refused", "down ", "arena/nameless", "up ", "web/plain", "tcp", "connected")
	expectAll(t, "standard error", errs, "warning: ", "pools.arena.backends[4].url: the name nowhere.invalid does not resolve")

	write(freeAddr(t))
	status, out, errs = command(t, "check", "--config", file, "--connect")
	if status != 1 {
		t.Errorf("status %d although pool web has no backend", status)
	}
	expectAll(t, "standard output", out, "down ", "web/plain", "connection refused")
	expectAll(t, "standard error", errs, "holdfast: no backend is up in web")
	if status, _, _ := command(t, "check", "--config", file); status != 0 {
		t.Errorf("without --connect the status is %d", status)
	}
}

// test-socket tells handshake, backend, round trips and close.
func TestTestSocket(t *testing.T) {
	t.Parallel()
	echo := testkit.StartBackend(t, testkit.Echo())
	p := start(t, setup{rest: fmt.Sprintf(`
routes:
  - {path: /ws, pool: arena}
  - {path: /named, pool: arena, headers: {response: {set: {X-Backend: $backend}}}}
  - {path: /dead, pool: dead}
  - {path: /mine, pool: arena, origins: ["https://game.example"]}
  - {path: /plain, respond: {status: 200, body: "no socket here"}}
  - {path: /moved, redirect: {to: "http://game.example/ws", status: 301}}
pools:
%s%s`, onePool("arena", []string{echo.Addr}, "sticky: {by: cookie, name: where}"), onePool("dead", []string{freeAddr(t)}))})

	ws := "ws://" + p.web
	f := func(status int, wants []string, args ...string) {
		t.Helper()
		got, out, errs := command(t, append([]string{"test-socket", "--admin", p.admin}, args...)...)
		if got != status {
			t.Errorf("%q: status %d, want %d", args, got, status)
		}
		expectAll(t, fmt.Sprint(args), out+errs, wants...)
	}
	f(0, []string{"handshake  101 Switching Protocols in ", "(TCP ", "Set-Cookie: where=...\n",
		"backend    arena/b1 (by the admin address", "echo       3 of 5 B: min ", "median ", "max ", "close      1000 "},
		ws+"/ws", "--count", "3", "--message", "hello")
	f(0, []string{"X-Backend: b1\n", "backend    b1 (by the field X-Backend)"}, ws+"/named")
	f(0, []string{"backend    not known", "--admin"}, ws+"/ws", "--count", "0", "--admin", freeAddr(t))
	f(0, []string{"close      1000"}, ws+"/mine", "--origin", "https://game.example", "--header", "X-Any: thing")
	f(1, []string{"handshake  403 ", "HF-3002 pages of this origin", "HF-3002  pages of this origin", "Remedy", "holdfast: the handshake was refused with 403, HF-3002"},
		ws+"/mine", "--origin", "https://evil.example")
	f(1, []string{"handshake  502 ", "HF-2003 backend refused", "Cause\n", "Remedy\n", "HF-2003"}, ws+"/dead")
	f(1, []string{"handshake  200 ", "no socket here", "no code of Holdfast's", "a route with respond"}, ws+"/plain")
	f(1, []string{"handshake  301 ", "answered with 301, a redirect", "test http://game.example/ws;"}, ws+"/moved")
	f(1, []string{"connection refused", "nothing listens there"}, "ws://"+freeAddr(t)+"/")
	f(1, []string{"speaks no TLS: use ws://"}, "wss://"+p.web+"/ws")
	f(1, []string{`scheme "ftp"`}, "ftp://"+p.web)
	f(1, []string{"is not FIELD: VALUE"}, ws+"/ws", "--header", "nothing")
}

// A server that says nothing, or another Close than 1000, is told so.
func TestTestSocketFails(t *testing.T) {
	t.Parallel()
	f := func(name string, backend *testkit.Backend, wants ...string) {
		t.Helper()
		status, out, errs := command(t, "test-socket", "ws://"+backend.Addr+"/ws", "--timeout", "2s", "--admin", freeAddr(t))
		if status != 1 {
			t.Errorf("%s: status %d, want 1", name, status)
		}
		expectAll(t, name, out+errs, wants...)
	}
	f("silent", testkit.StartBackend(t, testkit.Silent()), "handshake  101", "no echo within 2s after 0 of 5")
	f("closes", testkit.StartBackend(t, testkit.CloseWith(1011, "broken")), `close      1011 "broken" before the echo`, "the socket ended after 0 of 5 echoes")
	f("hangs", testkit.StartBackend(t, testkit.HangOnUpgrade()), "nobody answered in time")
}

// explain prints a page, all codes, and the nearest to one that is none.
func TestExplain(t *testing.T) {
	t.Parallel()
	f := func(status int, wants []string, args ...string) {
		t.Helper()
		got, out, errs := command(t, append([]string{"explain"}, args...)...)
		if got != status {
			t.Errorf("%q: status %d, want %d", args, got, status)
		}
		expectAll(t, fmt.Sprint(args), out+errs, wants...)
	}
	f(0, []string{"HF-2003  backend refused the connection", "Status 502", "Cause", "Look at", "Remedy"}, "HF-2003")
	f(0, []string{"HF-2003  backend refused the connection"}, "connect_failed")
	f(0, []string{"The request\n", "HF-1001", "Backends\n", "HF-2003  502  connect_failed"})
	f(1, []string{`holdfast: there is no code "HF-2103", the nearest is HF-20`}, "HF-2103")
	f(1, []string{`holdfast: there is no code "banana", holdfast explain lists those that there are`}, "banana")
}
