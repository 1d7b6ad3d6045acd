package auth

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/outbound"
)

// The server that was named is the one that is trusted, and it must answer
// properly: no redirect is followed, nothing endless is read.
func TestGet(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("keys")) })
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/keys", http.StatusFound) })
	mux.HandleFunc("/long", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, maxKeys+1)) })
	var calls atomic.Int64
	mux.HandleFunc("/once", func(w http.ResponseWriter, _ *http.Request) {
		if calls.Add(1) == 1 {
			panic(http.ErrAbortHandler)
		}
		_, _ = w.Write([]byte("keys"))
	})
	s := httptest.NewServer(mux)
	defer s.Close()
	client := again(outbound.NewHTTPClient(0))
	defer client.HTTPClient.CloseIdleConnections()
	f := func(path, want, wantErr string) {
		t.Helper()
		raw, err := get(t.Context(), client, s.URL+path)
		if wantErr == "" && (err != nil || string(raw) != want) || wantErr != "" && (err == nil || !strings.Contains(err.Error(), wantErr)) {
			t.Errorf("%s: %d bytes, %v; want %q, %q", path, len(raw), err, want, wantErr)
		}
	}
	f("/keys", "keys", "")
	f("/moved", "", "status 302")
	f("/gone", "", "status 404")
	f("/long", "", "more than 1048576 bytes")
	f("/once", "keys", "") // asked once more
}

func TestForward(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/yes", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-User", r.Header.Get("X-Token"))
		_, _ = w.Write([]byte("ignored"))
	})
	mux.HandleFunc("/login", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/form", http.StatusFound) })
	mux.HandleFunc("/broken", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	mux.HandleFunc("/long", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write(make([]byte, maxForwardBody+1))
	})
	mux.HandleFunc("/late", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	s := httptest.NewServer(mux)
	defer s.Close()
	f := func(path string, status int, body, wantErr string) {
		t.Helper()
		forward := NewForward(s.URL+path, 300*time.Millisecond)
		defer forward.Close()
		a, err := forward.Ask(http.Header{"X-Token": {"ada"}})
		switch {
		case wantErr != "":
			if err == nil || !strings.Contains(err.Error(), wantErr) {
				t.Errorf("%s: %v, want %s", path, err, wantErr)
			}
		case err != nil || a.Status != status || string(a.Body) != body || a.Passes() != (status == 200):
			t.Errorf("%s: %+v, %v", path, a, err)
		case status == 200 && a.Header.Get("X-User") != "ada":
			t.Errorf("%s: fields %v", path, a.Header)
		}
	}
	f("/yes", 200, "", "")
	f("/login", 302, "<a href=\"/form\">Found</a>.\n\n", "")
	f("/gone", 404, "404 page not found\n", "")
	f("/broken", 0, "", "auth server gave no usable answer: status 500")
	f("/long", 0, "", "has more than 65536 bytes")
	f("/late", 0, "", "deadline exceeded")
	s.Close()
	f("/yes", 0, "", "refused")
}

// The query of a URL may be a secret; no error and no line of the log has it.
func TestErrorsHideURLs(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/late", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	s := httptest.NewServer(mux)
	ask := func() {
		t.Helper()
		forward := NewForward(s.URL+"/late?key=hush", 300*time.Millisecond)
		defer forward.Close()
		if _, err := forward.Ask(http.Header{}); err == nil || strings.Contains(err.Error(), "hush") {
			t.Errorf("the auth server: %v", err)
		}
	}
	ask()
	s.Close()
	ask()
	log := make(lines, 16)
	keys := NewKeys(s.URL+"/keys?key=hush", slog.New(slog.NewTextHandler(log, nil)))
	defer keys.Close()
	if text := <-log; strings.Contains(text, "hush") || !strings.Contains(text, "url="+s.URL+"/keys ") || !strings.Contains(text, "refused") {
		t.Errorf("the log has %s", text)
	}
}

// lines are what is written, a Write each.
type lines chan string

func (l lines) Write(p []byte) (int, error) {
	l <- string(p)
	return len(p), nil
}
