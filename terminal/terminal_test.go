package terminal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-lb/holdfast/admin"
	"github.com/holdfast-lb/holdfast/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// fake is an admin address that answers what a test says.
type fake struct {
	mu    sync.Mutex
	pools [][]admin.Pool // one after the other; the last one again and again
	asked []string
	token string
	also  map[string]any // by "METHOD path"
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, r.Method+" "+r.RequestURI)
	f.token = r.Header.Get("Authorization")
	answer, ok := f.also[r.Method+" "+r.URL.EscapedPath()]
	switch {
	case ok:
	case r.URL.Path == "/api/v1/pools":
		answer = map[string]any{"pools": f.pools[0]}
		if len(f.pools) > 1 {
			f.pools = f.pools[1:]
		}
	case r.URL.Path == "/api/v1/status":
		now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
		answer = admin.Status{Ready: true, Now: now, Began: now.Add(-3 * time.Hour),
			Configuration: admin.Configuration{Loaded: now.Add(-90 * time.Second)}}
	default:
		answer = map[string]any{}
	}
	if p, no := answer.(*admin.Problem); no {
		w.WriteHeader(p.Status)
	}
	_ = json.NewEncoder(w).Encode(answer)
}

func (f *fake) requests() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked
}

// serve returns a client of f, until the test's end.
func (f *fake) serve(t *testing.T) *client {
	t.Helper()
	server := httptest.NewServer(f)
	c, err := newClient(server.URL, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.http.CloseIdleConnections()
		server.Close()
	})
	return c
}

// run runs a command against f.
func (f *fake) run(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	server := httptest.NewServer(f)
	defer server.Close()
	root := &cobra.Command{Use: "holdfast", SilenceUsage: true, SilenceErrors: true}
	root.AddCommand(Commands()...)
	root.SetFlagErrorFunc(FlagError)
	var out, errs bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&errs)
	root.SetArgs(append(args, "--admin", strings.TrimPrefix(server.URL, "http://")))
	err = root.ExecuteContext(t.Context())
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	return out.String(), errs.String(), err
}

func backend(name string, sockets int64) admin.Backend {
	return admin.Backend{Name: name, Address: "http://" + name, State: admin.Up, Mode: "ready", Usable: true, Weight: 1,
		Active: admin.Active{Sockets: sockets}, Why: "200", Since: time.Date(2026, 11, 25, 11, 0, 0, 0, time.UTC)}
}

func draining(name string, total, left, forced int64) admin.Backend {
	b := backend(name, left)
	b.Mode, b.Usable = "drain", false
	b.Drain = &admin.Drain{Sockets: total, Left: left, Forced: forced}
	return b
}

func pool(name string, backends ...admin.Backend) admin.Pool {
	p := admin.Pool{Name: name, Balance: "least_conn", Backends: backends}
	for i := range backends {
		if backends[i].Usable && !backends[i].Retired {
			p.Usable++
		}
	}
	return p
}

func TestStatusTable(t *testing.T) {
	gone, leaves := backend("old-1", 2), draining("old-2", 5, 3, 0)
	gone.Retired, gone.Weight = true, 0
	leaves.Retired, leaves.Weight = true, 0
	full, asks := backend("a-3", 0), draining("a-4", 10, 7, 0)
	load := 0.725
	full.Report = &admin.LoadReport{Load: &load, Capacity: 350}
	asks.Mode, asks.Report = "ready", &admin.LoadReport{Drain: true}
	f := &fake{pools: [][]admin.Pool{{
		pool("arena", backend("a-1", 5), draining("a-2", 10, 4, 0), full, asks),
		pool("old", gone, leaves), // no longer configured: nobody expects it to be usable
	}}}
	out, _, err := f.run(t, "status", "--token", "t0ken")
	if err != nil {
		t.Errorf("error %v", err)
	}
	const want = `POOL   BACKEND  ADDRESS       STATE  MODE                       SOCKETS  REQUESTS  WEIGHT  LOAD        FOR  WHY
arena  a-1      http://a-1    up     ready                      5        0         1       -           1h   200
arena  a-2      http://a-2    up     drain (4 left)             4        0         1       -           1h   200
arena  a-3      http://a-3    up     ready                      0        0         1       72% of 350  1h   200
arena  a-4      http://a-4    up     drain, asked for (7 left)  7        0         1       -           1h   200
old    old-1    http://old-1  up     retired                    2        0         0       -           1h   200
old    old-2    http://old-2  up     retired, drain (3 left)    3        0         0       -           1h   200

21 sockets. Up for 3h, configuration loaded 1m ago.
`
	if out != want {
		t.Errorf("got\n%swant\n%s", out, want)
	}
	if f.token != "Bearer t0ken" {
		t.Errorf("the token is sent as %q", f.token)
	}
}

