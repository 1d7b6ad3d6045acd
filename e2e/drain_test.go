package e2e

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fasthttp/websocket"
	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// closed is what one client read at the end of its socket.
type closed struct {
	at   time.Time
	code int
	text string
	err  error
}

// awaitClose reads until a Close, answers it, and closes the connection.
func (p *peer) awaitClose() closed {
	defer p.Close()
	_ = p.SetDeadline(time.Now().Add(2 * patience))
	for {
		f, err := testkit.ReadFrame(p.r)
		if err != nil {
			return closed{at: time.Now(), err: err}
		}
		if f.Opcode != 8 || len(f.Payload) < 2 {
			continue
		}
		c := closed{at: time.Now(), code: int(f.CloseCode()), text: string(f.Payload[2:])}
		_, _ = p.Write(testkit.Frame{Fin: true, Opcode: 8, Payload: f.Payload[:2]}.Mask().Append(nil))
		_, c.err = io.Copy(io.Discard, p.r)
		return c
	}
}

// awaitCloses has every peer wait for its Close.
func awaitCloses(peers []*peer) <-chan closed {
	all := make(chan closed, len(peers))
	for _, p := range peers {
		go func() { all <- p.awaitClose() }()
	}
	return all
}

// ask asks a backend of startNamed for its name.
func (p *peer) ask() (string, error) {
	_ = p.SetDeadline(time.Now().Add(patience))
	if _, err := p.Write(testkit.Text("who").Mask().Append(nil)); err != nil {
		return "", err
	}
	f, err := testkit.ReadFrame(p.r)
	return string(f.Payload), err
}

// byBackend tells the peers of each backend apart, by what it answers.
func byBackend(t *testing.T, peers []*peer) map[string][]*peer {
	t.Helper()
	of := map[string][]*peer{}
	for _, p := range peers {
		name, err := p.ask()
		if err != nil {
			t.Fatal(err)
		}
		of[name] = append(of[name], p)
	}
	return of
}

func TestDrainAtAPace(t *testing.T) {
	t.Parallel()
	const perSecond, sockets = 20, 50
	arenas := startNamed(t, 3)
	rest := siteOf(arenas, "drain: {deadline: 60s, closes_per_second: 20}")
	p := start(t, setup{rest: rest})
	of := byBackend(t, openPeers(t, p.web, "/", 3*sockets))
	for name, peers := range of {
		if len(peers) != sockets {
			t.Fatalf("%s has %d sockets, want %d", name, len(peers), sockets)
		}
	}
	leaving := awaitCloses(of["b1"])
	began := time.Now()
	if status := p.post("/api/v1/pools/web/backends/b1/drain"); status != fasthttp.StatusOK {
		t.Fatalf("POST drain: status %d", status)
	}

	// The first half, then a reload that changes something else: the drain goes
	// on by the new pace.
	for range sockets / 2 {
		checkClose(t, <-leaving, 1012)
	}
	if took := time.Since(began); took < (sockets/2-perSecond)*time.Second/perSecond {
		t.Errorf("%d closes took %v, %d a second are allowed", sockets/2, took, perSecond)
	}
	// A client reads its Close a moment before the socket has ended and counts.
	testkit.Eventually(t, patience, func() bool {
		d := p.backend("web", "b1").Drain
		return d != nil && d.Sockets == sockets && d.Closed >= sockets/2 && d.Left <= sockets*3/4 && d.Forced == 0
	}, "half way")
	p.write(siteOf(arenas, "drain: {deadline: 60s, closes_per_second: 20, close_code: 4321}", "balance: p2c"))
	p.reload()
	reloaded := time.Since(began)
	if got := p.backend("web", "b1"); got.Mode != "drain" || got.Drain == nil || got.Drain.Sockets != sockets {
		t.Errorf("after the reload: mode %s, drain %+v", got.Mode, got.Drain)
	}
	renewed := 0
	for range sockets - sockets/2 {
		if c := <-leaving; c.code == 4321 {
			renewed++
		} else {
			checkClose(t, c, 1012)
		}
	}
	// On a machine that was busy with something else, all may have been told by
	// then; but no sooner than the pace allows.
	if renewed == 0 && reloaded < (sockets-1)*time.Second/perSecond {
		t.Errorf("after a reload %v into the drain, nobody read the code of the new configuration", reloaded)
	}
	if took := time.Since(began); took < (sockets-perSecond)*time.Second/perSecond {
		t.Errorf("%d closes took %v, %d a second are allowed", sockets, took, perSecond)
	}
	testkit.Eventually(t, patience, func() bool {
		d := p.backend("web", "b1").Drain
		return d.Left == 0 && d.Closed == sockets && d.Forced == 0
	}, "b1 is empty")
	p.logged("drain ended")
	if n := p.metric("holdfast_drain_closes_total", `when="paced"`); n != sockets {
		t.Errorf("holdfast_drain_closes_total is %v, want %d", n, sockets)
	}

	// Nobody else was touched, and nobody comes in.
	for _, name := range []string{"b2", "b3"} {
		for _, peer := range of[name] {
			if who, err := peer.ask(); err != nil || who != name {
				t.Fatalf("a socket of %s: %q, %v", name, who, err)
			}
		}
	}
	if n := p.sockets("web"); n[0] != 0 || n[1] != sockets || n[2] != sockets {
		t.Errorf("sockets are %v", n)
	}
}

