package e2e

import (
	"net/http"
	"testing"
	"time"

	"github.com/fasthttp/websocket"
	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// A backend whose process is killed: its clients know at once, new ones land
// elsewhere, and after `rise` probes it is used again.
func TestKilledBackend(t *testing.T) {
	t.Parallel()
	addr := freeAddr(t)
	first := startChild(t, addr)
	second := startArena(t, "b2")
	p := start(t, setup{rest: siteOf([]string{addr, second.Addr}, "balance: least_conn",
		"health: {type: http, path: /health, interval: 1s, rise: 2, fall: 2, initial: up}")})
	p.awaitState("web", "b1", "up")
	peers := openPeers(t, p.web, "/", 20)
	if n := p.sockets("web"); n[0] != 10 || n[1] != 10 {
		t.Fatalf("sockets are %v, want [10 10]", n)
	}

	// Each client says how soon it saw the end, and leaves.
	ends := make(chan time.Time, len(peers))
	for _, socket := range peers {
		_ = socket.SetReadDeadline(time.Now().Add(2 * patience))
		go func() {
			_, err := testkit.ReadFrame(socket.r)
			if err != nil {
				ends <- time.Now()
				socket.Close()
			}
		}()
	}
	killed := time.Now()
	first.kill()
	// At once: the probes have not noticed yet.
	more := openPeers(t, p.web, "/", 10)
	for i, socket := range more {
		if err := socket.echo("hello"); err != nil {
			t.Errorf("new socket %d after the kill: %v", i, err)
		}
	}
	for range 10 {
		select {
		case at := <-ends:
			if took := at.Sub(killed); took > 5*time.Second { // on a machine that may be busy with something else
				t.Errorf("a client saw the end after %v", took)
			}
		case <-time.After(patience):
			t.Fatal("a client of the killed backend does not see the end")
		}
	}
	p.awaitState("web", "b1", "down")
	if why := p.backend("web", "b1").Why; why == "" {
		t.Error("nothing says why b1 is down")
	}
	testkit.Eventually(t, patience, func() bool { n := p.sockets("web"); return n[0] == 0 && n[1] == 20 },
		"b1 has no socket left, b2 its own and the new ones")
	if up := p.metric("holdfast_backend_up", `backend="b1"`); up != 0 {
		t.Errorf("holdfast_backend_up is %v, want 0", up)
	}

	startChild(t, addr)
	p.awaitState("web", "b1", "up")
	openPeers(t, p.web, "/", 20)
	if n := p.sockets("web"); n[0] != 20 || n[1] != 20 {
		t.Errorf("sockets are %v after the backend came back, want [20 20]", n)
	}
	closePeers(peers)
}

// Only a websocket check finds out a backend that answers every request and
// hangs on upgrades.
func TestHangingUpgradesAreFoundOut(t *testing.T) {
	t.Parallel()
	hangs := testkit.StartBackend(t, testkit.HangOnUpgrade())
	works := startArena(t, "b2")
	addrs := []string{hangs.Addr, works.Addr}
	p := start(t, setup{rest: `
routes: [{name: fooled, path: /fooled, pool: fooled}, {name: all, path: /, pool: web}]
pools:
` + onePool("fooled", addrs, "health: {type: http, path: /health, interval: 1s, rise: 1, fall: 3}") +
		onePool("web", addrs, "balance: round_robin", "health: {type: websocket, path: /health, interval: 1s, rise: 1, fall: 2}")})

	p.awaitState("fooled", "b1", "up")
	p.awaitState("web", "b2", "up")
	testkit.Eventually(t, patience, func() bool {
		return p.metric("holdfast_probes_total", `pool="web"`, `backend="b1"`, `result="failure"`) >= 2
	}, "the check fails twice")
	p.awaitState("web", "b1", "down")
	if state := p.backend("fooled", "b1").State; state != "up" {
		t.Errorf("an HTTP check finds b1 %s", state)
	}
	for i := range 4 {
		socket, err := openPeer(p.web, "/")
		if err != nil {
			t.Fatalf("socket %d: %v", i, err)
		}
		defer socket.Close()
	}
	if n := p.sockets("web"); n[0] != 0 || n[1] != 4 {
		t.Errorf("sockets are %v, want [0 4]", n)
	}
}

// Sockets of a backend that goes down for its health checks stay: the backend
// may be sick for new clients only.
func TestSickBackendKeepsItsSockets(t *testing.T) {
	t.Parallel()
	sick := make(chan struct{})
	b := testkit.StartBackend(t, nil)
	echo := testkit.Upgrade(func(c *websocket.Conn) {
		for {
			kind, message, err := c.ReadMessage()
			if err != nil || c.WriteMessage(kind, message) != nil {
				return
			}
		}
	})
	b.SetHandler(func(ctx *fasthttp.RequestCtx) {
		select {
		case <-sick:
			if !websocket.FastHTTPIsWebSocketUpgrade(ctx) {
				ctx.SetStatusCode(http.StatusInternalServerError)
				return
			}
		default:
		}
		echo(ctx)
	})
	p := start(t, setup{rest: siteOf([]string{b.Addr}, quickHealth)})
	socket, err := openPeer(p.web, "/")
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	close(sick)
	p.awaitState("web", "b1", "down")
	if err := socket.echo("still here"); err != nil {
		t.Errorf("a socket of a sick backend: %v", err)
	}
	resp, _ := exchange(t, p.web, get("/"))
	if resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("status %d while no backend is up, want 503", resp.StatusCode)
	}
	if n := p.sockets("web"); n[0] != 1 {
		t.Errorf("sockets are %v, want [1]", n)
	}
}

// With when_all_down: try, backends that are all down are tried all the same.
func TestWhenAllDown(t *testing.T) {
	t.Parallel()
	b := testkit.StartBackend(t, nil)
	const failing = "health: {type: http, path: /health, expect: \"299\", interval: 50ms, rise: 1, fall: 1}"
	p := start(t, setup{rest: "routes: [{name: fail, path: /, pool: fail}, {name: try, path: /try, pool: try}]\npools:\n" +
		onePool("fail", []string{b.Addr}, failing) + onePool("try", []string{b.Addr}, failing, "when_all_down: try")})
	p.awaitState("fail", "b1", "down")
	p.awaitState("try", "b1", "down")
	if resp, _ := exchange(t, p.web, get("/")); resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("fail: status %d, want 503", resp.StatusCode)
	}
	if resp, _ := exchange(t, p.web, get("/try")); resp.StatusCode != http.StatusOK {
		t.Errorf("try: status %d, want 200", resp.StatusCode)
	}
}