func TestStatusVerdict(t *testing.T) {
	down := backend("a-1", 0)
	down.State, down.Usable = admin.Down, false
	f := func(want string, refused []string, pools ...admin.Pool) {
		t.Helper()
		fk := &fake{pools: [][]admin.Pool{pools}}
		fk.also = map[string]any{"GET /api/v1/status": admin.Status{Ready: true, Configuration: admin.Configuration{Refused: refused}}}
		for _, args := range [][]string{{"status"}, {"status", "--json"}} {
			_, _, err := fk.run(t, args...)
			if got := errText(err); got != want {
				t.Errorf("%q: error %q, want %q", args, got, want)
			}
		}
	}

	f("", nil, pool("arena", backend("a-1", 0)))
	f("", nil, pool("arena", down, backend("a-2", 0)))
	f("no usable backend in arena, web", nil, pool("arena", down), pool("web", down), pool("x", backend("x", 0)))
	f("no usable backend in arena", nil, pool("arena", draining("a-1", 0, 0, 0)))
	f("the newest configuration is refused: a: wrong; b: too", []string{"a: wrong", "b: too"}, pool("arena", backend("a", 0)))
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestDrainIsWatched(t *testing.T) {
	f := &fake{pools: [][]admin.Pool{
		{pool("arena", backend("a/1", 10), backend("a-2", 3))}, // to find the target
		{pool("arena", draining("a/1", 10, 10, 0), backend("a-2", 3))},
		{pool("arena", draining("a/1", 10, 4, 0), backend("a-2", 3))},
		{pool("arena", draining("a/1", 10, 0, 2), backend("a-2", 3))},
	}}
	out, progress, err := f.run(t, "drain", "arena/a/1", "--deadline", "90s")
	if err != nil || !strings.HasPrefix(out, "arena/a/1 is drained: 10 sockets in ") || !strings.HasSuffix(out, ", 2 of them at the deadline\n") {
		t.Errorf("%v, %q", err, out)
	}
	const want = "arena/a/1    0 %  10 of 10 left\narena/a/1   60 %  4 of 10 left\narena/a/1  100 %  0 of 10 left, 2 at the deadline\n"
	if progress != want {
		t.Errorf("progress\n%swant\n%s", progress, want)
	}
	if asked := f.requests(); len(asked) < 2 || asked[1] != "POST /api/v1/pools/arena/backends/a%2F1/drain?deadline=1m30s" {
		t.Errorf("requests %q", asked)
	}
}

// With --after nothing is ordered before that.
func TestDrainLater(t *testing.T) {
	f := &fake{pools: [][]admin.Pool{{pool("arena", backend("a-1", 3))}, {pool("arena", draining("a-1", 3, 0, 0))}}}
	began := time.Now()
	if _, _, err := f.run(t, "drain", "arena", "--after", "300ms"); err != nil || time.Since(began) < 300*time.Millisecond {
		t.Errorf("error %v after %v", err, time.Since(began))
	}
	if asked := f.requests(); len(asked) < 2 || asked[1] != "POST /api/v1/pools/arena/drain" {
		t.Errorf("requests %q", asked)
	}
}

// Somebody else's undrain ends the waiting, with an error.
func TestDrainCalledOff(t *testing.T) {
	f := &fake{pools: [][]admin.Pool{
		{pool("arena", backend("a-1", 10))},
		{pool("arena", draining("a-1", 10, 7, 0))},
		{pool("arena", backend("a-1", 7))},
	}}
	if _, _, err := f.run(t, "drain", "arena/a-1"); !strings.Contains(errText(err), "somebody has called it off") {
		t.Errorf("error %v", err)
	}
}

// A retired backend goes with its last socket, and so does the word of its drain.
func TestDrainOfARetiredBackend(t *testing.T) {
	leaving := draining("a-1", 5, 3, 0)
	leaving.Retired, leaving.Mode = true, "ready"
	kept := leaving
	kept.Drain = nil
	f := &fake{pools: [][]admin.Pool{{pool("arena", kept, backend("a-2", 1))}, {pool("arena", leaving, backend("a-2", 1))}, {pool("arena", backend("a-2", 1))}}}
	if out, _, err := f.run(t, "drain", "arena/a-1"); err != nil || !strings.HasPrefix(out, "arena/a-1 is drained: 5 sockets in ") {
		t.Errorf("%v, %q", err, out)
	}
	if asked := f.requests(); len(asked) < 2 || asked[1] != "POST /api/v1/pools/arena/backends/a-1/drain" {
		t.Errorf("requests %q", asked)
	}
	f = &fake{pools: [][]admin.Pool{{pool("arena", kept)}, {pool("arena", leaving)}, {pool("arena", kept)}}}
	if _, _, err := f.run(t, "drain", "arena"); !strings.Contains(errText(err), "somebody has called it off") {
		t.Errorf("called off: error %v", err)
	}
	f = &fake{pools: [][]admin.Pool{{pool("arena", leaving)}, {pool("arena", kept)}}}
	if out, _, err := f.run(t, "undrain", "arena/a-1"); err != nil || !strings.Contains(out, "is retired, so it gets nothing new") {
		t.Errorf("undrain: %v, %q", err, out)
	}
	// Another one has its name by now: that is meant.
	now := backend("a-1", 7)
	if list := (&admin.Pool{Backends: []admin.Backend{now, kept}}).Meant("a-1"); len(list) != 1 || list[0].Retired {
		t.Errorf("a name means %+v", list)
	}
}

// An undrain does not end what the backend asks for itself, and says so.
func TestUndrainOfOneThatAsks(t *testing.T) {
	asks := draining("a-1", 10, 7, 0)
	asks.Mode, asks.Report = "ready", &admin.LoadReport{Drain: true}
	f := &fake{pools: [][]admin.Pool{{pool("arena", asks, backend("a-2", 3))}}}
	const want = "arena/a-1 goes on draining, since it asks for that itself (X-Holdfast-Drain)"
	if out, _, err := f.run(t, "undrain", "arena/a-1"); errText(err) != want || out != "" {
		t.Errorf("%v, %q", err, out)
	}
	if out, _, err := f.run(t, "undrain", "arena"); errText(err) != want || out != "arena takes sockets again\n" {
		t.Errorf("the pool: %v, %q", err, out)
	}
	f = &fake{pools: [][]admin.Pool{{pool("empty")}}}
	if _, _, err := f.run(t, "undrain", "empty"); !strings.Contains(errText(err), `pool "empty" has no backend, its discovery has found none`) {
		t.Errorf("a pool without backends: %v", err)
	}
}

func TestDrainOfAPool(t *testing.T) {
	f := &fake{pools: [][]admin.Pool{
		{pool("arena", backend("a-1", 2), backend("a-2", 3))},
		{pool("arena", draining("a-1", 2, 2, 0), draining("a-2", 3, 1, 0))},
		{pool("arena", draining("a-1", 2, 0, 0), draining("a-2", 3, 0, 1))},
	}}
	out, progress, err := f.run(t, "drain", "arena")
	if err != nil || !strings.HasPrefix(out, "arena is drained: 5 sockets") || !strings.Contains(progress, "3 of 5 left") {
		t.Errorf("%v, %q, %q", err, out, progress)
	}
}

func TestBarOnATerminal(t *testing.T) {
	var out bytes.Buffer
	b := &bar{w: &out, name: "arena/a-1", live: true}
	b.show(4, 3, 0, time.Time{})
	b.show(4, 1, 1, time.Now().Add(1500*time.Millisecond))
	b.show(0, 0, 0, time.Time{})
	b.end()
	want := "\r\x1b[Karena/a-1  " + strings.Repeat("█", 7) + strings.Repeat("░", 23) + "   25 %  3 of 4 left" +
		"\r\x1b[Karena/a-1  " + strings.Repeat("█", 22) + strings.Repeat("░", 8) + "   75 %  1 of 4 left, 1 at the deadline, done in 1s" +
		"\r\x1b[Karena/a-1  " + strings.Repeat("█", 30) + "  100 %  0 of 0 left\n"
	if out.String() != want {
		t.Errorf("got\n%q\nwant\n%q", out.String(), want)
	}
}

func TestSocketsArePaged(t *testing.T) {
	trip := .0123
	page := func(next string, ids ...string) admin.SocketPage {
		p := admin.SocketPage{Next: next, Matched: 3}
		for _, id := range ids {
			p.Sockets = append(p.Sockets, admin.Socket{ID: id, Pool: "arena", Backend: "a-1", Opened: time.Now(), RoundTrip: &trip,
				ClientToBackend: admin.Flow{Bytes: 2048, Frames: 7}})
		}
		return p
	}
	pages := []admin.SocketPage{page("2", "1", "2"), page("", "3")}
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/v1/pools" {
			_ = json.NewEncoder(w).Encode(map[string]any{"pools": []admin.Pool{pool("arena", backend("a-1", 3))}})
			return
		}
		asked = append(asked, r.URL.RawQuery)
		_ = json.NewEncoder(w).Encode(pages[min(len(asked), len(pages))-1])
	}))
	defer server.Close()
	cmd := newSockets()
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(io.Discard)
	cmd.SetArgs([]string{"--admin", server.URL, "--pool", "arena", "--key", "room 7", "--limit", "0"})
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(asked, " "); got != "key=room+7&limit=1000&pool=arena cursor=2&key=room+7&limit=1000&pool=arena" {
		t.Errorf("queries %q", got)
	}
	if text := out.String(); !strings.HasSuffix(text, "\n3 of 3 sockets\n") || !strings.Contains(text, "2.0KiB") || !strings.Contains(text, "12.3ms") {
		t.Errorf("output\n%s", text)
	}
}

