package proxy

import (
	"strings"
	"testing"

	"github.com/holdfast-lb/holdfast/config"
)

// TestRedirectWithoutHost: only a redirect to the client's own host needs one.
func TestRedirectWithoutHost(t *testing.T) {
	f := func(to, request, want string) {
		t.Helper()
		cfg := configOf("127.0.0.1:1")
		cfg.Routes = []config.Route{{Name: "moved", Path: "/", Redirect: &config.Redirect{To: to, Status: 301}}}
		got := start(t, cfg).exchange(t, "GET /a?b HTTP/"+request+"\r\n\r\n")
		if !strings.HasPrefix(got, "HTTP/1.1 "+want) {
			t.Errorf("to %s, HTTP/%s: %q, want %q", to, request, got, want)
		}
	}
	const moved = "301 Moved Permanently\r\nContent-Length: 0\r\nLocation: "
	f("https://b$path?$query", "1.0", moved+"https://b/a?b\r\n")
	f("/new$path", "1.0", moved+"/new/a\r\n")
	f("https://$host$path", "1.0", "400 Bad Request\r\n")
	f("https://$host$path", "1.0\r\nHost: A:80", moved+"https://a/a\r\n")
}
