package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/crypto/bcrypt"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// writeSecret writes a file that only its owner may read.
func writeSecret(t testing.TB, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatalf("write file: %v", err)
	}
}

// writeUsers writes a users file with ada in it, and returns the hash of her
// password, the cheapest that there is.
func writeUsers(t testing.TB, file, password string) (hash string) {
	t.Helper()
	made, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	writeSecret(t, file, "ada:"+string(made)+"\n")
	return string(made)
}

// A socket opens with a good token in its query alone; without one, and from a
// page of another origin, no backend hears of it, and no token is logged.
func TestSocketNeedsToken(t *testing.T) {
	const secret = "a secret that has 32 bytes or more"
	file := filepath.Join(t.TempDir(), "secret")
	writeSecret(t, file, secret+"\n")
	token := func(audience string, life time.Duration) string {
		text, err := jwt.NewWithClaims(jwt.SigningMethodHS256,
			jwt.MapClaims{"aud": audience, "exp": time.Now().Add(life).Unix()}).SignedString([]byte(secret))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	backend := testkit.StartBackend(t, testkit.Echo())
	p := start(t, setup{rest: fmt.Sprintf(`routes:
- path: /ws
  pool: arena
  origins: ["https://*.example.com"]
  auth: {jwt: {secret_file: %q, audience: game, from: "query:token"}}
pools: {arena: {backends: [{url: "http://%s"}]}}`, file, backend.Addr)})

	good := token("game", time.Hour)
	socket := testkit.DialRaw(t, p.web, "/ws?token="+good, "Origin: https://play.example.com")
	socket.SendFrames(testkit.Text("hello").Mask())
	if f := socket.ReadFrame(patience); string(f.Payload) != "hello" {
		t.Errorf("echo of %q", f.Payload)
	}
	before := backend.Requests()
	f := func(path, origin string, status int, class string) {
		t.Helper()
		resp, body := exchange(t, p.web, testkit.HandshakeRequest(p.web, path, "Origin: "+origin))
		if resp.StatusCode != status || !strings.Contains(body, "("+class+", request ") {
			t.Errorf("%s from %s: %d %s; want %d %s", path, origin, resp.StatusCode, body, status, class)
		}
	}
	f("/ws?token="+good, "https://evil.example", http.StatusForbidden, "origin_denied")
	f("/ws", "https://play.example.com", http.StatusUnauthorized, "token_missing")
	expired, other := token("game", -time.Hour), token("chat", time.Hour)
	f("/ws?token="+expired, "https://play.example.com", http.StatusUnauthorized, "token_expired")
	f("/ws?token="+other, "https://play.example.com", http.StatusUnauthorized, "token_audience")
	if n := backend.Requests() - before; n != 0 {
		t.Errorf("%d refused handshakes reached the backend", n)
	}
	p.counted(4, "holdfast_handshakes_total", `result="denied"`)
	socket.SendFrames(testkit.Close(1000, "").Mask())
	lines := p.accessLines("access.log", 5)
	logged := fmt.Sprint(lines) + p.read("access.log") + p.log()
	for _, secret := range []string{good, expired, other, secret} {
		if strings.Contains(logged, secret) {
			t.Errorf("the logs hold %s", secret)
		}
	}
}

// No path goes around a guard, however a backend may understand it: none of
// these reaches one.
func TestPathsAroundGuards(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "users")
	writeUsers(t, file, "x")
	backend := testkit.StartBackend(t, nil)
	p := start(t, setup{rest: fmt.Sprintf(`routes:
- {path: /, pool: web}
- {path: /admin, pool: web, auth: {basic: {users_file: %q}}}
- {path: /ip, pool: web, access: {deny: [127.0.0.1/32]}}
- {path: /f, pool: web, auth: {forward: {url: "http://127.0.0.1:1/"}}}
pools: {web: {backends: [{url: "http://%s"}]}}`, file, backend.Addr)})
	f := func(path string, status int) {
		t.Helper()
		before := backend.Requests()
		resp, body := exchange(t, p.web, "GET "+path+" HTTP/1.1\r\nHost: a\r\n\r\n")
		if resp.StatusCode != status {
			t.Errorf("%s: %d %s, want %d", path, resp.StatusCode, body, status)
		}
		if n := backend.Requests() - before; n != 0 && status != http.StatusOK {
			t.Errorf("%s reaches the backend", path)
		}
	}
	f("/y?/../admin", http.StatusOK)
	f("/admin", http.StatusUnauthorized)
	f("/ip", http.StatusForbidden)
	f("/f", http.StatusServiceUnavailable)
	for _, path := range []string{
		"/%61dmin/..;/y", "/x/../admin/..;/y", "/%61dmin/..%5cy", "/%61dmin/%5c..%5c..%5cy", "/x/../admin/index.php/..;/..;/y",
		"/%61dmin/secret;%2f..%2f..%2fy", "/x/../admin/%2e%2e/y", `/%61dmin/..\y`, "/%69p/..;/y", "/x/../ip/%2e%2e/y", "/%66/..;/y",
		"//cdn/admin", `/\cdn/admin`, "/;%2fx/admin", "/%2561dmin", "/admin%0a",
	} {
		f(path, http.StatusBadRequest)
	}
}

