package main

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fasthttp/websocket"
	"pgregory.net/rapid"

	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// failures are what can keep a configuration from being applied, in the order
// in which it is prepared.
var failures = []string{"nothing", "pool", "users", "certificate", "listener", "admin", "log", "access log", "second access log", "webhook"}

// reloadModel is a process as its operator understands it.
type reloadModel struct {
	dir     string
	app     *app
	backend string
	taken   net.Listener // a TCP address of somebody else

	version int
	bound   map[int]bool // listeners, by the number of their sockets
	admin   string       // address; empty: none
	socket  net.Conn     // a WebSocket through listener 0, which is never gone
	r       *bufio.Reader
	kept    net.Conn // a connection to listener 0
	keptR   *bufio.Reader
}

func (m *reloadModel) path(name string) string { return filepath.Join(m.dir, name) }

func (m *reloadModel) address(i int) string { return m.path(fmt.Sprintf("s%d", i)) }

// Apply draws a configuration, and something that is wrong with it.
func (m *reloadModel) Apply(t *rapid.T) {
	next := map[int]bool{0: true}
	for _, i := range rapid.SliceOfNDistinct(rapid.IntRange(1, 4), 0, 4, rapid.ID).Draw(t, "listeners") {
		next[i] = true
	}
	version := m.version + 1
	admin := rapid.SampledFrom([]string{"", "127.0.0.1:0"}).Draw(t, "admin")
	logs := rapid.IntRange(0, 2).Draw(t, "logs")
	var text strings.Builder
	fmt.Fprintf(&text, "admin: {address: %q}\nlog: {file: %q, access: %q}\nlisteners:\n", admin, m.path(fmt.Sprint("log", logs)), m.path(fmt.Sprint("access", logs)))
	for _, i := range slices.Sorted(maps.Keys(next)) {
		fmt.Fprintf(&text, "  - {name: l%d, address: \"unix:%s\", access_log: {file: %q}}\n", i, m.address(i), m.path(fmt.Sprintf("access%d-%d", i, logs)))
	}
	fmt.Fprintf(&text, `routes:
  - {name: says, path: /version, respond: {status: 200, body: "%d"}}
  - {name: all, path: /, pool: web}
pools: {web: {backends: [{url: "http://%s"}]}}
`, version, m.backend)
	cfg, _, err := config.Parse([]byte(text.String()), "yaml", m.path("holdfast.yaml"), config.Options{})
	if err != nil {
		t.Fatalf("%v in\n%s", err, text.String())
	}

	wrong := rapid.SampledFrom(failures).Draw(t, "wrong")
	switch wrong {
	case "pool":
		pool := cfg.Pools["web"]
		pool.Backends = []config.Backend{{Name: "bad", URL: "ftp://127.0.0.1", Weight: 1}}
		cfg.Pools["web"] = pool
	case "users":
		cfg.Routes[1].Auth = &config.Auth{Basic: &config.BasicAuth{UsersFile: m.path("nowhere/users")}}
	case "certificate":
		cfg.Listeners[0].TLS = &config.TLS{Certificates: []config.KeyPair{{Cert: m.path("nowhere/cert"), Key: m.path("nowhere/key")}}}
	case "listener":
		cfg.Listeners = append(cfg.Listeners, config.Listener{Name: "taken", Address: m.taken.Addr().String()})
	case "admin":
		cfg.Admin.Address = m.taken.Addr().String()
	case "log":
		cfg.Log.File = m.path("nowhere/log")
	case "access log":
		cfg.Log.Access = m.path("nowhere/access")
	case "second access log":
		cfg.Listeners[len(cfg.Listeners)-1].AccessLog = &config.AccessLog{File: m.path("nowhere/access"), Format: "json"}
	case "webhook":
		cfg.Webhooks = []config.Webhook{{Name: "bad", URL: "http://127.0.0.1:1", SecretFile: m.path("nowhere/secret"), Timeout: time.Second}}
	}

	a := m.app
	runs, pools, runtime, admins, access := a.cfg, a.pools, a.runtime, a.admin, a.access.Load()
	descriptors := m.descriptors()
	err = a.apply(cfg)
	if (err != nil) != (wrong != "nothing") {
		t.Fatalf("with %s wrong: %v", wrong, err)
	}
	if err == nil {
		m.version, m.bound, m.admin = version, next, admin
		return
	}
	// No trace. Connections of the last check may still be closing.
	if a.cfg != runs || a.pools != pools || a.runtime != runtime || a.admin != admins || a.access.Load() != access {
		t.Fatalf("with %s wrong something has changed", wrong)
	}
	m.eventually(t, "descriptors are what they were, with "+wrong+" wrong", func() bool { return m.descriptors() <= descriptors })
}

