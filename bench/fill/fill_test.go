package fill

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestFill(t *testing.T) {
	var mu sync.Mutex
	seen := map[string]int{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		seen[r.URL.Query().Get("room")]++
		if r.URL.Query().Get("room") == "2001" {
			w.WriteHeader(http.StatusBadGateway)
		}
	}))
	defer server.Close()
	target := server.Listener.Addr().String()
	if err := Fill(t.Context(), target, 2000); err != nil {
		t.Fatal(err)
	}
	for room, n := range seen {
		if n != 1 {
			t.Errorf("room %s was asked for %d times", room, n)
		}
	}
	if len(seen) != 2000 || seen["1"] != 1 || seen["2000"] != 1 {
		t.Errorf("%d rooms; want 1 to 2000", len(seen))
	}
	if err := Fill(t.Context(), target, 2001); err == nil || !strings.Contains(err.Error(), "502") {
		t.Errorf("want the status, got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Fill(ctx, target, 10); err == nil {
		t.Error("filled though cancelled")
	}
}
