package proxy

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/valyala/fasthttp"
	"golang.org/x/crypto/bcrypt"

	"github.com/holdfast-lb/holdfast/accesslog"
	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// guardedRig is a proxy whose only route has a guard.
type guardedRig struct {
	*rig
	backend *testkit.Backend
	heads   chan string // of the requests that reached the backend
}

func startGuarded(t *testing.T, change func(*config.Config)) *guardedRig {
	t.Helper()
	g := &guardedRig{heads: make(chan string, 100)}
	g.backend = testkit.StartBackend(t, func(ctx *fasthttp.RequestCtx) {
		g.heads <- string(ctx.Request.Header.RawHeaders())
		ctx.SetBodyString("ok")
	})
	cfg := configOf(g.backend.Addr)
	change(cfg)
	g.rig = start(t, cfg)
	return g
}

// ask sends a request and a handshake with these fields and expects of both
// the same: status and class, or to come in. No relay is here, so a handshake
// that comes in is answered with 501.
func (g *guardedRig) ask(t *testing.T, target string, fields []string, status int, class string) (answers [2]string) {
	t.Helper()
	for i := range answers {
		kind := "request"
		lines := append([]string{"GET " + target + " HTTP/1.1", "Host: game.example.com"}, fields...)
		wantStatus, wantClass := status, class
		if i == 1 {
			kind = "handshake"
			lines = append(lines, "Upgrade: websocket", "Sec-WebSocket-Key: "+sampleKey, "Sec-WebSocket-Version: 13", "Connection: Upgrade")
			if status == 200 {
				wantStatus, wantClass = 501, "unsupported"
			}
		}
		before := g.backend.Requests()
		c := testkit.DialTCP(t, g.addr)
		c.Send(strings.Join(lines, "\r\n") + "\r\n\r\n")
		resp := c.ReadResponse(patience)
		var body bytes.Buffer
		_, _ = body.ReadFrom(resp.Body)
		if resp.StatusCode != wantStatus || wantClass != "" && !strings.Contains(body.String(), "("+wantClass+", request ") ||
			wantClass == "unsupported" && !strings.HasPrefix(body.String(), "HF-9002 ") {
			t.Errorf("%s of %s with %q: %d %s; want %d %s", kind, target, fields, resp.StatusCode, body.String(), wantStatus, wantClass)
		}
		if came := g.backend.Requests() != before; came != (resp.StatusCode == 200) {
			t.Errorf("%s of %s with %q: the backend was asked: %t", kind, target, fields, came)
		}
		answers[i] = resp.Header.Get("WWW-Authenticate")
		if resp.StatusCode == 302 {
			answers[i] = resp.Header.Get("Location")
		}
	}
	g.expectIdle(t, g.backend.Addr)
	return answers
}

func TestGuardAccess(t *testing.T) {
	f := func(allow, deny []string, forwardedFor string, status int) {
		t.Helper()
		g := startGuarded(t, func(c *config.Config) {
			c.Listeners[0].TrustedProxies = []string{"127.0.0.1"}
			c.Routes[0].Access = config.Access{Allow: allow, Deny: deny}
		})
		class := ""
		if status == 403 {
			class = "address_denied"
		}
		var fields []string
		if forwardedFor != "" {
			fields = []string{"X-Forwarded-For: " + forwardedFor}
		}
		g.ask(t, "/", fields, status, class)
	}
	list := func(s ...string) []string { return s }
	f(list("127.0.0.0/8"), nil, "", 200)
	f(list("10.0.0.0/8"), nil, "", 403)
	f(nil, list("127.0.0.1"), "", 403)
	f(list("127.0.0.1"), list("127.0.0.0/8"), "", 403)
	// Behind a trusted proxy the client's own address counts.
	f(list("1.1.1.0/24"), nil, "1.1.1.1", 200)
	f(list("1.1.1.0/24"), nil, "1.1.1.1, 2.2.2.2", 403) // the first may be forged
	f(nil, list("2001:db8::/32"), "2001:db8::1", 403)
}