func checkClose(t *testing.T, c closed, code int) {
	t.Helper()
	if c.err != nil || c.code != code || !strings.Contains(c.text, "draining") {
		t.Errorf("a client read %d %q, %v, want %d", c.code, c.text, c.err, code)
	}
}

// At the deadline all that are left are told, and undrain stops a drain.
func TestDrainDeadlineAndUndrain(t *testing.T) {
	t.Parallel()
	p := start(t, setup{rest: siteOf(startNamed(t, 2), "drain: {deadline: 60s, closes_per_second: 0}")})
	of := byBackend(t, openPeers(t, p.web, "/", 40))
	leaving := awaitCloses(of["b1"])
	p.post("/api/v1/pools/web/backends/b1/drain")
	p.post("/api/v1/pools/web/backends/b1/undrain")
	if b := p.backend("web", "b1"); b.Mode != "ready" || b.Drain != nil || b.Active.Sockets != 20 {
		t.Errorf("after the undrain: %+v", b)
	}
	p.post("/api/v1/pools/web/drain?deadline=1h")
	p.post("/api/v1/pools/web/backends/b2/undrain")
	began := time.Now()
	p.post("/api/v1/pools/web/backends/b1/drain?deadline=700ms")
	for range len(of["b1"]) {
		c := <-leaving
		checkClose(t, c, 1012)
		if early := c.at.Sub(began); early < 700*time.Millisecond {
			t.Errorf("a client was told after %v", early)
		}
	}
	testkit.Eventually(t, patience, func() bool {
		d := p.backend("web", "b1").Drain
		return d != nil && d.Left == 0 && d.Closed == 0 && d.Forced == 20
	}, "b1 is empty")
	if n := p.sockets("web"); n[1] != 20 {
		t.Errorf("sockets are %v, want [0 20]", n)
	}
}

// A backend that a reload removes keeps its sockets, unless it is to be
// drained.
func TestDrainWhenRemoved(t *testing.T) {
	t.Parallel()
	arenas := startNamed(t, 2)
	p := start(t, setup{rest: siteOf(arenas)})
	of := byBackend(t, openPeers(t, p.web, "/", 20))
	p.write(siteOf(arenas[1:]))
	p.reload()
	for _, peer := range of["b1"] {
		if who, err := peer.ask(); err != nil || who != "b1" {
			t.Fatalf("a socket of a removed backend: %q, %v", who, err)
		}
	}
	p.write(siteOf(arenas, "drain: {deadline: 60s, closes_per_second: 1000, when_removed: drain}"))
	p.reload()
	p.write(siteOf(arenas[1:], "drain: {deadline: 60s, closes_per_second: 1000, when_removed: drain}"))
	leaving := awaitCloses(of["b1"])
	p.reload()
	for range len(of["b1"]) {
		checkClose(t, <-leaving, 1012)
	}
	testkit.Eventually(t, patience, func() bool { return len(p.backends("web")) == 1 }, "the removed backend is forgotten")
}

