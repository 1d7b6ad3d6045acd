package config

import (
	"os"
	"strings"
	"testing"
	"time"
)

func TestWebhookMistakes(t *testing.T) {
	f := func(list string, want ...string) {
		t.Helper()
		doc := complete("webhooks: [" + list + "]")
		checkLines(t, doc, errorText(doc, "yaml"), want...)
	}
	f(`{url: "https://a.example/x"}, {url: "https://a.example/y", name: b}, {url: "http://127.0.0.1:80", events: [socket], timeout: 1m}`)
	f(`{url: "https://a.example/x"}, {url: "https://a.example/y"}`,
		`webhooks[1].name: name "a.example" is taken by webhooks[0], give each its own`)
	f(`{url: "https://a.example", events: [health, lost, health], timeout: 2m}, {url: "ftp://b.example/hush"}`,
		`webhooks[0].events[1]: "lost" is not known, use one of health, mode, drain, reload, upgrade, discovery, socket, memory`,
		`webhooks[0].events[2]: "health" stands there twice, write it once`,
		`webhooks[0].timeout: 2m0s is out of range, write more than 0, up to 1m`,
		`webhooks[1].url: is no URL of a server, write http:// or https:// and its host, such as https://ops.example.com/path`)
	f(`{url: "https://a.example", timeout: 0s}`, `webhooks[0].timeout: 0s is out of range, write more than 0, up to 1m`)
}

func TestWebhookDefaults(t *testing.T) {
	c := mustParse(t, `webhooks: [{url: "http://127.0.0.1:9999/x", secret_file: hook.secret}]`)
	w := c.Webhooks[0]
	if w.Name != "127.0.0.1:9999" || w.Timeout != 5*time.Second || len(c.Files()) != 1 || c.Files()[0] != w.SecretFile {
		t.Errorf("%+v, files %q", w, c.Files())
	}
	next := mustParse(t, `webhooks: [{url: "http://127.0.0.1:9999/y"}, {url: "https://b.example"}]`)
	if got := Diff(c, next); got != "webhooks +b.example ~127.0.0.1:9999(url secret_file)" {
		t.Errorf("the difference is %q", got)
	}
	doc := complete(`webhooks: [{url: "http://ops.example/x"}]`)
	if _, warnings, err := Parse([]byte(doc), "yaml", "t.yaml", Options{}); err != nil || len(warnings) != 1 || !strings.Contains(warnings[0].String(), "has no TLS") {
		t.Errorf("without TLS: %v, %v", warnings, err)
	}
}

// The kinds that can be asked for are those that the API describes, but for
// that of its own stream, and those that the reference lists.
func TestEventKindsAreDescribed(t *testing.T) {
	f := func(path, want string) {
		t.Helper()
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(data), want) {
			t.Errorf("%s lacks %s", path, want)
		}
	}
	f("../docs/openapi.yaml", "kind: {enum: ["+strings.Join(EventKinds, ", ")+", lost]}")
	f("../docs/configuration.md", "kinds of events: `"+strings.Join(EventKinds, "`, `")+"`.")
}
