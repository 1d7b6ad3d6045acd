package webhook

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

const patience = 15 * time.Second

// rig is a Sender whose log and counts can be looked at.
type rig struct {
	*Sender
	t   *testing.T
	log testkit.Log

	mu     sync.Mutex
	counts map[string]int
}

func newRig(t *testing.T) *rig {
	r := &rig{t: t, counts: map[string]int{}}
	r.Sender = New(Options{
		Log: slog.New(slog.NewTextHandler(&r.log, nil)), UserAgent: "Holdfast/test",
		Count: func(name string, result Result) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.counts[fmt.Sprint(name, result)]++
		},
	})
	r.pause = time.Millisecond
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		r.Close(ctx)
	})
	return r
}

// apply commits a configuration.
func (r *rig) apply(list ...config.Webhook) {
	r.t.Helper()
	for i := range list {
		if list[i].Timeout == 0 {
			list[i].Timeout = patience
		}
	}
	c, err := r.Prepare(list)
	if err != nil {
		r.t.Fatal(err)
	}
	c.Commit()
}

func (r *rig) count(name string, result Result) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.counts[fmt.Sprint(name, result)]
}

// counted waits until n messages have had that result.
func (r *rig) counted(name string, result Result, n int) {
	r.t.Helper()
	testkit.Eventually(r.t, patience, func() bool { return r.count(name, result) == n },
		fmt.Sprintf("%d messages for %s have result %d", n, name, result))
}

// receiver keeps the requests that it gets and answers with its status.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	status int
	header http.Header
	heads  []http.Header
	bodies []string
}

func receive(t *testing.T, status int) *receiver {
	rc := &receiver{status: status, header: http.Header{}}
	rc.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		rc.mu.Lock()
		defer rc.mu.Unlock()
		rc.heads = append(rc.heads, r.Header)
		rc.bodies = append(rc.bodies, r.Method+" "+string(body))
		for name, values := range rc.header {
			w.Header()[name] = values
		}
		w.WriteHeader(rc.status)
	}))
	t.Cleanup(rc.Server.Close)
	return rc
}

func (rc *receiver) answer(status int, header http.Header) {
	rc.mu.Lock()
	defer rc.mu.Unlock()
	rc.status, rc.header = status, header
}

func (rc *receiver) got() []string {
	rc.mu.Lock()
	defer rc.mu.Unlock()
	return append([]string(nil), rc.bodies...)
}

func message(kind string, n int) Message {
	return Message{ID: fmt.Sprint("run-", n), Kind: kind, Body: fmt.Appendf(nil, `{"n":%d}`, n)}
}

// The examples of the specification and of a well-known implementation.
func TestSignatureIsStandard(t *testing.T) {
	f := func(secret, id, at, body, want string) {
		t.Helper()
		key, err := loadSecret(testkit.WriteFile(t, t.TempDir(), "secret", []byte(secret+"\n")))
		if err != nil {
			t.Fatal(err)
		}
		if got := sign(key, id, at, []byte(body)); got != want {
			t.Errorf("signature %s, want %s", got, want)
		}
	}
	f("whsec_plJ3nmyCDGBKInavdOK15jsl", "msg_loFOjxBNrRLzqYUf", "1731705121", `{"event_type":"ping","data":{"success":true}}`,
		"v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0=")
	f("0123456789abcdef0123456789abcdef", "run-1", "1700000000", `{}`, sign([]byte("0123456789abcdef0123456789abcdef"), "run-1", "1700000000", []byte(`{}`)))
}

func TestSecretFilesAreChecked(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		list := []config.Webhook{{Name: "ops", SecretFile: testkit.WriteFile(t, t.TempDir(), "secret", []byte(text))}}
		if _, err := (*Sender)(nil).Prepare(list); err == nil || !strings.Contains(err.Error(), "webhooks[0].secret_file: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%.30q: %v, want %s", text, err, want)
		} else if strings.Contains(err.Error(), "hush") {
			t.Errorf("the secret is in the error: %v", err)
		}
	}
	f("", "has 0 bytes, use 16 or more")
	f("hush\n", "has 4 bytes")
	f("whsec_hush!!", "is not base64")
	f("whsec_aHVzaA==", "has 4 bytes")
	f(strings.Repeat("hush", 2000), "has 8000 bytes, use 4096 at most")
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := (*Sender)(nil).Prepare([]config.Webhook{{SecretFile: pipe}}); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a pipe into which nobody writes: %v", err)
	}
	missing := []config.Webhook{{SecretFile: filepath.Join(t.TempDir(), "none")}, {SecretFile: t.TempDir()}}
	if _, err := (*Sender)(nil).Prepare(missing); err == nil || !strings.Contains(err.Error(), "webhooks[0]") || !strings.Contains(err.Error(), "webhooks[1]") {
		t.Errorf("files that cannot be read: %v", err)
	}
}

