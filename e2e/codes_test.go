package e2e

import (
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/internal/explain"
	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// provoke sends a request and checks that the answer is the one line of code
// with the status of its page, that the access log has it, and that the log
// explains it.
func (p *process) provoke(code, raw string) {
	p.t.Helper()
	page, found := explain.Find(code)
	if !found {
		p.t.Fatalf("there is no page for %s", code)
	}
	c := testkit.DialTCP(p.t, p.web)
	c.Send(raw)
	resp := c.ReadResponse(patience)
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != page.Status || !strings.HasPrefix(string(body), code+" ") || strings.Count(string(body), "\n") != 1 || strings.Contains(string(body), "127.0.0.1") {
		p.t.Errorf("%.80q: %d %q, want %d and a line of %s", raw, resp.StatusCode, body, page.Status, code)
	}
	p.explained(code)
}

// explained waits until both logs have the code, the log with its remedy.
func (p *process) explained(code string) {
	p.t.Helper()
	testkit.Eventually(p.t, patience, func() bool { return strings.Contains(p.read("access.log"), `"code":"`+code+`"`) }, "the access log has "+code)
	p.told(code)
}

// told waits until the log explains the code.
func (p *process) told(code string) {
	p.t.Helper()
	testkit.Eventually(p.t, patience, func() bool {
		for line := range strings.Lines(p.log()) {
			if strings.Contains(line, `"code":"`+code+`"`) && strings.Contains(line, `"cause":"`) && strings.Contains(line, `"remedy":"`) {
				return true
			}
		}
		return false
	}, "the log explains "+code)
}

// debugLog has the lines of what is routine, too.
const debugLog = "access: access.log, level: debug"

// What clients send wrong.
func TestCodesOfRequests(t *testing.T) {
	t.Parallel()
	echo := testkit.Echo()
	backend := testkit.StartBackend(t, func(ctx *fasthttp.RequestCtx) {
		_ = ctx.PostBody() // or the answer could come before the client's mistake
		echo(ctx)
	})
	p := start(t, setup{
		log:      debugLog,
		listener: "limits: {max_header_bytes: 4KiB, max_body_bytes: 16KiB}, timeouts: {header: 2s, body: 2s}",
		rest: `routes:
  - {name: in, path: /in, pool: web}
  - {name: away, path: /away, redirect: {to: "https://$host/"}}
` + pool("web", []string{backend.Addr}),
	})
	const host = "Host: game.example"
	p.provoke("HF-1001", "nonsense\r\n\r\n")
	p.provoke("HF-1002", head("GET /in HTTP/1.1", host, "X: "+strings.Repeat("x", 8<<10)))
	p.provoke("HF-1003", "GET /in HTTP/1.1\r\nHost")
	p.provoke("HF-1004", head("GET /away HTTP/1.1", "Host: a'b"))
	p.provoke("HF-1005", head("GET /in HTTP/1.1", host, "Connection: close"+strings.Repeat(",x", 99)))
	p.provoke("HF-1006", head("GET /in#there HTTP/1.1", host))
	p.provoke("HF-1015", head("GET /x/../in HTTP/1.1", host))
	p.provoke("HF-1016", head("get /in HTTP/1.1", host))
	p.provoke("HF-1017", head("GET /in HTTP/1.1", host, "X y: z"))
	p.provoke("HF-1018", head("POST /in HTTP/1.1", host, "Content-Length: 0", "Transfer-Encoding: chunked")+"0\r\n\r\n")
	p.provoke("HF-1019", head(append([]string{"GET /in HTTP/1.1", host}, many(300)...)...))
	p.provoke("HF-1007", head("GET /in HTTP/1.7", host))
	p.provoke("HF-1008", head("CONNECT game.example:443 HTTP/1.1", host))
	p.provoke("HF-1009", head("POST /in HTTP/1.1", host, "Content-Length: 20000")+strings.Repeat("x", 20000))
	p.provoke("HF-1010", head("POST /in HTTP/1.1", host, "Content-Length: 10")+"12345")
	p.provoke("HF-1011", head("POST /in HTTP/1.1", host, "Transfer-Encoding: chunked")+"no chunk\r\n")
	p.provoke("HF-1013", head("GET / HTTP/1.1", host))
	p.provoke("HF-5002", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03") // and waits for an answer
	p.provoke("HF-1020", strings.Replace(testkit.HandshakeRequest("game.example", "/in"), testkit.HandshakeKey, "short", 1))
	p.provoke("HF-1021", strings.Replace(testkit.HandshakeRequest("game.example", "/in"), "Version: 13", "Version: 8", 1))

	c := testkit.DialTCP(t, p.web)
	c.Send(head("POST /in HTTP/1.1", host, "Content-Length: 15000") + strings.Repeat("x", 10000))
	c.Close()
	p.explained("HF-1012")
}

// What backends do wrong, or cannot do.
func TestCodesOfBackends(t *testing.T) {
	t.Parallel()
	says := func(text string) string {
		return testkit.ServeTCP(t, func(c *net.TCPConn) {
			b := make([]byte, 4096)
			if _, err := c.Read(b); err == nil {
				_, _ = io.WriteString(c, text)
			}
		})
	}
	silent := testkit.ServeTCP(t, func(c *net.TCPConn) { _, _ = io.Copy(io.Discard, c) })
	var b strings.Builder
	b.WriteString("routes:\n")
	for _, name := range []string{"down", "full", "refused", "deaf", "broken", "bad", "late", "cut", "noTLS"} {
		connect, response := "1m", "1m"
		switch name {
		case "deaf":
			connect = "300ms"
		case "late":
			response = "1s"
		}
		fmt.Fprintf(&b, "  - {name: %s, path: /%s, pool: %s, retries: 0, timeouts: {connect: %s, response: %s}}\n", name, name, strings.ToLower(name), connect, response)
	}
	b.WriteString("pools:\n")
	b.WriteString(onePool("down", []string{freeAddr(t)}, "health: {type: tcp, interval: 100ms, timeout: 100ms, fall: 1, initial: up}"))
	fmt.Fprintf(&b, "  full: {backends: [{url: 'http://%s', max_connections: 1}]}\n", silent)
	b.WriteString(onePool("refused", []string{freeAddr(t)}))
	b.WriteString(onePool("deaf", []string{deafAddr(t)}))
	b.WriteString(onePool("broken", []string{says("")}))
	b.WriteString(onePool("bad", []string{says("SSH-2.0-OpenSSH\r\n\r\n")}))
	b.WriteString(onePool("late", []string{silent}))
	b.WriteString(onePool("cut", []string{says("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")}))
	fmt.Fprintf(&b, "  notls: {backends: [{url: 'https://%s'}]}\n", says("HTTP/1.1 400 Bad Request\r\n\r\n"))
	p := start(t, setup{log: debugLog, rest: b.String()})

	f := func(code, path string) {
		t.Helper()
		p.provoke(code, get(path))
		p.provoke(code, testkit.HandshakeRequest("game.example", path))
	}
	p.told("HF-2009")
	f("HF-2001", "/down")
	f("HF-2003", "/refused")
	f("HF-2004", "/deaf")
	f("HF-2005", "/broken")
	f("HF-2006", "/bad")
	f("HF-2007", "/late")
	p.provoke("HF-2011", get("/noTLS"))

	holder := testkit.DialTCP(t, p.web)
	holder.Send(get("/full"))
	testkit.Eventually(t, patience, func() bool { return p.metric("holdfast_backend_active", `pool="full"`, `kind="request"`) == 1 }, "the backend is full")
	p.provoke("HF-2002", get("/full"))

	c := testkit.DialTCP(t, p.web)
	c.Send(get("/cut"))
	c.ReadUntil("half", patience)
	p.explained("HF-2008")
}

// deafAddr is an address that takes no connection: its queue is full, so that
// the system drops what comes.
func deafAddr(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	addr := fmt.Sprintf("127.0.0.1:%d", name.(*syscall.SockaddrInet4).Port)
	for failed, tried := 0, 0; tried < 16; tried++ {
		c, err := net.DialTimeout("tcp", addr, 300*time.Millisecond)
		if err == nil {
			failed = 0
			t.Cleanup(func() { c.Close() })
		} else if failed++; failed == 2 { // once may be a machine that is busy
			return addr
		}
	}
	t.Skip("this system's queue of connections is not bounded by listen")
	return ""
}

// Who may not come in.
func TestCodesOfAccess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const secret = "a secret that has 32 bytes or more"
	secretFile, users := filepath.Join(dir, "secret"), filepath.Join(dir, "users")
	writeSecret(t, secretFile, secret)
	hash := writeUsers(t, users, "right")
	costly := filepath.Join(dir, "costly")
	// A hash of cost 14 is made by setting the cost: no password fits it.
	writeSecret(t, costly, "eve:"+strings.Replace(hash, "$04$", "$14$", 1)+"\n")
	backend := testkit.StartBackend(t, testkit.Echo())
	judge := startServer(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.Header.Get("X-Verdict") {
		case "no":
			w.WriteHeader(http.StatusForbidden)
		case "broken":
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	p := start(t, setup{log: debugLog, rest: fmt.Sprintf(`routes:
  - {name: office, path: /office, pool: web, access: {allow: ["10.0.0.0/8"]}}
  - {name: page, path: /page, pool: web, origins: ["https://game.example"]}
  - {name: basic, path: /basic, pool: web, auth: {basic: {users_file: %q}}}
  - {name: costly, path: /costly, pool: web, auth: {basic: {users_file: %q}}}
  - {name: jwt, path: /jwt, pool: web, auth: {jwt: {secret_file: %q, audience: game}}}
  - {name: keys, path: /keys, pool: web, auth: {jwt: {jwks_url: "http://%s/", audience: game}}}
  - {name: judged, path: /judged, pool: web, auth: {forward: {url: "http://%s/"}}}
  - {name: unjudged, path: /unjudged, pool: web, auth: {forward: {url: "http://%s/", timeout: 300ms}}}
%s`, users, costly, secretFile, freeAddr(t), judge, freeAddr(t), pool("web", []string{backend.Addr}))})
	token := func(method jwt.SigningMethod, key any, audience string, life time.Duration) string {
		text, err := jwt.NewWithClaims(method, jwt.MapClaims{"aud": audience, "exp": time.Now().Add(life).Unix()}).SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return "Authorization: Bearer " + text
	}
	// Each for a request and for a handshake.
	f := func(code, path string, lines ...string) {
		t.Helper()
		before := backend.Requests()
		p.provoke(code, get(path, lines...))
		p.provoke(code, testkit.HandshakeRequest("game.example", path, lines...))
		if n := backend.Requests() - before; n != 0 {
			t.Errorf("%s: %d requests reached the backend", code, n)
		}
	}
	f("HF-3001", "/office")
	p.provoke("HF-3002", testkit.HandshakeRequest("game.example", "/page", "Origin: https://evil.example"))
	f("HF-3003", "/basic")
	f("HF-3004", "/basic", "Authorization: Basic YWRhOndyb25n")
	f("HF-3006", "/jwt")
	f("HF-3007", "/jwt", token(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, "game", time.Hour))
	f("HF-3007", "/jwt", token(jwt.SigningMethodHS256, []byte("another secret of 32 bytes or more"), "game", time.Hour))
	f("HF-3008", "/jwt", token(jwt.SigningMethodHS256, []byte(secret), "game", -time.Hour))
	f("HF-3009", "/jwt", token(jwt.SigningMethodHS256, []byte(secret), "chat", time.Hour))
	f("HF-3010", "/keys", token(jwt.SigningMethodHS256, []byte(secret), "game", time.Hour))
	f("HF-3012", "/unjudged")
	f("HF-3013", "/judged", "X-Verdict: broken")

	// The auth server's own answer is the client's.
	if resp, _ := exchange(t, p.web, get("/judged", "X-Verdict: no")); resp.StatusCode != http.StatusForbidden {
		t.Errorf("status %d, want the 403 of the auth server", resp.StatusCode)
	}
	p.explained("HF-3011")

	// More passwords at a time than half of the processors, which there are for
	// them, verify while the last may wait, at half a second of work and more each.
	var all sync.WaitGroup
	for i := range 24 * max(1, runtime.NumCPU()/2) {
		all.Go(func() {
			c, err := net.Dial("tcp", p.web)
			if err != nil {
				t.Errorf("dial: %v", err)
				return
			}
			defer c.Close()
			password := base64.StdEncoding.EncodeToString(fmt.Append(nil, "eve:", i))
			_, _ = io.WriteString(c, get("/costly", "Authorization: Basic "+password, "Connection: close"))
			_, _ = io.Copy(io.Discard, c)
		})
	}
	all.Wait()
	p.explained("HF-3005")
	for name, raw := range map[string]string{
		"password": get("/basic", "Authorization: Basic YWRhOnJpZ2h0"),
		"token":    get("/jwt", token(jwt.SigningMethodHS256, []byte(secret), "game", time.Hour)),
		"verdict":  get("/judged"),
	} {
		if resp, body := exchange(t, p.web, raw); resp.StatusCode != http.StatusOK {
			t.Errorf("a right %s: %d %s", name, resp.StatusCode, body)
		}
	}
}

// Limits of a listener.
func TestCodesOfListeners(t *testing.T) {
	t.Parallel()
	backend := testkit.StartBackend(t, testkit.Echo())
	f := func(code, limits string, open int) {
		t.Helper()
		p := start(t, setup{log: debugLog, listener: "limits: {" + limits + "}", rest: siteOf([]string{backend.Addr})})
		for range open {
			testkit.DialRaw(t, p.web, "/")
		}
		page, _ := explain.Find(code)
		// The second within a second, at a rate, is not always the next.
		testkit.Eventually(t, patience, func() bool {
			resp, body := exchange(t, p.web, testkit.HandshakeRequest("game.example", "/"))
			return resp.StatusCode == page.Status && strings.HasPrefix(body, code+" ")
		}, "somebody is refused with "+code)
		p.told(code)
	}
	f("HF-4001", "max_connections: 2", 2)
	f("HF-4002", "max_connections_per_ip: 1", 1)
	f("HF-4003", "handshakes_per_second_per_ip: 1", 1)
}

// How sockets end.
func TestCodesOfSockets(t *testing.T) {
	t.Parallel()
	h := startHandmade(t)
	p := start(t, setup{log: debugLog, deadline: "2s", rest: "routes: [{name: all, path: /, pool: web}, {name: brief, path: /brief, pool: web, timeouts: {idle: 200ms}}]\n" + pool("web", []string{h.addr})})
	open := func(path string) (client, backend *testkit.TCP) {
		client = testkit.DialTCP(t, p.web)
		client.Send(testkit.HandshakeRequest("game.example", path))
		backend, _ = h.acceptWebSocket()
		client.ReadUntil("\r\n\r\n", patience)
		return client, backend
	}
	open("/brief")
	p.explained("HF-7001")
	client, other := open("/")
	client.Close()
	other.ExpectClosed(patience)
	other.Close()
	p.explained("HF-7003")
	client, backend := open("/")
	backend.Close()
	client.ExpectClosed(patience)
	client.Close()
	p.explained("HF-7004")
	// A handshake that comes while the process ends: the first socket's Close
	// says that it does.
	client, _ = open("/")
	accepted := p.metric("holdfast_listener_accepted_total")
	late := testkit.DialTCP(t, p.web)
	late.Send("GET / HTTP/1.1\r\n")
	testkit.Eventually(t, patience, func() bool { return p.metric("holdfast_listener_accepted_total") > accepted },
		"the late connection is accepted")
	p.signal(stopSignal)
	client.ReadN(2, patience)
	late.Send(strings.TrimPrefix(testkit.HandshakeRequest("game.example", "/"), "GET / HTTP/1.1\r\n"))
	if answer := late.ReadUntil("request ", patience); !strings.Contains(answer, "\r\n\r\nHF-9001 server is shutting down") {
		t.Errorf("a handshake at the end is answered %q", answer)
	}
	p.wait(patience)
	p.explained("HF-7002")
	p.logged(`"code":"HF-9003"`) // its backend never said Close
}

// What keeps a configuration from running.
func TestCodesOfConfigurations(t *testing.T) {
	t.Parallel()
	backend := testkit.StartBackend(t, nil)
	site := siteOf([]string{backend.Addr})
	p := start(t, setup{rest: site})
	logged := func(code, text string) {
		t.Helper()
		p.writeText(text)
		p.reload()
		testkit.Eventually(t, patience, func() bool { return strings.Contains(p.log(), `"code":"`+code+`"`) }, "the log has "+code)
	}
	logged("HF-6001", p.text("routes: [{path: nowhere}]"))
	users := filepath.Join(t.TempDir(), "users")
	writeSecret(t, users, "ada:plain\n")
	logged("HF-6002", p.text(strings.Replace(site, "pool: web}", fmt.Sprintf("pool: web, auth: {basic: {users_file: %q}}}", users), 1)))
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	logged("HF-6003", strings.Replace(p.text(site), "listeners: [", fmt.Sprintf("listeners: [{name: second, address: %q}, ", taken.Addr()), 1))
	logged("HF-6004", p.text(strings.Replace(site, "pool: web}", `pool: web, auth: {basic: {users_file: "/nowhere/users"}}}`, 1)))

	status, _, errs := command(t, "serve", "--config", filepath.Join(t.TempDir(), "gone.yaml"))
	if status != 1 || !strings.HasPrefix(errs, "holdfast: HF-6004 ") {
		t.Errorf("a file that is not there: status %d, %s", status, errs)
	}
	text := strings.Replace(p.text(site), p.admin, "127.0.0.1:0", 1)
	text = strings.Replace(text, p.web, taken.Addr().String(), 1)
	file := filepath.Join(t.TempDir(), "taken.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	status, _, errs = command(t, "serve", "--config", file)
	if status != 1 || !strings.Contains(errs, "holdfast: HF-6003 ") {
		t.Errorf("a port that is taken: status %d, %s", status, errs)
	}
}
