package e2e

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/internal/explain"
	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// keyServer publishes one key at a time.
type keyServer struct{ set atomic.Pointer[[]byte] }

func (s *keyServer) publish(t testing.TB, kid string) ed25519.PrivateKey {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	set, err := json.Marshal(map[string]any{"keys": []any{map[string]string{
		"kty": "OKP", "crv": "Ed25519", "use": "sig", "kid": kid, "x": base64.RawURLEncoding.EncodeToString(public),
	}}})
	if err != nil {
		t.Fatal(err)
	}
	s.set.Store(&set)
	return private
}

// Each kind of auth, with what lets in and what does not, for a request and for
// a handshake: the socket that is let in echoes, the one that is not is
// answered before any backend hears of it.
func TestAuthTable(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const secret = "a secret that has 32 bytes or more"
	writeSecret(t, filepath.Join(dir, "secret"), secret)
	writeUsers(t, filepath.Join(dir, "users"), "right")
	keys := &keyServer{}
	first := keys.publish(t, "first")
	keysAddr := startServer(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(*keys.set.Load()) })
	judge := startServer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-User", "ada")
		switch r.Header.Get("Cookie") {
		case "session=good":
		case "session=old":
			http.Redirect(w, r, "https://login.example/", http.StatusFound)
		default:
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	echo := testkit.Echo()
	var user atomic.Value
	backend := testkit.StartBackend(t, func(ctx *fasthttp.RequestCtx) {
		user.Store(string(ctx.Request.Header.Peek("X-User")))
		echo(ctx)
	})
	p := start(t, setup{log: debugLog, rest: fmt.Sprintf(`routes:
  - {name: basic, path: /basic, pool: web, auth: {basic: {users_file: %q}}}
  - {name: shared, path: /shared, pool: web, auth: {jwt: {secret_file: %q, audience: game, from: "query:token"}}}
  - {name: keys, path: /keys, pool: web, auth: {jwt: {jwks_url: "http://%s/", audience: game, from: "cookie:token"}}}
  - {name: judged, path: /judged, pool: web, auth: {forward: {url: "http://%s/", copy_headers: [X-User]}}}
%s`, filepath.Join(dir, "users"), filepath.Join(dir, "secret"), keysAddr, judge, pool("web", []string{backend.Addr}))})

	token := func(method jwt.SigningMethod, key any, kid, audience string, life time.Duration) string {
		j := jwt.NewWithClaims(method, jwt.MapClaims{"aud": audience, "exp": time.Now().Add(life).Unix()})
		if kid != "" {
			j.Header["kid"] = kid
		}
		text, err := j.SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	enters := func(what, path string, lines ...string) {
		t.Helper()
		if resp, body := exchange(t, p.web, get(path, lines...)); resp.StatusCode != http.StatusOK {
			t.Errorf("%s: a request gets %d %s", what, resp.StatusCode, body)
		}
		socket := testkit.DialRaw(t, p.web, path, lines...)
		socket.SendFrames(testkit.Text(what).Mask())
		if f := socket.ReadFrame(patience); string(f.Payload) != what {
			t.Errorf("%s: echo of %q", what, f.Payload)
		}
		socket.Close()
	}
	refused := func(what string, status int, code, path string, lines ...string) {
		t.Helper()
		before := backend.Requests()
		for _, raw := range []string{get(path, lines...), testkit.HandshakeRequest("game.example.com", path, lines...)} {
			resp, body := exchange(t, p.web, raw)
			if resp.StatusCode != status || code != "" && body[:len(code)] != code {
				t.Errorf("%s: %d %s, want %d %s", what, resp.StatusCode, body, status, code)
			}
		}
		if backend.Requests() != before {
			t.Errorf("%s: the backend heard of it", what)
		}
		if page, found := explain.Find(code); code != "" && (!found || page.Status != status) {
			t.Errorf("%s: the page of %s has another status", what, code)
		}
	}

	enters("the right password", "/basic", "Authorization: Basic YWRhOnJpZ2h0")
	refused("a wrong password", 401, "HF-3004", "/basic", "Authorization: Basic YWRhOndyb25n")
	refused("no password", 401, "HF-3003", "/basic")

	shared := "/shared?token="
	enters("a valid token", shared+token(jwt.SigningMethodHS256, []byte(secret), "", "game", time.Hour))
	refused("an expired token", 401, "HF-3008", shared+token(jwt.SigningMethodHS256, []byte(secret), "", "game", -time.Hour))
	refused("another audience", 401, "HF-3009", shared+token(jwt.SigningMethodHS256, []byte(secret), "", "chat", time.Hour))
	refused("algorithm none", 401, "HF-3007", shared+token(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, "", "game", time.Hour))
	refused("another secret", 401, "HF-3007", shared+token(jwt.SigningMethodHS256, []byte("another secret of 32 bytes or more"), "", "game", time.Hour))
	refused("no token", 401, "HF-3006", "/shared")

	old := "Cookie: token=" + token(jwt.SigningMethodEdDSA, first, "first", "game", time.Hour)
	enters("a token by key", "/keys", old)
	second := keys.publish(t, "second")
	rotated := "Cookie: token=" + token(jwt.SigningMethodEdDSA, second, "second", "game", time.Hour)
	// Keys are fetched again ten seconds after the last time at the earliest.
	testkit.Eventually(t, 2*patience, func() bool {
		resp, _ := exchange(t, p.web, get("/keys", rotated))
		return resp.StatusCode == http.StatusOK
	}, "a token by the new key comes in")
	enters("a token by the new key", "/keys", rotated)
	refused("a token by the key that is gone", 401, "HF-3007", "/keys", old)

	enters("the auth server's yes", "/judged", "Cookie: session=good", "X-User: forged")
	if got := user.Load(); got != "ada" {
		t.Errorf("the backend reads the user %q, want that of the auth server", got)
	}
	refused("the auth server's no", 401, "", "/judged")
	refused("its way to the login", 302, "", "/judged", "Cookie: session=old")

	testkit.Eventually(t, patience, func() bool { return strings.Count(p.read("access.log"), `"user":"ada"`) == 2 },
		"the access log names the user of the request and of the socket, and nobody with a wrong password")
}

// Keys that are out in the world are fetched by way of the environment's proxy.
func TestKeysByWayOfAProxy(t *testing.T) {
	t.Parallel()
	keys := &keyServer{}
	key := keys.publish(t, "one")
	proxy := startServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Host != "keys.example" || r.URL.Path != "/set" {
			t.Errorf("the proxy is asked for %s", r.URL)
		}
		_, _ = w.Write(*keys.set.Load())
	})
	backend := testkit.StartBackend(t, nil)
	p := start(t, setup{env: []string{"HTTP_PROXY=http://" + proxy}, rest: `routes:
  - {name: keys, path: /, pool: web, auth: {jwt: {jwks_url: "http://keys.example/set", audience: game}}}
` + pool("web", []string{backend.Addr})})
	j := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{"aud": "game", "exp": time.Now().Add(time.Hour).Unix()})
	j.Header["kid"] = "one"
	token, err := j.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	if resp, body := exchange(t, p.web, get("/", "Authorization: Bearer "+token)); resp.StatusCode != http.StatusOK {
		t.Errorf("status %d: %s", resp.StatusCode, body)
	}
}