// Who sends a body with a handshake that is refused, whatever for, is not
// listened to any longer.
func TestRefusedHandshakeWithBody(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "users")
	writeUsers(t, file, "x")
	judge := startServer(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
	backend := testkit.StartBackend(t, nil)
	p := start(t, setup{rest: fmt.Sprintf(`routes:
- {path: /, pool: web}
- {path: /basic, pool: web, auth: {basic: {users_file: %q}}}
- {path: /page, pool: web, origins: ["https://good.example"]}
- {path: /judged, pool: web, auth: {forward: {url: "http://%s"}}}
pools: {web: {backends: [{url: "http://%s"}]}}`, file, judge, backend.Addr)})
	f := func(path string, status int, lines ...string) {
		t.Helper()
		c := testkit.DialTCP(t, p.web)
		c.Send(get(path, append(lines, "Connection: Upgrade", "Upgrade: websocket", "Transfer-Encoding: chunked")...))
		_ = c.SetDeadline(time.Now().Add(patience))
		chunks := []byte(strings.Repeat("1;"+strings.Repeat("e", 1000)+"\r\nx\r\n", 64))
		var err error
		for err == nil { // until it is reset
			_, err = c.Write(chunks)
		}
		if os.IsTimeout(err) {
			t.Errorf("%s: still read after %v", path, patience)
		}
		c = testkit.DialTCP(t, p.web)
		c.Send(get(path, append(lines, "Connection: Upgrade", "Upgrade: websocket", "Transfer-Encoding: chunked")...))
		if resp := c.ReadResponse(patience); resp.StatusCode != status || !resp.Close {
			t.Errorf("%s: %d, closed %t; want %d, closed", path, resp.StatusCode, resp.Close, status)
		}
	}
	f("/", http.StatusBadRequest)
	f("/basic", http.StatusUnauthorized)
	f("/page", http.StatusForbidden, "Origin: https://evil.example")
	f("/judged", http.StatusForbidden)
}

// A changed users file is taken at SIGHUP although the configuration is the
// same, and one with a mistake is not.
func TestUsersFileIsReloaded(t *testing.T) {
	file := filepath.Join(t.TempDir(), "users")
	users := func(password string) { writeUsers(t, file, password) }
	users("first")
	backend := testkit.StartBackend(t, nil)
	p := start(t, setup{rest: fmt.Sprintf(`routes: [{pool: web, auth: {basic: {users_file: %q}}}]
pools: {web: {backends: [{url: "http://%s"}]}}`, file, backend.Addr)})
	client := newClient(t)
	f := func(password string, status int) {
		t.Helper()
		req := request(t, "GET", "http://"+p.web+"/", nil)
		req.SetBasicAuth("ada", password)
		if resp, body := fetch(t, client, req); resp.StatusCode != status {
			t.Errorf("password %s: %d %s, want %d", password, resp.StatusCode, body, status)
		}
	}
	f("first", http.StatusOK)
	f("second", http.StatusUnauthorized)
	p.reload()
	p.logged("configuration is unchanged")

	users("second")
	p.reload()
	f("second", http.StatusOK)
	f("first", http.StatusUnauthorized) // however lately it was right

	writeSecret(t, file, "# nobody\nada:plain\n")
	p.reload()
	p.logged("users:2: the password of")
	f("second", http.StatusOK)
	p.checkReloads(3, 1)
}
