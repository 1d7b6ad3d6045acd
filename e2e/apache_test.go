package e2e

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

var updateApache = flag.Bool("update-apache", false, "write docs/apache-side-by-side.md")

const apacheDocument = "../docs/apache-side-by-side.md"

// sideCase is one request that both get.
type sideCase struct {
	what    string
	request string
	// why explains the difference; empty: there must be none.
	why string
}

// sideCases is what a guide's site meets, with what differs.
func sideCases() []sideCase {
	const host = "Host: game.example"
	get := func(path string, lines ...string) string {
		return head(append([]string{"GET " + path + " HTTP/1.1", host, "Connection: close"}, lines...)...)
	}
	socket := func(path string, lines ...string) string {
		return testkit.HandshakeRequest("game.example", path, lines...)
	}
	return []sideCase{
		{"A page", get("/app"), ""},
		{"HEAD of it", head("HEAD /app HTTP/1.1", host, "Connection: close"), ""},
		{"What the application reads", get("/fields"),
			"Apache adds `X-Forwarded-Server`, Holdfast `X-Forwarded-Proto` and `X-Request-Id`, without which an application cannot tell https or find a request in the logs"},
		{"The application redirects to its own address", get("/away"), ""},
		{"It redirects to a path", get("/relative"), ""},
		{"It sets a cookie", get("/cookie"), ""},
		{"A WebSocket, and an echo on it", socket("/chat/room"), ""},
		{"One with a subprotocol", socket("/chat/room", "Sec-WebSocket-Protocol: chat"), ""},
		{"A WebSocket where Apache has `http://`", socket("/app/echo"),
			"Apache needs `upgrade=websocket` on each such ProxyPass and otherwise drops Upgrade, so the application answers as to a GET; Holdfast passes upgrades on every route"},
		{"A handshake without a key", strings.Replace(socket("/chat/room"), "Sec-WebSocket-Key: "+testkit.HandshakeKey+"\r\n", "", 1),
			""},
		{"A handshake of version 8", strings.Replace(socket("/chat/room"), "Version: 13", "Version: 8", 1),
			"Apache leaves the check to the server; Holdfast makes it, and names the version that is spoken (RFC 6455, section 4.2.2)"},
		{"The server is down", get("/dead/"),
			"502 is a gateway's word for a server that cannot be reached (RFC 9110, section 15.6.3); 503 is kept for a pool in which no server is usable"},
		{"A handshake, and the server is down", socket("/dead/"),
			"As above"},
		{"The server does not answer in time", get("/slow"),
			"504 is the status for an answer that does not come in time (RFC 9110, section 15.6.5); this Apache says 502"},
		{"An address that may not come in", get("/office/"), ""},
		{"No name and password", get("/members/"),
			"Holdfast tells browsers in which encoding to send names (RFC 7617, section 2.1)"},
		{"A wrong password", get("/members/", "Authorization: Basic YWRhOndyb25n"), "As above"},
		{"The right one", get("/members/", "Authorization: Basic YWRhOnJpZ2h0"), ""},
		{"http:// to https://", head("GET /room?x=1 HTTP/1.1", "Host: secure.example", "Connection: close"),
			"301 lets a client turn a POST into a GET, 308 does not (RFC 9110, section 15.4.9)"},
		{"A host that nobody configured", head("GET /app HTTP/1.1", "Host: other.example", "Connection: close"),
			"Apache serves its first virtual host; Holdfast has nothing for a host that no route names. A route without `hosts` serves any"},
		{"A header field of 9,000 bytes", get("/app", "X-Large: "+strings.Repeat("x", 9000)),
			"Apache's LimitRequestFieldSize is 8,190 bytes a field; Holdfast's `limits.max_header_bytes` is 16 KiB in all"},
		{"A header of 40,000 bytes", get("/app", "X-One: "+strings.Repeat("x", 8000), "X-Two: "+strings.Repeat("x", 8000), "X-Three: "+strings.Repeat("x", 8000), "X-Four: "+strings.Repeat("x", 8000), "X-Five: "+strings.Repeat("x", 8000)),
			""},
		{"No HTTP at all", "nonsense\r\n\r\n", ""},
		{"CONNECT", head("CONNECT game.example:443 HTTP/1.1", host, "Connection: close"),
			"Neither is a forward proxy: Apache gives the application a request for `/`, Holdfast says that it does not do that"},
		{"A request target with ..", get("/chat/../office/"),
			"Apache resolves the dots and serves what is found then; Holdfast refuses a path that server and balancer could read in two ways"},
	}
}

