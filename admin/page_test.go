package admin

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// The page works offline: what it names is part of the binary, and nothing in
// it needs more than the policy allows.
func TestPageStandsAlone(t *testing.T) {
	base := serving(t, Options{})
	entries, err := ui.ReadDir("ui")
	if err != nil || len(entries) < 5 {
		t.Fatalf("%d files, %v", len(entries), err)
	}
	named := regexp.MustCompile(`(?:src|href)="(ui/[^"]+)"|from "\./([^"]+)"`)
	elsewhere := regexp.MustCompile(`(?:https?:)?//[a-z0-9.-]+\.[a-z]+|@import|url\(`)
	inline := regexp.MustCompile(`\son[a-z]+="|\sstyle="|<style|javascript:|<script>`)
	unsafe := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function`)
	used := map[string]bool{"index.html": true}
	for _, e := range entries {
		data, err := ui.ReadFile("ui/" + e.Name())
		if err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(string(data), "http://www.w3.org/2000/svg", "") // a name, and no place
		for _, m := range named.FindAllStringSubmatch(text, -1) {
			name := strings.TrimPrefix(m[1], "ui/") + m[2]
			used[name] = true
			if resp, _ := do(t, "GET", base+"/ui/"+name, nil); resp.StatusCode != 200 {
				t.Errorf("%s names %s: status %d", e.Name(), name, resp.StatusCode)
			}
		}
		if m := elsewhere.FindString(text); m != "" {
			t.Errorf("%s names another place: %q", e.Name(), m)
		}
		if m := inline.FindString(text); m != "" {
			t.Errorf("%s has %q, which the policy forbids", e.Name(), m)
		}
		if m := unsafe.FindString(text); m != "" {
			t.Errorf("%s uses %q: names of backends are not HTML", e.Name(), m)
		}
		if types["."+strings.SplitN(e.Name(), ".", 2)[1]] == "" {
			t.Errorf("%s has no type", e.Name())
		}
	}
	for _, e := range entries {
		if !used[e.Name()] {
			t.Errorf("nothing uses %s", e.Name())
		}
	}
}

func TestPagePolicy(t *testing.T) {
	resp, _ := do(t, "GET", serving(t, Options{}), func(r *http.Request) {})
	got := resp.Header.Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "script-src 'self';", "style-src 'self';", "connect-src 'self';", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"} {
		if !strings.Contains(got+";", want) {
			t.Errorf("the policy lacks %s: %s", want, got)
		}
	}
	if strings.Contains(got, "unsafe") {
		t.Errorf("the policy is %s", got)
	}
	for _, name := range []string{"X-Content-Type-Options", "Referrer-Policy", "Cross-Origin-Resource-Policy"} {
		if resp.Header.Get(name) == "" {
			t.Errorf("no %s", name)
		}
	}
}

func TestHistory(t *testing.T) {
	h := NewHistory(3)
	for at := int64(1); at <= 5; at++ {
		h.Add(Sample{At: at, Active: Active{Sockets: 10 * at}})
	}
	base := serving(t, Options{History: h})
	f := func(query string, status int, want ...string) {
		t.Helper()
		resp, body := do(t, "GET", base+"/api/v1/history"+query, nil)
		if resp.StatusCode != status || strings.Count(body, `"at"`) != len(want) {
			t.Errorf("%s: %d %s, want %d samples", query, resp.StatusCode, body, len(want))
		}
		for _, w := range want {
			if !strings.Contains(body, w) {
				t.Errorf("%s: no %s in %s", query, w, body)
			}
		}
	}

	f("", 200, `"at":3`, `"at":4`, `"at":5,"active":{"sockets":50`)
	f("?after=4", 200, `"at":5`)
	f("?after=5", 200)
	f("?after=x", 400)
}