func TestGuardOrigins(t *testing.T) {
	g := startGuarded(t, func(c *config.Config) { c.Routes[0].Origins = []string{"https://game.example.com"} })
	g.ask(t, "/", []string{"Origin: https://game.example.com"}, 200, "")
	g.ask(t, "/", nil, 200, "")
	c := testkit.DialTCP(t, g.addr)
	c.Send(testkit.HandshakeRequest(g.addr, "/", "Origin: https://evil.example"))
	resp := c.ReadResponse(patience)
	var body bytes.Buffer
	_, _ = body.ReadFrom(resp.Body)
	if resp.StatusCode != 403 || !strings.Contains(body.String(), "(origin_denied, request ") {
		t.Errorf("%d %s", resp.StatusCode, body.String())
	}
	// A request that is no handshake is not looked at.
	if got := g.exchange(t, "GET / HTTP/1.1\r\nHost: x\r\nOrigin: https://evil.example\r\nConnection: close\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 200 ") {
		t.Errorf("%q", got)
	}
}

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestGuardBasic(t *testing.T) {
	hash, err := bcrypt.GenerateFromPassword([]byte("right"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	g := startGuarded(t, func(c *config.Config) {
		c.Routes[0].Auth = &config.Auth{Basic: &config.BasicAuth{Realm: "ops", UsersFile: writeFile(t, "users", "ada:"+string(hash))}}
	})
	basic := func(s string) string { return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(s)) }
	f := func(status int, class string, fields ...string) {
		t.Helper()
		for _, challenge := range g.ask(t, "/", fields, status, class) {
			if want := `Basic realm="ops", charset="UTF-8"`; status == 401 && challenge != want {
				t.Errorf("%q: challenge %q", fields, challenge)
			}
		}
	}
	f(200, "", basic("ada:right"))
	f(401, "credentials_missing")
	f(401, "credentials_missing", "Authorization: Bearer x")
	f(401, "credentials_wrong", basic("ada:wrong"))
	f(401, "credentials_wrong", basic("eve:right"))
	f(401, "credentials_wrong", basic("ada:right"), basic("ada:right"))
}

const tokenSecret = "0123456789abcdef0123456789abcdef"

func tokenFor(t *testing.T, method jwt.SigningMethod, key any, kid, audience string, life time.Duration) string {
	t.Helper()
	token := jwt.NewWithClaims(method, jwt.MapClaims{"aud": audience, "exp": time.Now().Add(life).Unix()})
	if kid != "" {
		token.Header["kid"] = kid
	}
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestGuardTokens(t *testing.T) {
	file := writeFile(t, "secret", tokenSecret)
	hs := func(audience string, life time.Duration) string {
		return tokenFor(t, jwt.SigningMethodHS256, []byte(tokenSecret), "", audience, life)
	}
	valid, none := hs("game", time.Hour), tokenFor(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, "", "game", time.Hour)
	for _, from := range []string{"header", "query:token", "cookie:token"} {
		g := startGuarded(t, func(c *config.Config) {
			c.Routes[0].Auth = &config.Auth{JWT: &config.JWTAuth{SecretFile: file, Audience: "game", From: from}}
		})
		f := func(what, token string, status int, class string) {
			t.Helper()
			target, fields := "/ws?room=7", []string(nil)
			switch {
			case token == "":
			case from == "header":
				fields = []string{"Authorization: Bearer " + token}
			case from == "cookie:token":
				fields = []string{"Cookie: theme=dark; token=" + token}
			default:
				target += "&token=" + token
			}
			want := ""
			switch {
			case class == "token_missing":
				want = "Bearer"
			case status == 401:
				want = `Bearer error="invalid_token"`
			}
			for _, challenge := range g.ask(t, target, fields, status, class) {
				if challenge != want {
					t.Errorf("%s, %s: challenge %q, want %q", from, what, challenge, want)
				}
			}
		}
		f("valid", valid, 200, "")
		f("expired", hs("game", -time.Hour), 401, "token_expired")
		f("wrong audience", hs("chat", time.Hour), 401, "token_audience")
		f("none", none, 401, "token_wrong")
		f("garbage", "x.y.z", 401, "token_wrong")
		f("missing", "", 401, "token_missing")
		switch from {
		case "header":
			g.ask(t, "/", []string{"Authorization: Bearer " + valid, "Authorization: Bearer " + none}, 401, "token_wrong")
		case "query:token":
			g.ask(t, "/?token="+valid+"&token="+none, nil, 401, "token_wrong")
			g.ask(t, "/?token="+valid+"&%74oken="+none, nil, 401, "token_wrong")
		case "cookie:token":
			g.ask(t, "/", []string{"Cookie: token=" + valid + "; token=" + none}, 401, "token_wrong")
			g.ask(t, "/", []string{"Cookie: token=" + valid, "Cookie: token=" + none}, 401, "token_wrong")
		}
	}
}

// Keys come from a server; a reload that names it again keeps them.
func TestGuardKeys(t *testing.T) {
	public, private, _ := ed25519.GenerateKey(rand.Reader)
	set, err := json.Marshal(map[string]any{"keys": []map[string]string{
		{"kty": "OKP", "crv": "Ed25519", "kid": "k", "x": base64.RawURLEncoding.EncodeToString(public)},
	}})
	if err != nil {
		t.Fatal(err)
	}
	login := testkit.StartBackend(t, func(ctx *fasthttp.RequestCtx) { ctx.SetBody(set) })
	token := tokenFor(t, jwt.SigningMethodEdDSA, private, "k", "game", time.Hour)
	with := func(c *config.Config, url string) {
		c.Routes[0].Auth = &config.Auth{JWT: &config.JWTAuth{JWKSURL: url, Audience: "game", From: "header"}}
	}
	g := startGuarded(t, func(c *config.Config) { with(c, "http://"+login.Addr+"/keys") })
	bearer := []string{"Authorization: Bearer " + token}
	confused := []string{"Authorization: Bearer " + tokenFor(t, jwt.SigningMethodHS256, []byte(public), "k", "game", time.Hour)}
	g.ask(t, "/", bearer, 200, "") // waits for the first keys
	g.ask(t, "/", confused, 401, "token_wrong")

	login.Stop(t)
	cfg := configOf(g.backend.Addr)
	with(cfg, "http://"+login.Addr+"/keys")
	cfg.Routes[0].Retries = 1
	g.swap(t, cfg)
	g.ask(t, "/", bearer, 200, "")
	if n := login.Requests(); n != 1 {
		t.Errorf("the keys were fetched %d times", n)
	}
	cfg = configOf(g.backend.Addr)
	with(cfg, "http://"+login.Addr+"/other")
	g.swap(t, cfg)
	g.ask(t, "/", bearer, 503, "keys_missing")
}

func TestGuardForward(t *testing.T) {
	seen := make(chan string, 100)
	judge := testkit.StartBackend(t, func(ctx *fasthttp.RequestCtx) {
		h := &ctx.Request.Header
		if h.Peek("Sec-Websocket-Key") != nil || h.Peek("Content-Length") != nil {
			ctx.SetStatusCode(500)
			return
		}
		seen <- string(h.Peek("X-Forwarded-Method")) + " " + string(h.Peek("X-Forwarded-Uri")) + " " +
			string(h.Peek("X-Forwarded-Host")) + " " + string(h.Peek("X-Forwarded-For"))
		switch string(h.Cookie("who")) {
		case "ada":
			ctx.Response.Header.Set("X-User", "ada")
			ctx.Response.Header.Set("X-Internal", "not copied")
		case "eve":
			ctx.SetStatusCode(403)
			ctx.SetBodyString("no")
		case "down":
			ctx.SetStatusCode(500)
		default:
			ctx.Redirect("https://login.example.com/?back", 302)
		}
	})
	with := func(c *config.Config) {
		c.Routes[0].Auth = &config.Auth{Forward: &config.ForwardAuth{
			URL: "http://" + judge.Addr + "/verify", CopyHeaders: []string{"X-User", "X_Role"}, Timeout: patience}}
	}
	g := startGuarded(t, with)
	g.ask(t, "/a?b", []string{"Cookie: who=ada", "x_user: root", "X-Role: admin", "X-Other: kept"}, 200, "")
	if got, want := <-seen, "GET /a?b game.example.com 127.0.0.1"; got != want {
		t.Errorf("the server was asked %q, want %q", got, want)
	}
	head := strings.ToLower(<-g.heads)
	if !strings.Contains(head, "x-user: ada\r\n") || !strings.Contains(head, "x-other: kept") ||
		strings.Contains(head, "root") || strings.Contains(head, "admin") || strings.Contains(head, "x-internal") {
		t.Errorf("the backend was sent %q", head)
	}
	g.ask(t, "/", []string{"Cookie: who=eve"}, 403, "")
	for _, location := range g.ask(t, "/", nil, 302, "") {
		if location != "https://login.example.com/?back" {
			t.Errorf("Location %q", location)
		}
	}
	g.ask(t, "/", []string{"Cookie: who=down"}, 502, "auth_broken")
	judge.Stop(t)
	g.ask(t, "/", []string{"Cookie: who=ada"}, 503, "auth_unavailable")
}

// A token never reaches the access log, whatever became of the request.
func TestTokensAreNotLogged(t *testing.T) {
	token := tokenFor(t, jwt.SigningMethodHS256, []byte(tokenSecret), "", "game", time.Hour)
	g := startGuarded(t, func(c *config.Config) {
		c.Routes[0].Path = "/ws"
		c.Routes[0].Auth = &config.Auth{JWT: &config.JWTAuth{SecretFile: writeFile(t, "secret", tokenSecret), From: "query:token"}}
	})
	file := filepath.Join(t.TempDir(), "access.log")
	l, err := accesslog.Open(file, "json")
	if err != nil {
		t.Fatal(err)
	}
	g.proxy.SetAccessLogs(&AccessLogs{Default: l})
	g.ask(t, "/ws?token="+token, []string{"Referer: https://x/?a=1&token=" + token}, 200, "")
	g.ask(t, "/ws?token=x"+token+"&room=7", nil, 401, "token_wrong")
	g.ask(t, "/ws?%74%6Fken="+token+"&token="+token, nil, 401, "token_wrong")
	g.ask(t, "/elsewhere?token="+token, nil, http.StatusNotFound, "no_route")
	g.proxy.SetAccessLogs(nil)
	l.Close()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(data), token) {
		t.Errorf("a token is in\n%s", data)
	}
	for _, want := range []string{`"uri":"/ws?token=[redacted]"`, `"uri":"/ws?token=[redacted]&room=7"`, `"referer":"https://x/?a=1&token=[redacted]"`} {
		if strings.Count(string(data), want) != 2 {
			t.Errorf("%s is not there twice:\n%s", want, data)
		}
	}
}

func TestRedact(t *testing.T) {
	rt := &Runtime{tokenParameters: []string{"token", "jwt"}}
	f := func(url, want string) {
		t.Helper()
		if got := rt.redact(url); got != want {
			t.Errorf("%s becomes %s, want %s", url, got, want)
		}
	}
	f("", "")
	f("/token=x", "/token=x")
	f("/?", "/?")
	f("/?token", "/?token")
	f("/?token=", "/?token=[redacted]")
	f("/?token=x", "/?token=[redacted]")
	f("/?a=1&token=x&b=2&jwt=y&token=z", "/?a=1&token=[redacted]&b=2&jwt=[redacted]&token=[redacted]")
	f("/?xtoken=x&tokenx=y&Token=z", "/?xtoken=x&tokenx=y&Token=z")
	f("/?%74%6fke%6E=x", "/?%74%6fke%6E=[redacted]")
	f("/?%7=x&token%=y&%zz=w", "/?%7=x&token%=y&%zz=w")
	f("/?token=a?token=b", "/?token=[redacted]")
	if got := (*Runtime)(nil).redact("/?token=x"); got != "/?token=x" {
		t.Errorf("without a Runtime: %s", got)
	}
}