// A backend that has gone, or whose pool has, can be drained all the same.
func TestDrainOfARetiredBackend(t *testing.T) {
	t.Parallel()
	arenas := startNamed(t, 2)
	const drain = "drain: {deadline: 60s, closes_per_second: 0}"
	p := start(t, setup{rest: siteOf(arenas, drain)})
	of := byBackend(t, openPeers(t, p.web, "/", 20))
	p.write(siteOf(arenas[:1], drain))
	p.reload()
	p.says(1, "web/b2 is retired", "maintenance", "web/b2")
	p.says(0, "web/b2 is draining", "drain", "web/b2", "--no-wait")
	p.says(0, "retired, drain (10 left)", "status")
	p.says(0, "web/b2 is not drained any more", "undrain", "web/b2")
	if b := p.backend("web", "b2"); !b.Retired || b.Drain != nil || b.Active.Sockets != 10 {
		t.Errorf("after the undrain: %+v", b)
	}
	leaving := awaitCloses(of["b2"])
	p.says(0, "web/b2 is drained: 10 sockets", "drain", "web/b2", "--deadline", "300ms")
	for range len(of["b2"]) {
		checkClose(t, <-leaving, 1012)
	}
	p.says(1, `pool "web" has no backend "b2"`, "drain", "web/b2")
	p.logged(`"msg":"drain ended","pool":"web","backend":"b2"`)
	for _, peer := range of["b1"] {
		if who, err := peer.ask(); err != nil || who != "b1" {
			t.Fatalf("a socket of the other one: %q, %v", who, err)
		}
	}

	// The whole pool goes.
	p.write("routes: [{name: all, path: /, pool: next}]\n" + pool("next", arenas[1:], drain))
	p.reload()
	leaving = awaitCloses(of["b1"])
	p.says(0, "web is drained: 10 sockets", "drain", "web")
	for range len(of["b1"]) {
		checkClose(t, <-leaving, 1012)
	}
}

// In maintenance nobody probes; afterwards a probe decides.
func TestMaintenanceStopsProbes(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	probes := 0
	b := testkit.StartBackend(t, func(ctx *fasthttp.RequestCtx) {
		if string(ctx.Path()) == "/health" {
			mu.Lock()
			probes++
			mu.Unlock()
		}
	})
	count := func() int {
		mu.Lock()
		defer mu.Unlock()
		return probes
	}
	p := start(t, setup{rest: siteOf([]string{b.Addr}, "health: {type: http, path: /health, interval: 20ms, rise: 1, fall: 1}")})
	p.awaitState("web", "b1", "up")
	p.post("/api/v1/pools/web/backends/b1/maintenance")
	exchange(t, b.Addr, get("/", "Connection: close")) // accepted behind the last probe
	testkit.Eventually(t, patience, func() bool { return b.Conns() == 0 }, "the last probe has left the backend")
	before := count()
	time.Sleep(200 * time.Millisecond)
	if n := count() - before; n > 0 {
		t.Errorf("%d probes of a backend in maintenance", n)
	}
	// A reload changes nothing about it.
	p.write(siteOf([]string{b.Addr}, "health: {type: http, path: /health, interval: 30ms, rise: 1, fall: 1}"))
	p.reload()
	if n, mode := count()-before, p.backend("web", "b1").Mode; n > 0 || mode != "maintenance" {
		t.Errorf("after a reload: %d probes, mode %s", n, mode)
	}
	p.post("/api/v1/pools/web/backends/b1/undrain")
	testkit.Eventually(t, patience, func() bool { return count() > before }, "a probe after maintenance")
	p.awaitState("web", "b1", "up")
}

// startNamed starts arenas that answer every message with their name, and
// returns their addresses.
func startNamed(t *testing.T, n int) []string {
	t.Helper()
	var addrs []string
	for i := range n {
		addrs = append(addrs, testkit.StartBackend(t, named(fmt.Sprintf("b%d", i+1))).Addr)
	}
	return addrs
}

// named answers every message with a name.
func named(name string) fasthttp.RequestHandler {
	return testkit.Upgrade(func(c *websocket.Conn) {
		for {
			if _, _, err := c.ReadMessage(); err != nil || c.WriteMessage(websocket.TextMessage, []byte(name)) != nil {
				return
			}
		}
	})
}

// post sends a POST without a body to the admin address.
func (p *process) post(path string) int {
	p.t.Helper()
	resp, err := p.client.Post("http://"+p.admin+path, "", nil)
	if err != nil {
		p.t.Fatalf("POST %s: %v", path, err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}
