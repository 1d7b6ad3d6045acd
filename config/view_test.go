package config

import (
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"
)

// A view holds every key of the file, and loading it again gives the same
// configuration.
func TestViewLoadsAgain(t *testing.T) {
	data, err := os.ReadFile("testdata/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c, _, err := Parse(data, "yaml", "full.yaml", Options{})
	if err != nil {
		t.Fatal(err)
	}
	// What is masked would not come back.
	c.Admin.Token, c.Tracing.Headers = "", nil
	for name, p := range c.Pools {
		if p.Sticky != nil {
			p.Sticky.Secret = ""
			c.Pools[name] = p
		}
	}
	view := c.View()
	text, err := json.Marshal(view)
	if err != nil {
		t.Fatal(err)
	}
	again, _, err := Parse(text, "json", "view.json", Options{})
	if err != nil {
		t.Fatalf("the view is refused: %v\n%s", err, text)
	}
	if got := again.View(); !reflect.DeepEqual(got, view) {
		t.Errorf("the view loads as something else:\n%v\n%s", got, text)
	}
}

func TestViewHidesSecrets(t *testing.T) {
	c := mustParse(t, `
admin: {token: hush-hush-hush-hush}
routes:
  - {path: /keys/, pool: web, auth: {jwt: {jwks_url: "https://keys.example/set?key=hush", audience: game}}}
  - {path: /asked/, pool: web, auth: {forward: {url: "https://auth.example/may?key=hush"}}}
  - pool: web
    auth: {jwt: {jwks_url: "https://keys.example/set", audience: game}}
    headers:
      request: {set: {X-Api-Key: hush, Authorization: Basic hush, X-Region: eu}}
      response: {add: {Set-Cookie: a=hush, X-Token: hush}}
tracing: {endpoint: "https://otel.example/?hush", headers: {X-Key: hush}}
webhooks: [{url: "https://hooks.example/services/hush?hush"}, {url: "https://bare.example"}]
pools:
  web:
    backends: [{url: "http://10.0.0.1"}]
    sticky: {by: cookie, name: id, secret: hush-hush-hush-hush}
`)
	text, err := json.Marshal(c.View())
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "hush") {
		t.Errorf("a secret is in the view:\n%s", text)
	}
	for _, want := range []string{`"X-Region":"eu"`, `"jwks_url":"https://keys.example/set"`, `"token":"[redacted]"`, `"url":"https://auth.example/may?[redacted]"`, `"url":"https://hooks.example/[redacted]"`, `"url":"https://bare.example"`, `"connect":"2s"`, `"max_header_bytes":"16KiB"`, `"idle":"10m"`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the view has no %s:\n%s", want, text)
		}
	}
}