// Each server gets the kinds that it asks for, in order and signed.
func TestDelivery(t *testing.T) {
	all, some := receive(t, 204), receive(t, 200)
	secret := testkit.WriteFile(t, t.TempDir(), "secret", []byte("0123456789abcdef"))
	r := newRig(t)
	r.apply(config.Webhook{Name: "all", URL: all.URL, SecretFile: secret},
		config.Webhook{Name: "some", URL: some.URL, Events: []string{"drain", "reload"}})
	const events = 40
	for n := range events {
		r.Send(message([]string{"health", "drain"}[n%2], n))
	}
	r.counted("all", Delivered, events)
	r.counted("some", Delivered, events/2)
	for n, body := range all.got() {
		if want := fmt.Sprintf(`POST {"n":%d}`, n); body != want {
			t.Errorf("message %d is %s, want %s", n, body, want)
		}
	}
	for n, body := range some.got() {
		if want := fmt.Sprintf(`POST {"n":%d}`, 2*n+1); body != want {
			t.Errorf("message %d is %s, want %s", n, body, want)
		}
	}
	h := all.heads[7]
	if want := sign([]byte("0123456789abcdef"), "run-7", h.Get("Webhook-Timestamp"), []byte(`{"n":7}`)); h.Get("Webhook-Signature") != want ||
		h.Get("Webhook-Id") != "run-7" || h.Get("Content-Type") != "application/json" || h.Get("User-Agent") != "Holdfast/test" {
		t.Errorf("fields %v, want signature %s", h, want)
	}
	if at := some.heads[0].Get("Webhook-Timestamp"); at == "" || some.heads[0].Get("Webhook-Signature") != "" {
		t.Errorf("without a secret: %v", some.heads[0])
	}
}

// A server that never answers holds up neither who sends nor the others, and
// what it does not take is counted, and logged once.
func TestDeadServerHarmsNobody(t *testing.T) {
	dead := testkit.ServeTCP(t, func(c *net.TCPConn) { _, _ = io.Copy(io.Discard, c) })
	good := receive(t, 200)
	r := newRig(t)
	r.apply(config.Webhook{Name: "dead", URL: "http://" + dead, Timeout: 20 * time.Millisecond}, config.Webhook{Name: "good", URL: good.URL})
	const rounds = 5 // of half a queue, since the good one may be slow as well
	for round := range rounds {
		for n := range queueSize / 2 {
			r.Send(message("health", round*queueSize/2+n))
		}
		r.counted("good", Delivered, (round+1)*queueSize/2)
	}
	if r.count("dead", Dropped) == 0 {
		t.Error("nothing was dropped")
	}
	r.counted("good", Dropped, 0)
	testkit.Eventually(t, patience, func() bool { return r.count("dead", Failed) >= 3 }, "three messages have failed")
	testkit.Eventually(t, patience, func() bool { return strings.Contains(r.log.String(), "code=HF-8002") }, "the log tells of drops")
	log := r.log.String()
	if strings.Count(log, "code=HF-8001") != 1 || strings.Count(log, "code=HF-8002") != 1 || strings.Contains(log, "webhook=good") {
		t.Errorf("the log reads\n%s", log)
	}
}

