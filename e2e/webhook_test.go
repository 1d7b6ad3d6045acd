package e2e

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// told is a receiver of webhooks, and what it was told.
type told struct {
	*httptest.Server
	mu   sync.Mutex
	list []string // "kind state backend"
}

// receiveWebhooks returns a receiver that checks signatures.
func receiveWebhooks(t *testing.T, secret string) *told {
	rc := &told{}
	rc.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mac := hmac.New(sha256.New, []byte(secret))
		fmt.Fprintf(mac, "%s.%s.%s", r.Header.Get("Webhook-Id"), r.Header.Get("Webhook-Timestamp"), body)
		if want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)); r.Header.Get("Webhook-Signature") != want {
			t.Errorf("signature %q of %s, want %q", r.Header.Get("Webhook-Signature"), body, want)
		}
		var e struct{ ID, Kind, State, Backend string }
		if err := json.Unmarshal(body, &e); err != nil || e.ID != r.Header.Get("Webhook-Id") {
			t.Errorf("body %s: %v", body, err)
		}
		rc.mu.Lock()
		defer rc.mu.Unlock()
		rc.list = append(rc.list, strings.TrimSpace(e.Kind+" "+e.State+" "+e.Backend))
	}))
	t.Cleanup(rc.Close)
	return rc
}

// was waits until these events have come, in that order, others between them.
func (rc *told) was(t *testing.T, events ...string) {
	t.Helper()
	testkit.Eventually(t, patience, func() bool {
		rc.mu.Lock()
		defer rc.mu.Unlock()
		rest := rc.list
		for _, want := range events {
			i := slices.Index(rest, want)
			if i < 0 {
				return false
			}
			rest = rest[i+1:]
		}
		return true
	}, fmt.Sprintf("the webhook is told %q", events))
}

// What happens is told, signed; a receiver that refuses harms nobody.
func TestWebhooks(t *testing.T) {
	t.Parallel()
	const secret = "0123456789abcdef0123456789abcdef"
	rc := receiveWebhooks(t, secret)
	gone := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(gone.Close)
	first, second := startArena(t, "b1"), startArena(t, "b2")
	site := func(more string) string {
		return siteOf([]string{first.Addr, second.Addr}, "health: {type: tcp, interval: 100ms, timeout: 100ms, rise: 1, fall: 1}") + fmt.Sprintf(`
webhooks:
  - {name: ops, url: %q, secret_file: secret%s}
  - {name: gone, url: %q}
`, rc.URL, more, gone.URL+"/hush")
	}
	p := prepare(t, setup{})
	if err := os.WriteFile(p.path("secret"), []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.write(site(""))
	p.begin()
	rc.was(t, "health up b1")
	rc.was(t, "health up b2")
	rc.was(t, "reload started")

	p.says(0, "", "drain", "web/b1")
	rc.was(t, "mode drain b1", "drain begun b1", "drain done b1")
	first.Stop(t)
	rc.was(t, "health down b1")

	p.write("webhooks: [{name: ops}]")
	p.reload()
	rc.was(t, "reload refused")
	p.write(site(", events: [mode]"))
	p.reload()
	p.says(0, "", "maintenance", "web/b1")
	rc.was(t, "reload refused", "mode maintenance b1")

	p.told("HF-8001")
	if strings.Contains(p.log(), "hush") {
		t.Error("the path of a webhook is in the log")
	}
	if p.metric("holdfast_webhook_events_total", `result="failed"`, `webhook="gone"`) < 1 {
		t.Error("failures are not counted")
	}
	_, body, _ := p.adminGet("/api/v1/config")
	if strings.Contains(string(body), "hush") || strings.Contains(string(body), secret) {
		t.Errorf("a secret is in the configuration as shown: %s", body)
	}
}