// A backend may be written as everywhere else.
func TestSocketsOfAPoolsBackend(t *testing.T) {
	f := &fake{pools: [][]admin.Pool{{pool("arena", backend("a/1", 1)), pool("web", backend("b", 1))}}}
	if _, _, err := f.run(t, "sockets", "--backend", "arena/a/1"); err != nil {
		t.Fatal(err)
	}
	if asked := f.requests(); asked[len(asked)-1] != "GET /api/v1/sockets?backend=a%2F1&limit=100&pool=arena" {
		t.Errorf("requests %q", asked)
	}
	g := func(want string, args ...string) {
		t.Helper()
		if _, _, err := f.run(t, append([]string{"sockets"}, args...)...); errText(err) != want {
			t.Errorf("%q: %q, want %q", args, errText(err), want)
		}
	}
	g("", "--pool", "web")
	g("", "--backend", "b")
	g("", "--pool", "web", "--backend", "b")
	g(`pool "arena" has no backend "b", those that exist: a/1`, "--backend", "arena/b")
	g(`pool "arena" has no backend "b", those that exist: a/1`, "--pool", "arena", "--backend", "b")
	g(`no pool has a backend "c", those that exist: a/1, b`, "--backend", "c")
	g(`there is no pool "nope", those that exist: arena, web`, "--pool", "nope")
	g(`there is no pool "nope", those that exist: arena, web`, "--pool", "nope", "--backend", "b")
	g(`there is no pool "nope", those that exist: arena, web`, "--backend", "nope/b")
}