// shownFields are the headers that matter.
var shownFields = []string{
	"Location", "Set-Cookie", "Www-Authenticate", "Upgrade", "Sec-Websocket-Accept", "Sec-Websocket-Protocol",
	"Sec-Websocket-Version", "Allow", "Retry-After",
}

// Beside Debian's Apache with a guide's configuration, the same requests have
// the same answers, but for what docs/apache-side-by-side.md explains. With
// -update-apache the page is written anew.
func TestBesideApache(t *testing.T) {
	t.Parallel()
	apache, err := exec.LookPath("apache2")
	if err != nil {
		t.Skip("apache2 is not installed")
	}
	origin := startOrigin(t)
	users := filepath.Join(t.TempDir(), "users")
	writeUsers(t, users, "right")
	dead := freeAddr(t)
	apacheAddr := startApache(t, apache, origin.Addr, dead, users)
	p := start(t, setup{rest: fmt.Sprintf(`
routes:
  - {name: secure, hosts: [secure.example], redirect: {status: 308, to: "https://$host$path?$query"}}
  - {name: chat, hosts: [game.example], path: /chat, strip_prefix: /chat, pool: origin}
  - {name: dead, hosts: [game.example], path: /dead, pool: dead}
  - {name: office, hosts: [game.example], path: /office, pool: origin, access: {allow: ["10.0.0.0/8"]}}
  - {name: members, hosts: [game.example], path: /members, pool: origin, auth: {basic: {realm: members, users_file: %q}}}
  - {name: app, hosts: [game.example], path: /, pool: origin, rewrite_redirects: true, timeouts: {response: 1s}}
pools:
%s%s`, users, onePool("origin", []string{origin.Addr}), onePool("dead", []string{dead}))})

	hide := strings.NewReplacer(origin.Addr, "10.0.0.1:9000", dead, "10.0.0.2:9000", apacheAddr, "game.example", p.web, "game.example")
	var page strings.Builder
	page.WriteString(apacheHead)
	version, _ := exec.Command(apache, "-v").Output()
	for _, c := range sideCases() {
		theirs, ours := hide.Replace(answerOf(t, apacheAddr, c.request)), hide.Replace(answerOf(t, p.web, c.request))
		if differ := theirs != ours; differ != (c.why != "") {
			t.Errorf("%s: differ: %t, explained: %t\nApache:   %s\nHoldfast: %s", c.what, differ, c.why != "", theirs, ours)
		}
		why := c.why
		if why == "" {
			why = "the same"
		}
		fmt.Fprintf(&page, "| %s | %s | %s | %s |\n", c.what, theirs, ours, why)
	}
	if *updateApache {
		if err := os.WriteFile(apacheDocument, []byte(page.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if mustRead(t, apacheDocument) != page.String() {
		t.Errorf("%s is out of date: scripts/apache-side-by-side.sh writes it (%s)", apacheDocument, strings.TrimSpace(string(version)))
	}
}

const apacheHead = `# Beside Apache

<!-- Written by scripts/apache-side-by-side.sh, that is go test ./e2e -run TestBesideApache -update-apache. -->

The same requests through Debian's Apache 2.4 with a guide's configuration (` + "`ProxyPass`, `ProxyPassReverse`" + `,
` + "`ProxyPreserveHost On`, virtual hosts, `Require ip`, `AuthType Basic`, `ProxyTimeout`" + `) and through Holdfast with the
counterparts of [from-apache.md](from-apache.md). A test sends them to both where Apache is installed, and fails if an
answer differs and is not explained here. Bodies of refusals are left out: Apache's are pages of HTML, Holdfast's one
line with a code.

| Request | Apache | Holdfast | |
|---|---|---|---|
`

// answerOf sends a request and puts what matters of the answer into a line.
func answerOf(t testing.TB, addr, request string) string {
	t.Helper()
	c := testkit.DialTCP(t, addr)
	c.Send(request)
	resp := c.ReadResponse(patience)
	parts := []string{fmt.Sprint(resp.StatusCode)}
	for _, name := range shownFields {
		for _, value := range resp.Header.Values(name) {
			parts = append(parts, fmt.Sprintf("`%s: %s`", name, value))
		}
	}
	switch {
	case resp.StatusCode == http.StatusSwitchingProtocols:
		raw := &testkit.Raw{TCP: c, Response: resp}
		raw.SendFrames(testkit.Text("hello").Mask())
		if f := raw.ReadFrame(patience); string(f.Payload) == "hello" {
			parts = append(parts, "echo")
		}
	case resp.StatusCode == http.StatusOK && !strings.HasPrefix(request, "HEAD"):
		body := make([]byte, 2000)
		n, _ := io.ReadFull(resp.Body, body)
		if text := strings.TrimSpace(string(body[:n])); text != "" {
			parts = append(parts, text)
		}
	}
	return strings.Join(parts, ", ")
}

// startApache runs Apache as a guide sets it up, and returns where it listens.
func startApache(t testing.TB, program, origin, dead, users string) string {
	t.Helper()
	dir := t.TempDir()
	addr := freeAddr(t)
	modules := "/usr/lib/apache2/modules"
	if _, err := os.Stat(modules); err != nil {
		t.Skipf("no modules of Apache: %v", err)
	}
	var conf strings.Builder
	for _, m := range []string{"mpm_event", "authn_core", "authn_file", "authz_core", "authz_host", "authz_user", "auth_basic",
		"alias", "headers", "proxy", "proxy_http", "proxy_wstunnel", "rewrite"} {
		fmt.Fprintf(&conf, "LoadModule %s_module %s/mod_%s.so\n", m, modules, m)
	}
	fmt.Fprintf(&conf, `
ServerRoot %[1]q
DefaultRuntimeDir %[1]q
PidFile apache.pid
ErrorLog error.log
User nobody
Group nogroup
Listen %[2]s
ServerName localhost
ProxyTimeout 1
<VirtualHost *:*>
    ServerName game.example
    ProxyPreserveHost On
    ProxyPass /chat/ ws://%[3]s/
    ProxyPass /dead/ http://%[4]s/dead/
    ProxyPass / http://%[3]s/
    ProxyPassReverse / http://%[3]s/
    <Location /office>
        Require ip 10.0.0.0/8
    </Location>
    <Location /members>
        AuthType Basic
        AuthName members
        AuthUserFile %[5]q
        Require valid-user
    </Location>
</VirtualHost>
<VirtualHost *:*>
    ServerName secure.example
    Redirect permanent / https://secure.example/
</VirtualHost>
`, dir, addr, origin, dead, users)
	file := filepath.Join(dir, "apache.conf")
	if err := os.WriteFile(file, []byte(conf.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	// Its workers give root up and read the users all the same.
	for _, d := range []string{dir, filepath.Dir(dir), filepath.Dir(users), filepath.Dir(filepath.Dir(users)), users} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, program, "-f", file, "-D", "FOREGROUND")
	cmd.Cancel = func() error { return cmd.Process.Signal(stopSignal) }
	cmd.WaitDelay = patience
	errors := &strings.Builder{}
	cmd.Stderr = errors
	if err := cmd.Start(); err != nil {
		t.Skipf("apache2 does not start: %v", err)
	}
	t.Cleanup(func() {
		stop()
		_ = cmd.Wait()
	})
	deadline := time.Now().Add(patience)
	for !answers(addr) {
		if time.Now().After(deadline) {
			text, _ := os.ReadFile(filepath.Join(dir, "error.log"))
			t.Fatalf("apache2 does not serve: %s%s", errors, text)
		}
		time.Sleep(20 * time.Millisecond)
	}
	return addr
}

// startOrigin is the application, and the server of /chat.
func startOrigin(t testing.TB) *testkit.Backend {
	t.Helper()
	echo := testkit.Echo()
	done := make(chan struct{})
	backend := testkit.StartBackend(t, func(ctx *fasthttp.RequestCtx) {
		h := &ctx.Response.Header
		switch path := string(ctx.Path()); {
		case len(ctx.Request.Header.Peek("Upgrade")) > 0:
			echo(ctx)
		case path == "/away":
			ctx.Response.SetStatusCode(http.StatusFound)
			h.Set("Location", "http://"+ctx.LocalAddr().String()+"/room?a=b")
		case path == "/relative":
			ctx.Response.SetStatusCode(http.StatusFound)
			h.Set("Location", "login")
		case path == "/cookie":
			h.Add("Set-Cookie", "session=1; Path=/; HttpOnly; SameSite=Lax")
		case path == "/slow":
			select {
			case <-time.After(patience):
			case <-done:
			}
		case path == "/fields":
			for _, name := range []string{"Host", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Server", "X-Request-Id"} {
				if value := ctx.Request.Header.Peek(name); name == "X-Request-Id" && len(value) > 0 {
					fmt.Fprintf(ctx, "`%s: ...` ", name)
				} else if len(value) > 0 {
					fmt.Fprintf(ctx, "`%s: %s` ", name, value)
				}
			}
		default:
			fmt.Fprintf(ctx, "`%s`", path)
		}
	})
	t.Cleanup(func() { close(done) }) // before the backend is stopped
	return backend
}

// answers tells whether somebody accepts connections there.
func answers(addr string) bool {
	c, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return false
	}
	c.Close()
	return true
}
