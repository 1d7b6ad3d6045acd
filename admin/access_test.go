package admin

import (
	"net/http"
	"strings"
	"testing"
)

const secret = "0123456789abcdef"

func TestToken(t *testing.T) {
	base := serving(t, Options{Token: secret, Pools: twoPools, Events: NewEvents("run", 4)})
	f := func(method, path, authorization string, status int) {
		t.Helper()
		resp, body := do(t, method, base+path, func(r *http.Request) {
			if authorization != "" {
				r.Header.Set("Authorization", authorization)
			}
		})
		if resp.StatusCode != status {
			t.Errorf("%s %s with %q: status %d, want %d (%s)", method, path, authorization, resp.StatusCode, status, body)
		}
		if status == 401 && (resp.Header.Get("WWW-Authenticate") == "" || !strings.Contains(body, `"code":"unauthorized"`)) {
			t.Errorf("%s %s: 401 without challenge or code: %v %s", method, path, resp.Header, body)
		}
	}

	for _, path := range []string{"/api/v1/pools", "/api/v1/status", "/api/v1/config", "/api/v1/events", "/api/v1/sockets"} {
		f("GET", path, "", 401)
	}
	f("POST", "/api/v1/reload", "", 401)
	f("DELETE", "/api/v1/sockets/1", "", 401)
	f("GET", "/api/v1/pools", "Bearer "+secret, 200)
	f("GET", "/api/v1/pools", "bearer "+secret, 200)
	f("GET", "/api/v1/pools", "Bearer  "+secret, 200)
	f("HEAD", "/api/v1/pools", "Bearer "+secret, 200)
	f("GET", "/api/v1/pools", "Bearer "+secret+"x", 401)
	f("GET", "/api/v1/pools", "Bearer "+secret[:15], 401)
	f("GET", "/api/v1/pools", "Bearer", 401)
	f("GET", "/api/v1/pools", "Basic "+secret, 401)
	f("GET", "/api/v1/pools", secret, 401)
	// What a load balancer's keeper must ask without a secret.
	f("GET", "/healthz", "", 200)
	f("GET", "/readyz", "", 200)
	f("GET", "/", "", 200)

	if _, body := do(t, "GET", base+"/readyz", nil); strings.Contains(body, "web") {
		t.Errorf("/readyz names pools to everybody: %s", body)
	}
}

func TestTokenChanges(t *testing.T) {
	s := New(Options{Listener: listen(t), Token: secret})
	defer s.Close(t.Context())
	f := func(text string, want bool) {
		t.Helper()
		if got := s.token.Load().allows("Bearer " + text); got != want {
			t.Errorf("%q: allowed %v, want %v", text, got, want)
		}
	}

	f(secret, true)
	s.SetToken("fedcba9876543210")
	f(secret, false)
	f("fedcba9876543210", true)
	s.SetToken("")
	f("anything", true)
}

// A page of another origin can have a browser send requests here; it cannot
// have it send them without saying so.
func TestCrossSite(t *testing.T) {
	reloads := 0
	base := serving(t, Options{Control: Control{Reload: func() (Outcome, error) {
		reloads++
		return Outcome{Status: "unchanged"}, nil
	}}})
	host := strings.TrimPrefix(base, "http://")
	_, port, _ := strings.Cut(host, ":")
	f := func(status int, fields ...string) {
		t.Helper()
		before := reloads
		resp, body := do(t, "POST", base+"/api/v1/reload", func(r *http.Request) {
			for i := 0; i < len(fields); i += 2 {
				if fields[i] == "Host" {
					r.Host = fields[i+1]
				}
				r.Header.Add(fields[i], fields[i+1])
			}
		})
		if resp.StatusCode != status || (reloads > before) != (status == 200) {
			t.Errorf("%q: status %d, want %d, %d reloads (%s)", fields, resp.StatusCode, status, reloads-before, body)
		}
	}

	f(200) // a program
	f(200, "Origin", base)
	f(200, "Origin", base, "Sec-Fetch-Site", "same-origin")
	f(200, "Sec-Fetch-Site", "none")
	f(200, "Origin", "http://LOCALHOST:"+port, "Host", "localhost:"+port)
	f(403, "Origin", "http://evil.example")
	f(403, "Origin", "http://evil.example", "Sec-Fetch-Site", "cross-site")
	f(403, "Sec-Fetch-Site", "cross-site")
	f(403, "Sec-Fetch-Site", "same-site") // another port of this machine
	f(403, "Sec-Fetch-Site", "same-origin", "Origin", "http://evil.example")
	f(403, "Origin", "null")
	f(403, "Origin", "")
	f(403, "Origin", "http://127.0.0.1:1")
	f(403, "Origin", "http://127.0.0.1")
	f(403, "Origin", "http://localhost:"+port) // another name of this machine is another origin
	f(403, "Origin", "file://"+host)
	f(403, "Origin", base+".evil.example")
	f(403, "Origin", base, "Origin", "http://evil.example")
	f(421, "Host", "evil.example", "Origin", "http://evil.example", "Sec-Fetch-Site", "same-origin") // DNS rebinding
}

// Every endpoint that changes something is behind the same checks.
func TestEveryUnsafeEndpointIsGuarded(t *testing.T) {
	s := New(Options{Listener: listen(t), Token: secret})
	s.Close(t.Context())
	base := serving(t, Options{Token: secret})
	unsafe := 0
	for _, e := range s.routes {
		path := strings.NewReplacer("{pool}", "p", "{backend}", "b", "{id}", "1").Replace(e.path)
		if e.access == open {
			if e.method != "GET" {
				t.Errorf("%s %s is open and changes something", e.method, e.path)
			}
			continue
		}
		if resp, _ := do(t, e.method, base+path, nil); resp.StatusCode != 401 {
			t.Errorf("%s %s without a token: %d, want 401", e.method, e.path, resp.StatusCode)
		}
		if e.method == "GET" {
			continue
		}
		unsafe++
		resp, _ := do(t, e.method, base+path, func(r *http.Request) {
			r.Header.Set("Authorization", "Bearer "+secret)
			r.Header.Set("Origin", "http://evil.example")
		})
		if resp.StatusCode != 403 {
			t.Errorf("%s %s from another origin: %d, want 403", e.method, e.path, resp.StatusCode)
		}
	}
	if unsafe < 8 {
		t.Errorf("%d endpoints change something, the list has gone blind", unsafe)
	}
}
