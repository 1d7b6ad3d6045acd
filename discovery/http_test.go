package discovery

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/config"
)

func TestHTTPSource(t *testing.T) {
	var handler atomic.Pointer[http.HandlerFunc]
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*handler.Load())(w, r) }))
	defer server.Close()
	s := newHTTPSource(config.HTTPDiscovery{URL: server.URL + "/arena?key=x", Interval: time.Second, Timeout: 5 * time.Second, Token: "s3cret"}, 1000)
	defer s.close()
	f := func(what, want string, h http.HandlerFunc) {
		t.Helper()
		handler.Store(&h)
		if got := told(t, s); got != want {
			t.Errorf("%s: %.200s, want %s", what, got, want)
		}
	}
	const body = `[{"name": "a", "url": "http://10.0.0.1:9000", "weight": 2}, {"url": "https://b.test"}]`
	const good = "a=http://10.0.0.1:9000*2 b.test:443=https://b.test 1s"
	says := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) }
	}
	f("a list", good, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RequestURI() != "/arena?key=x" || r.Header.Get("Authorization") != "Bearer s3cret" || r.Header.Get("If-None-Match") != "" || r.Header.Get("Accept-Encoding") != "" {
			t.Errorf("asked with %s %v", r.URL, r.Header)
		}
		w.Header().Set("ETag", `"v1"`)
		fmt.Fprint(w, body)
	})
	unchanged := func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("If-None-Match") != `"v1"` {
			t.Errorf("asked with %v", r.Header)
		}
		w.WriteHeader(http.StatusNotModified)
	}
	f("not modified", good, unchanged)
	f("an error", "trouble: status 500", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, body, 500) })
	f("a redirect", "trouble: status 302", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) })
	f("garbage", "trouble: nonsense", says("<html>"))
	f("one mistake", "trouble: nonsense", says(`[{"url": "http://10.0.0.1:9000"}, {"url": "10.0.0.2"}]`))
	f("an object", "trouble: nonsense", says(`{}`))
	f("a body that is cut", "trouble: failed", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		fmt.Fprint(w, "[")
	})
	f("a million entries", "trouble: too many", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "[{}"+strings.Repeat(",{}", 600_000)+"]")
	})
	f("a million entries, which take long", "trouble: too many", func(w http.ResponseWriter, r *http.Request) {
		one := []byte(`{"url": "http://10.0.0.1:9000"},`)
		fmt.Fprint(w, "[")
		for range 1_000_000 {
			if _, err := w.Write(one); err != nil {
				return
			}
		}
	})
	f("a length that is too much", "trouble: too many", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100000000")
	})
	f("not modified still", good, unchanged)
	f("none", "1s", says("[]"))
	breaks := retries
	f("a connection that breaks", good, func(w http.ResponseWriter, _ *http.Request) {
		if breaks--; breaks >= 0 {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("ETag", `"v1"`)
		fmt.Fprint(w, body)
	})
	f("one that breaks again and again", "trouble: failed", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	f("none", "1s", says("[]"))
	f("no ETag any more", good, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("If-None-Match") != "" {
			t.Errorf("asked with %v", r.Header)
		}
		fmt.Fprint(w, body)
	})
	f("not modified, unasked", "trouble: status 304", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotModified) })

	// No error shows the URL.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	dead := newHTTPSource(config.HTTPDiscovery{URL: "http://" + l.Addr().String() + "/?key=s3cret", Interval: time.Second, Timeout: 5 * time.Second}, 10)
	if _, err := dead.fetch(t.Context()); err == nil || troubleOf(err).kind != "unreachable" || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("error %v", err)
	}
}

func TestHTTPSourceHangs(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer server.Close()
	s := newHTTPSource(config.HTTPDiscovery{URL: server.URL, Interval: time.Second, Timeout: 100 * time.Millisecond}, 10)
	defer s.close()
	if _, err := s.fetch(context.Background()); err == nil || troubleOf(err).kind != "timeout" {
		t.Errorf("error %v", err)
	}
}