// What an order has not found, another command lists.
func TestNotFoundNamesACommand(t *testing.T) {
	for text, err := range map[string]error{
		"`holdfast status`":  admin.NoBackend("arena", "arena-9"),
		"`holdfast sockets`": admin.NoSocket("1"),
	} {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("%v: names no %s", err, text)
		}
	}
}

func TestAddresses(t *testing.T) {
	f := func(address, want string) {
		t.Helper()
		c, err := newClient(address, "")
		got := "error"
		if err == nil {
			got = c.base.String()
		}
		if got != want {
			t.Errorf("%q: %s, want %s", address, got, want)
		}
	}

	f("127.0.0.1:9090", "http://127.0.0.1:9090")
	f("[::1]:9090", "http://[::1]:9090")
	f("https://lb.example/", "https://lb.example")
	f("https://lb.example/admin", "error")
	f("ftp://lb.example", "error")
	f("", "error")
}

func TestTook(t *testing.T) {
	f := func(d time.Duration, want string) {
		t.Helper()
		if got := took(d); got != want {
			t.Errorf("%v is shown as %s, want %s", d, got, want)
		}
	}
	f(0, "1ms")
	f(300*time.Microsecond, "1ms")
	f(49600*time.Microsecond, "50ms")
	f(999*time.Millisecond, "999ms")
	f(1260*time.Millisecond, "1.3s")
	f(2*time.Minute+40*time.Millisecond, "2m0s")
}

