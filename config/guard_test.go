package config

import (
	"slices"
	"testing"
)

func TestParseOrigin(t *testing.T) {
	f := func(text string, want Origin) {
		t.Helper()
		if got, err := ParseOrigin(text); err != nil || got != want {
			t.Errorf("%s is %+v, %v; want %+v", text, got, err, want)
		}
	}
	f("https://game.example.com", Origin{Scheme: "https", Host: "game.example.com"})
	f("HTTPS://Game.Example.com:443", Origin{Scheme: "https", Host: "game.example.com"})
	f("http://game.example.com:443", Origin{Scheme: "http", Host: "game.example.com:443"})
	f("http://localhost:80", Origin{Scheme: "http", Host: "localhost"})
	f("https://*.example.com:8443", Origin{Scheme: "https", Host: "example.com:8443", Below: true})
	f("http://[::1]:3000", Origin{Scheme: "http", Host: "[::1]:3000"})
	f("http://[::1]", Origin{Scheme: "http", Host: "[::1]"})
	f("capacitor://localhost", Origin{Scheme: "capacitor", Host: "localhost"})

	for _, bad := range []string{
		"", "*", "null", "game.example.com", "https://", "https://*", "https://*.", "https://a.*.com", "https://game.example.com/",
		"https://u@game.example.com", "https://game.example.com?x", "https://game.example.com:0", "https://game.example.com:x",
		"https://game.example.com:70000", "https://*.10.0.0.1", "https://[fe80::1%25eth0]", "://x", "https://a b",
	} {
		if got, err := ParseOrigin(bad); err == nil {
			t.Errorf("%q is taken as %+v", bad, got)
		}
	}
}

func TestValidateGuard(t *testing.T) {
	f := func(route string, want ...string) {
		t.Helper()
		doc := "routes: [{pool: web, " + route + "}]"
		checkLines(t, doc, errorText(complete(doc), "yaml"), want...)
	}
	f(`access: {allow: [10.0.0.0/8, "::1"], deny: ["fd00::/8"]}, origins: ["https://*.example.com"]`)
	f(`access: {allow: [here], deny: [10.0.0.1/8]}`,
		`routes[0].access.allow[0]: "here" is not a block of addresses, write it as 10.0.0.0/8, fd00::/8 or 10.0.0.1`,
		`routes[0].access.deny[0]: "10.0.0.1/8" has bits beyond its length, write 10.0.0.0/8 for the block or 10.0.0.1 for the address`)
	f(`origins: ["*", game.example.com]`,
		`routes[0].origins[0]: "*" is no origin, leave origins out to take any`,
		`routes[0].origins[1]: "game.example.com" has no scheme, write it as https://game.example.com`)
	f(`auth: {}`,
		`routes[0].auth: holds 0 ways to authenticate, write one of basic, jwt and forward`)
	f(`auth: {basic: {users_file: u}, jwt: {secret_file: s}}`,
		`routes[0].auth: holds 2 ways to authenticate, write one of basic, jwt and forward`)
	f(`auth: {basic: {realm: 'a"b'}}`,
		`routes[0].auth.basic.realm: "a\"b" has a quote, a backslash or a character beyond ASCII, write plain text`,
		`routes[0].auth.basic.users_file: is missing, write the path of a file that htpasswd -B made`)
	f(`auth: {jwt: {}}`, `routes[0].auth.jwt: has no key, write jwks_url or secret_file`)
	f(`auth: {jwt: {jwks_url: "https://login/keys", secret_file: s}}`,
		`routes[0].auth.jwt: has two keys, write jwks_url or secret_file, not both`)
	f(`auth: {jwt: {jwks_url: "ftp://login/keys", from: body}}`,
		`routes[0].auth.jwt.from: "body" is not known, write header, query:NAME or cookie:NAME`,
		`routes[0].auth.jwt.jwks_url: is no URL of a server, write http:// or https:// and its host, such as https://ops.example.com/path`)
	f(`auth: {jwt: {secret_file: s, from: "query:"}}`,
		`routes[0].auth.jwt.from: "query:" is not known, write header, query:NAME or cookie:NAME`)
	f(`auth: {forward: {url: "http://u:p@127.0.0.1/", timeout: 0s, copy_headers: ["X User", X_Forwarded_For, Host]}}`,
		`routes[0].auth.forward.copy_headers[0]: "X User" is not the name of a header, write it as X-User`,
		`routes[0].auth.forward.copy_headers[1]: "X_Forwarded_For" is written by Holdfast itself or belongs to the connection, leave it out`,
		`routes[0].auth.forward.copy_headers[2]: "Host" is written by Holdfast itself or belongs to the connection, leave it out`,
		`routes[0].auth.forward.timeout: 0s is not a time to wait, write more than 0, such as 10s`,
		`routes[0].auth.forward.url: has a user or a fragment, write scheme, host, path and query alone`)
}

// What is legal and takes more people in than was meant, perhaps.
func TestGuardWarnings(t *testing.T) {
	f := func(auth string, want ...string) {
		t.Helper()
		_, warnings, err := Parse([]byte(complete("routes: [{pool: web, auth: "+auth+"}]")), "yaml", "t.yaml", Options{})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, w := range warnings {
			got = append(got, w.Path)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: warnings %q, want %q", auth, got, want)
		}
	}
	f(`{jwt: {jwks_url: "https://login.example.com/keys", audience: game}}`)
	f(`{jwt: {jwks_url: "http://login.example.com/keys", audience: game}}`, "routes[0].auth.jwt.jwks_url")
	f(`{jwt: {jwks_url: "http://10.1.2.3/keys"}}`, "routes[0].auth.jwt.audience")
	f(`{forward: {url: "http://login.example.com/"}}`, "routes[0].auth.forward.url")
}

func TestFiles(t *testing.T) {
	c, _, err := Parse([]byte(complete(`
routes:
- {path: /a, pool: web, auth: {basic: {users_file: users}}}
- {path: /b, pool: web, auth: {jwt: {secret_file: /etc/secret}}}
- {path: /c, pool: web, auth: {jwt: {jwks_url: "https://login/keys"}}}
- {path: /d, pool: web}
pools:
  web: {backends: [{url: "https://a"}], backend_tls: {ca: ca.pem, cert: /etc/a.crt, key: a.key}}
  plain: {backends: [{url: "http://a"}], backend_tls: {ca: unused.pem}}
  alike: {backends: [{url: "wss://a"}], backend_tls: {ca: other.pem}}
`)), "yaml", "/conf/t.yaml", Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.Files(), []string{"/conf/users", "/etc/secret", "/conf/other.pem", "/conf/ca.pem", "/etc/a.crt", "/conf/a.key"}; !slices.Equal(got, want) {
		t.Errorf("files %q, want %q", got, want)
	}
}