func (m *reloadModel) descriptors() int {
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0 // another system: TestMain compares in the end
	}
	return len(all)
}

func (m *reloadModel) eventually(t *rapid.T, what string, cond func() bool) {
	for began := time.Now(); !cond(); time.Sleep(time.Millisecond) {
		if time.Since(began) > 10*time.Second {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

// ask sends a GET for the version on c.
func (m *reloadModel) ask(t *rapid.T, c net.Conn, r *bufio.Reader) string {
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	_, _ = io.WriteString(c, "GET /version HTTP/1.1\r\nHost: x\r\n\r\n")
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatalf("read answer: %v", err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("read answer: %v", err)
	}
	return string(body)
}

// Check asks everybody.
func (m *reloadModel) Check(t *rapid.T) {
	if m.version == 0 {
		return
	}
	want := fmt.Sprint(m.version)
	for i := range 5 {
		c, err := net.Dial("unix", m.address(i))
		if (err == nil) != m.bound[i] {
			t.Fatalf("connect to listener %d: %v, it is there: %t", i, err, m.bound[i])
		}
		if err != nil {
			continue
		}
		if i == 0 && m.kept == nil {
			m.kept, m.keptR = c, bufio.NewReader(c)
			continue
		}
		if got := m.ask(t, c, bufio.NewReader(c)); got != want {
			t.Fatalf("listener %d answers by version %s, %s is applied", i, got, want)
		}
		c.Close()
	}
	if got := m.ask(t, m.kept, m.keptR); got != want {
		t.Fatalf("a kept connection is answered by version %s, %s is applied", got, want)
	}
	if m.socket == nil {
		c, err := net.Dial("unix", m.address(0))
		if err != nil {
			t.Fatal(err)
		}
		m.socket, m.r = c, bufio.NewReader(c)
		_, _ = io.WriteString(c, testkit.HandshakeRequest("x", "/"))
		if resp, err := http.ReadResponse(m.r, nil); err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
			t.Fatalf("handshake: %v, %v", resp, err)
		}
	}
	_ = m.socket.SetDeadline(time.Now().Add(10 * time.Second))
	_, _ = m.socket.Write(testkit.Text(want).Mask().Append(nil))
	if f, err := testkit.ReadFrame(m.r); err != nil || string(f.Payload) != want {
		t.Fatalf("the open socket echoes %q, %v", f.Payload, err)
	}
	if n := m.app.relay.Stats().Pairs; n != 1 {
		t.Fatalf("%d sockets are open", n)
	}
	sockets := 0
	for _, b := range m.app.registry.Snapshot() {
		if b.Sockets < 0 || b.Requests < 0 || b.Handshakes < 0 {
			t.Fatalf("a count is negative: %+v", b)
		}
		sockets += b.Sockets
	}
	if sockets != 1 {
		t.Fatalf("%d sockets are counted", sockets)
	}
	if (m.app.admin != nil) != (m.admin != "") {
		t.Fatalf("an admin server runs: %t", m.app.admin != nil)
	}
}

// TestReloadModel applies configurations of which some cannot be, for a reason
// at each point of their preparation, and holds the process to a model: what
// could not be applied leaves no trace, what could is in force at once and
// everywhere, and the open socket notices nothing.
func TestReloadModel(t *testing.T) {
	testkit.Checks(20)
	backend := testkit.StartBackend(t, testkit.Upgrade(func(c *websocket.Conn) {
		for {
			kind, message, err := c.ReadMessage()
			if err != nil || c.WriteMessage(kind, message) != nil {
				return
			}
		}
	}))
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp("", "holdfast") // short, for a Unix socket's name
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		log, err := newJournal(config.Log{Level: "error", Format: "text", File: filepath.Join(dir, "log0")})
		if err != nil {
			t.Fatal(err)
		}
		a, err := newApp(log, nil)
		if err != nil {
			t.Fatal(err)
		}
		m := &reloadModel{dir: dir, app: a, backend: backend.Addr, taken: taken, bound: map[int]bool{}}
		defer func() {
			for _, c := range []net.Conn{m.socket, m.kept} {
				if c != nil {
					c.Close()
				}
			}
			a.stop(5 * time.Second)
			closeLog(log.w)
		}()
		rt.Repeat(map[string]func(*rapid.T){"apply": m.Apply, "": m.Check})
	})
}