func TestAge(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 0: "0s", 59 * time.Second: "59s", time.Minute: "1m", 59*time.Minute + 59*time.Second: "59m",
		time.Hour: "1h", 47 * time.Hour: "47h", 48 * time.Hour: "2d", 1000 * time.Hour: "41d",
	} {
		if got := age(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}

func TestSize(t *testing.T) {
	for n, want := range map[uint64]string{0: "0B", 1023: "1023B", 1024: "1.0KiB", 1536: "1.5KiB", 5 << 20: "5.0MiB", 1 << 63: "8192.0PiB"} {
		if got := size(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
}

// A refused reload prints every mistake.
func TestReloadRefused(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(422)
		_, _ = io.WriteString(w, `{"error":"refused","code":"refused","remedy":"mend","status":"refused","errors":["a: x","b: y"]}`)
	}))
	defer server.Close()
	cmd := newReload()
	var errs bytes.Buffer
	cmd.SetErr(&errs)
	cmd.SetArgs([]string{"--admin", server.URL})
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	err := cmd.ExecuteContext(t.Context())
	if err == nil || errs.String() != "a: x\nb: y\n" {
		t.Errorf("%v, %q", err, errs.String())
	}
}

// Whoever answers, but not as an admin address does, is named, and what helps.
func TestWhoAnswersIsNotHoldfast(t *testing.T) {
	f := func(status int, body, want string) {
		t.Helper()
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}))
		defer server.Close()
		c, err := newClient(server.URL, "")
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.pools(t.Context())
		want = c.base.Host + " is " + want + "write the configuration's admin.address: --admin HOST:PORT"
		if got := errText(err); got != want {
			t.Errorf("error %q, want %q", got, want)
		}
	}
	f(404, "404 page not found\n", "not the admin address of a Holdfast, it answers 404 Not Found: ")
	f(404, `{"error":"not found"}`, "not the admin address of a Holdfast, it answers 404 Not Found: ")
	f(301, "", "not the admin address of a Holdfast, it answers 301 Moved Permanently: ")
	f(200, "<html>", "not the admin address of a Holdfast, it answers something else than is asked for: ")
	f(200, "", "not the admin address of a Holdfast, it answers something else than is asked for: ")
	f(404, "HF-1001 no route for this host and path\n", "a listener of Holdfast's and not its admin address, ")
}

// Who accepts and says nothing is named, with what may be the matter.
func TestNobodyAnswers(t *testing.T) {
	c, err := newClient(testkit.ServeTCP(t, func(c *net.TCPConn) { _, _ = io.Copy(io.Discard, c) }), "")
	if err != nil {
		t.Fatal(err)
	}
	c.patience = 20 * time.Millisecond
	_, err = c.pools(t.Context())
	if want := "ask Holdfast at " + c.base.Host + ": no answer within 20ms; "; !strings.HasPrefix(errText(err), want) {
		t.Errorf("error %q, want %q", errText(err), want)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.pools(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: error %v", err)
	}
}