// What may pass is tried again, what will not is not, and the end of the
// trouble is logged as its beginning is.
func TestRetries(t *testing.T) {
	rc := receive(t, 503)
	r := newRig(t)
	r.apply(config.Webhook{Name: "ops", URL: rc.URL + "/path-hush"})
	r.Send(message("health", 0))
	r.counted("ops", Failed, 1)
	if n := len(rc.got()); n != 1+retries {
		t.Errorf("503 was tried %d times, want %d", n, 1+retries)
	}
	for i, status := range []int{400, 302, 401} {
		rc.answer(status, http.Header{"Location": {rc.URL + "/elsewhere"}})
		r.Send(message("health", i))
		r.counted("ops", Failed, 2+i)
	}
	if n := len(rc.got()); n != 4+retries {
		t.Errorf("%d requests in all, want %d", n, 4+retries)
	}
	rc.answer(202, nil)
	r.Send(message("health", 9))
	r.counted("ops", Delivered, 1)
	testkit.Eventually(t, patience, func() bool { return strings.Contains(r.log.String(), "takes events again") }, "the end is logged")
	log := r.log.String()
	if strings.Count(log, "level=WARN") != 1 || !strings.Contains(log, `error="status 503"`) || !strings.Contains(log, "lost=4") || strings.Contains(log, "hush") {
		t.Errorf("the log reads\n%s", log)
	}
}

// A server may ask for time, within bounds.
func TestRetryAfterIsBounded(t *testing.T) {
	c := newClient(time.Second)
	defer c.HTTPClient.CloseIdleConnections()
	f := func(after string, want time.Duration) {
		t.Helper()
		resp := &http.Response{StatusCode: 429, Header: http.Header{"Retry-After": {after}}}
		if got := c.Backoff(c.RetryWaitMin, c.RetryWaitMax, 0, resp); got != want {
			t.Errorf("Retry-After %s: %v, want %v", after, got, want)
		}
	}
	f("3", 3*time.Second)
	f("86400", maxPause)
	f("nonsense", time.Second)
}

// A reload that mends the URL has what waits go there; one that removes a
// webhook leaves nothing behind, and one that changes nothing is not noticed.
func TestReload(t *testing.T) {
	dead := testkit.ServeTCP(t, func(c *net.TCPConn) { _, _ = io.Copy(io.Discard, c) })
	rc := receive(t, 200)
	r := newRig(t)
	r.apply(config.Webhook{Name: "ops", URL: "http://" + dead})
	for n := range 5 {
		r.Send(message("drain", n))
	}
	was := r.hooks["ops"].current()
	r.apply(config.Webhook{Name: "ops", URL: "http://" + dead})
	if r.hooks["ops"].current() != was {
		t.Error("a reload without a change has exchanged the webhook")
	}
	r.apply(config.Webhook{Name: "ops", URL: rc.URL})
	r.counted("ops", Delivered, 5)
	for n, body := range rc.got() {
		if want := fmt.Sprintf(`POST {"n":%d}`, n); body != want {
			t.Errorf("message %d is %s, want %s", n, body, want)
		}
	}
	r.Send(message("drain", 5))
	r.apply(config.Webhook{Name: "other", URL: rc.URL})
	r.counted("ops", Delivered, 6) // what waited for the one that is gone
	r.Send(message("drain", 6))
	r.counted("other", Delivered, 1)
	if _, err := r.Prepare([]config.Webhook{{Name: "other", SecretFile: "/nowhere"}}); err == nil {
		t.Error("a secret that is not there is taken")
	}
	r.Send(message("drain", 7))
	r.counted("other", Delivered, 2)
}

// Close waits for what is quick and not for what is not.
func TestClose(t *testing.T) {
	rc := receive(t, 200)
	r := newRig(t)
	r.apply(config.Webhook{Name: "ops", URL: rc.URL})
	for n := range 20 {
		r.Send(message("mode", n))
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r.Close(ctx)
	if n := r.count("ops", Delivered); n != 20 {
		t.Errorf("%d messages were delivered before the end, want 20", n)
	}
	r.Send(message("mode", 21))
	r.apply(config.Webhook{Name: "late", URL: rc.URL})

	dead := testkit.ServeTCP(t, func(c *net.TCPConn) { _, _ = io.Copy(io.Discard, c) })
	r = newRig(t)
	r.apply(config.Webhook{Name: "dead", URL: "http://" + dead})
	r.Send(message("mode", 1))
	r.Send(message("mode", 2))

	ended, end := context.WithCancel(t.Context())
	end()
	r.Close(ended)
	if n := r.count("dead", Dropped); n != 2 {
		t.Errorf("%d messages were dropped at the end, want 2\n%s", n, r.log.String())
	}
	if strings.Contains(r.log.String(), "HF-8001") {
		t.Errorf("the end of the process is logged as a failure:\n%s", r.log.String())
	}
}
