package e2e

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fasthttp/websocket"
	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// gate is a backend that notes when each handshake reaches it.
type gate struct {
	*testkit.Backend
	mu sync.Mutex
	at []time.Time
}

func startGate(t *testing.T) *gate {
	t.Helper()
	g := &gate{}
	upgrade := testkit.Upgrade(func(c *websocket.Conn) {
		for {
			if _, _, err := c.ReadMessage(); err != nil {
				return
			}
		}
	})
	g.Backend = testkit.StartBackend(t, func(ctx *fasthttp.RequestCtx) {
		if websocket.FastHTTPIsWebSocketUpgrade(ctx) {
			g.mu.Lock()
			g.at = append(g.at, time.Now())
			g.mu.Unlock()
		}
		upgrade(ctx)
	})
	return g
}

// handshakes is how many came, and the time from the first to the last.
func (g *gate) handshakes() (n int, span time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.at) == 0 {
		return 0, 0
	}
	return len(g.at), g.at[len(g.at)-1].Sub(g.at[0])
}

// awaitWaiting waits until so many wait in the queues.
func (p *process) awaitWaiting(n float64) {
	p.t.Helper()
	testkit.Eventually(p.t, patience, func() bool { return p.metric("holdfast_queue_waiting") == n },
		fmt.Sprintf("%v handshakes wait", n))
}

// All come at once: each backend opens them at its rate, and all come in.
func TestStormWaits(t *testing.T) {
	t.Parallel()
	const perSecond, clients = 50, 200
	gates := []*gate{startGate(t), startGate(t)}
	p := start(t, setup{rest: siteOf([]string{gates[0].Addr, gates[1].Addr},
		fmt.Sprintf("limits: {handshakes_per_second_per_backend: %d}", perSecond), "queue: {size: 500, timeout: 30s}")})
	began := time.Now()
	openPeers(t, p.web, "/", clients)
	took := time.Since(began)
	for i, g := range gates {
		n, span := g.handshakes()
		if allowed := time.Duration(n-perSecond) * time.Second / perSecond; span < allowed || n < clients/4 {
			t.Errorf("backend %d had %d handshakes within %v, %d a second are allowed", i+1, n, span, perSecond)
		}
	}
	if fast, slow := clients/2*time.Second/perSecond-time.Second, clients/2*time.Second/perSecond+patience; took < fast || took > slow {
		t.Errorf("%d clients were in after %v", clients, took)
	}
	if n := p.metric("holdfast_queue_handshakes_total", `result="served"`); n < clients/4 || n >= clients {
		t.Errorf("%v of %d clients have waited", n, clients)
	}
}

// Without room to wait, clients are told when to come again, each later than
// the one before; a client that leaves frees its place.
func TestStormIsSpread(t *testing.T) {
	t.Parallel()
	g := startGate(t)
	// They wait for room, which nobody makes, so that they do for as long as this
	// takes on a busy machine.
	p := start(t, setup{rest: `
routes: [{name: all, path: /, pool: web}]
pools:
  web:
    limits: {handshakes_per_second: 1}
    queue: {size: 3, timeout: 5m}
    backends: [{name: b1, url: "http://` + g.Addr + `", max_connections: 1}]
`})
	first, err := openPeer(p.web, "/")
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	waiting := make([]*testkit.TCP, 3)
	for i := range waiting {
		waiting[i] = testkit.DialTCP(t, p.web)
		waiting[i].Send(testkit.HandshakeRequest(p.web, "/"))
	}
	p.awaitWaiting(3)
	refused := func() *http.Response {
		resp, body := exchange(t, p.web, testkit.HandshakeRequest(p.web, "/"))
		if resp.StatusCode != 503 || !strings.HasPrefix(body, "HF-2021 ") {
			t.Errorf("refused with %d %s", resp.StatusCode, body)
		}
		return resp
	}
	var after []int
	for range 5 {
		resp := refused()
		n, err := strconv.Atoi(resp.Header.Get("Retry-After"))
		if err != nil {
			t.Fatalf("Retry-After: %v", err)
		}
		after = append(after, n)
	}
	if after[len(after)-1] < after[0]+1 || after[0] < 2 {
		t.Errorf("Retry-After of one after the other at 1 a second: %v", after)
	}
	waiting[0].Close()
	waiting[1].Close()
	testkit.Eventually(t, patience, func() bool {
		return p.metric("holdfast_queue_handshakes_total", `result="client_gone"`) >= 2
	}, "clients that leave free their places")
	first.Close()
	waiting[2].Handshaken(patience)
}

