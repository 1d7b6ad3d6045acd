package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// What is secret is nowhere that people look: not in logs at their loudest,
// metrics, answers of the API, what check prints of a configuration that is
// wrong, nor in what the process leaves behind when it is aborted.
func TestSecretsAreNowhere(t *testing.T) {
	t.Parallel()
	secrets := map[string]string{}
	secret := func(name string) string {
		secrets[name] = "hush-" + name + "-of-at-least-32-bytes-in-all"
		return secrets[name]
	}
	cert, key := testkit.CertFiles(t, t.TempDir(), "web", testkit.NewAuthority(t).Issue("127.0.0.1"))
	secrets["key"] = strings.Split(mustRead(t, key), "\n")[1]
	hash, err := bcrypt.GenerateFromPassword([]byte("hush-right"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	secrets["hash"], secrets["password"], secrets["encoded"] = string(hash), "hush-right", "YWRhOmh1c2gtcmlnaHQ="
	away := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }))
	t.Cleanup(away.Close)
	a := startArena(t, "b1")

	p := prepare(t, setup{})
	p.token = secret("admin")
	writeSecret(t, p.path("jwt"), secret("jwt"))
	writeSecret(t, p.path("users"), "ada:"+string(hash)+"\n")
	writeSecret(t, p.path("webhook"), secret("webhook"))
	text := fmt.Sprintf(`admin: {address: %q, token: %q}
log: {access: access.log, level: debug}
shutdown: {deadline: 300ms}
listeners: [{name: web, address: %q}, {name: secure, address: %q, tls: {certificates: [{cert: %q, key: %q}]}}]
routes:
  - {name: basic, path: /basic, pool: web, auth: {basic: {users_file: users}}}
  - {name: jwt, path: /jwt, pool: web, auth: {jwt: {secret_file: jwt, from: "query:token"}}}
  - {name: keys, path: /keys, pool: web, auth: {jwt: {jwks_url: %q}}}
  - {name: forward, path: /forward, pool: web, auth: {forward: {url: %q}}}
  - {name: all, path: /, pool: web}
pools:
  web: {sticky: {by: cookie, name: seat, secret: %q}, backends: [{name: b1, url: "http://%s"}]}
  found: {discovery: {http: {url: %q, token: %q, interval: 1s}}}
tracing: {endpoint: %q, sample: 1, headers: {X-Key: %q}}
webhooks: [{name: ops, url: %q, secret_file: webhook}]
`, p.admin, p.token, p.web, freeAddr(t), cert, key, away.URL+"/?k="+secret("jwks"), away.URL+"/?k="+secret("auth"), secret("cookie"), a.Addr,
		away.URL+"/?k="+secret("list"), secret("discovery"), away.URL, secret("collector"), away.URL+"/?k="+secret("hook"))
	p.writeText(text)
	p.begin()
	testkit.Eventually(t, patience, func() bool { return p.readyStatus() == http.StatusOK }, "holdfast is ready")

	bearer := secret("bearer")
	for _, raw := range []string{
		get("/basic", "Authorization: Basic "+secrets["encoded"]), get("/basic", "Authorization: Basic "+bearer), get("/jwt?x=1&token=" + bearer), get("/jwt?%74oken=" + bearer),
		get("/keys", "Authorization: Bearer "+bearer), get("/forward", "Authorization: Bearer "+bearer, "Cookie: session="+bearer),
		testkit.HandshakeRequest("a", "/jwt?token="+bearer), get("/", "Authorization: Bearer "+bearer, "no colon"),
	} {
		exchange(t, p.web, raw)
	}
	shown := map[string]string{}
	p.writeText(strings.Replace(text, "level: debug", "level: info", 1))
	for _, args := range [][]string{{"reload", "--token", p.token}, {"status", "--json", "--token", p.token}, {"plan", "--json", "--config", p.file, "--token", p.token}} {
		out, errs, _ := p.holdfast(args...)
		shown[args[0]] = out + errs
	}
	p.writeText(strings.NewReplacer("sample: 1", "sample: 7", secrets["cookie"], "hush-short", "users_file: users", "users_file: jwt", "key: \""+key, "key: \""+p.path("jwt")).Replace(text))
	_, out, errs := command(t, "check", "--config", p.file)
	shown["check"] = out + errs
	out, errs, _ = p.holdfast("reload", "--token", p.token)
	shown["a refused reload"] = out + errs
	for _, path := range []string{"/metrics", "/readyz", "/api/v1/status", "/api/v1/pools", "/api/v1/sockets", "/api/v1/config", "/api/v1/history"} {
		status, body, err := p.adminGet(path)
		if err != nil || status != http.StatusOK {
			t.Fatalf("%s: %d, %v", path, status, err)
		}
		shown[path] = string(body)
	}
	if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.cmd.Process.Pid)); err == nil {
		shown["its arguments"] = string(b)
	}
	p.signal(syscall.SIGQUIT)
	p.wait(patience)
	shown["log and stack traces"], shown["access log"] = p.log(), mustRead(t, p.path("access.log"))

	secrets["short"] = "hush-short"
	for where, text := range shown {
		if len(text) < 20 {
			t.Errorf("%s says nothing: %q", where, text)
		}
		for name, s := range secrets {
			if i := strings.Index(text, s); i >= 0 {
				t.Errorf("%s shows the secret %q: %q", where, name, text[max(0, i-100):min(len(text), i+len(s)+20)])
			}
		}
	}
	if !strings.Contains(shown["log and stack traces"], "goroutine ") || !strings.Contains(shown["access log"], "/jwt") {
		t.Errorf("the process was not aborted, or has logged nothing:\n%.2000s", shown["log and stack traces"])
	}
}