// When every backend is full, a socket that ends lets the next one in, players
// who come back before new ones.
func TestQueueOfAFullPool(t *testing.T) {
	t.Parallel()
	g := startGate(t)
	p := start(t, setup{rest: `
routes: [{name: all, path: /, pool: web}]
pools:
  web:
    sticky: {by: query, name: player}
    queue: {size: 10, timeout: 60s}
    backends: [{name: b1, url: "http://` + g.Addr + `", max_connections: 2}]
`})
	old, err := openPeer(p.web, "/?player=old")
	if err != nil {
		t.Fatal(err)
	}
	other, err := openPeer(p.web, "/?player=other")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	ask := func(player string) *testkit.TCP {
		c := testkit.DialTCP(t, p.web)
		c.Send(testkit.HandshakeRequest(p.web, "/?player="+player))
		return c
	}
	fresh := ask("fresh")
	p.awaitWaiting(1) // the new one comes first
	again := ask("old")
	p.awaitWaiting(2)
	old.Close()
	again.Handshaken(patience)
	if n, _ := g.handshakes(); n != 3 {
		t.Errorf("%d handshakes have reached the backend, want 3", n)
	}
	again.Close()
	fresh.Handshaken(patience)
}

// A reload that makes room does so for those who come after it, although others
// wait for what there was before.
func TestQueueBehindAReload(t *testing.T) {
	t.Parallel()
	g := startGate(t)
	rest := func(limit int) string {
		return fmt.Sprintf(`
routes: [{name: all, path: /, pool: web}]
pools:
  web:
    queue: {size: 10, timeout: 60s}
    backends: [{name: b1, url: "http://%s", max_connections: %d}]
`, g.Addr, limit)
	}
	p := start(t, setup{rest: rest(1)})
	first, err := openPeer(p.web, "/")
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	before := testkit.DialTCP(t, p.web)
	before.Send(testkit.HandshakeRequest(p.web, "/"))
	p.awaitWaiting(1)
	p.write(rest(10))
	p.reload()
	after := testkit.DialTCP(t, p.web)
	after.Send(testkit.HandshakeRequest(p.web, "/"))
	after.Handshaken(patience)
}

// Who waits in vain reads why, and when to come again.
func TestQueueTimeout(t *testing.T) {
	t.Parallel()
	g := startGate(t)
	rest := func(timeout string) string {
		return fmt.Sprintf(`
routes: [{name: all, path: /, pool: web}]
pools:
  web:
    queue: {size: 10, timeout: %s}
    backends: [{name: b1, url: "http://%s", max_connections: 1}]
`, timeout, g.Addr)
	}
	p := start(t, setup{rest: rest("900ms")})
	first, err := openPeer(p.web, "/")
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	began := time.Now()
	resp, body := exchange(t, p.web, testkit.HandshakeRequest(p.web, "/"))
	if resp.StatusCode != 503 || !strings.HasPrefix(body, "HF-2022 ") || resp.Header.Get("Retry-After") == "" || time.Since(began) < 900*time.Millisecond {
		t.Errorf("after %v: %d, Retry-After %q, %s", time.Since(began), resp.StatusCode, resp.Header.Get("Retry-After"), body)
	}
	p.counted(1, "holdfast_queue_handshakes_total", `result="timeout"`)
	// The process ends although somebody waits.
	p.write(rest("5m"))
	p.reload()
	c := testkit.DialTCP(t, p.web)
	c.Send(testkit.HandshakeRequest(p.web, "/"))
	p.awaitWaiting(1)
	p.signal(stopSignal)
	if code := p.wait(patience); code != 0 {
		t.Errorf("exit status %d", code)
	}
}

// Without a queue, who comes too soon is refused at once.
func TestRateWithoutQueue(t *testing.T) {
	t.Parallel()
	g := startGate(t)
	p := start(t, setup{rest: siteOf([]string{g.Addr}, "limits: {handshakes_per_second: 1}")})
	testkit.Eventually(t, patience, func() bool {
		resp, body := exchange(t, p.web, testkit.HandshakeRequest(p.web, "/"))
		return resp.StatusCode == 503 && strings.HasPrefix(body, "HF-2020 ") && resp.Header.Get("Retry-After") != ""
	}, "a second handshake within a second is refused")
}

// Where neither a rate nor a queue tells how fast a full pool gets room, clients
// ask again soon, however many have asked.
func TestFullPoolIsAskedAgainSoon(t *testing.T) {
	t.Parallel()
	g := startGate(t)
	p := start(t, setup{rest: `
routes: [{name: all, path: /, pool: web}]
pools: {web: {backends: [{name: b1, url: "http://` + g.Addr + `", max_connections: 1}]}}
`})
	first, err := openPeer(p.web, "/")
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	for range 30 {
		resp, _ := exchange(t, p.web, testkit.HandshakeRequest(p.web, "/"))
		if after := resp.Header.Get("Retry-After"); resp.StatusCode != 503 || after != "1" {
			t.Fatalf("status %d, Retry-After: %q, want 503 and 1", resp.StatusCode, after)
		}
	}
}
