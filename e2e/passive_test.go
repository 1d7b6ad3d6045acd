package e2e

import (
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fasthttp/websocket"
	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// A backend whose sockets die young, and one that answers 500, are ejected
// although their probes pass, and take part again later.
func TestLiveTrafficEjects(t *testing.T) {
	t.Parallel()
	dies := testkit.StartBackend(t, testkit.Upgrade(func(c *websocket.Conn) { _ = c.NetConn().Close() }))
	fails := testkit.StartBackend(t, func(ctx *fasthttp.RequestCtx) {
		if string(ctx.Path()) != "/health" {
			ctx.SetStatusCode(500)
		}
	})
	good := startNamed(t, 1)[0]
	p := start(t, setup{rest: `
routes: [{name: sockets, path: /ws, pool: sockets}, {name: rest, path: /, pool: rest}]
pools:
` + onePool("sockets", []string{good, dies.Addr}, "balance: round_robin", quickHealth, "passive: {failures: 3, eject: 2s}") +
		onePool("rest", []string{fails.Addr, good}, "balance: round_robin", quickHealth, "passive: {failures: 3, eject: 1h}")})
	p.awaitState("sockets", "b2", "up")

	var ejected backendStatus
	testkit.Eventually(t, patience, func() bool {
		if c, err := openPeer(p.web, "/ws"); err == nil {
			c.Close()
		}
		ejected = p.backend("sockets", "b2")
		return ejected.Ejected != nil
	}, "a backend whose sockets die young is ejected")
	if ejected.State != "up" || ejected.Usable {
		t.Errorf("the ejected backend: %+v", ejected)
	}
	testkit.Eventually(t, patience, func() bool { return p.backend("sockets", "b2").Ejected == nil }, "it takes part again")
	p.logged("backend takes part again")

	testkit.Eventually(t, patience, func() bool {
		exchange(t, p.web, get("/"))
		return p.backend("rest", "b1").Ejected != nil
	}, "a backend that answers 500 is ejected")
	for range 10 {
		if resp, _ := exchange(t, p.web, get("/")); resp.StatusCode >= 500 {
			t.Errorf("status %d while the failing backend is ejected", resp.StatusCode)
		}
	}
	if n := p.metric("holdfast_ejections_total", `pool="rest"`); n != 1 {
		t.Errorf("%v ejections of the pool rest are counted, want 1", n)
	}
}

// A backend that freezes behind its handshakes is found out by the Pings that
// it does not answer: its sockets end with 1001, and it gets no more.
func TestFrozenBackendIsEjected(t *testing.T) {
	t.Parallel()
	frozen := startChild(t, freeAddr(t))
	good := startNamed(t, 1)[0]
	p := start(t, setup{rest: "routes: [{name: all, path: /, pool: web, websocket: {ping_interval: 1s, ping_backend: true}}]\npools:\n" +
		onePool("web", []string{frozen.addr, good}, "balance: first", "passive: {failures: 3, eject: 1h}")})
	const sockets = 4
	ended := make(chan error, sockets)
	for range sockets {
		c, _, err := websocket.DefaultDialer.Dial("ws://"+p.web+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		go func() { // answers Pings
			_, _, err := c.ReadMessage()
			ended <- err
		}()
	}
	if n := p.sockets("web"); n[0] != sockets {
		t.Fatalf("sockets by backend: %v, want %d on the first", n, sockets)
	}
	if err := frozen.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for range sockets {
		select {
		case err := <-ended:
			if !websocket.IsCloseError(err, 1001) {
				t.Errorf("a socket of the frozen backend ended with %v, want 1001", err)
			}
		case <-time.After(patience):
			t.Fatal("the sockets of the frozen backend are still open")
		}
	}
	testkit.Eventually(t, patience, func() bool { return p.backend("web", "b1").Ejected != nil }, "the frozen backend is ejected")
	c, err := openPeer(p.web, "/")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if n := p.sockets("web"); n[1] != 1 {
		t.Errorf("sockets by backend: %v, want the new one on the second", n)
	}
}

// Clean ends never eject, by whichever side and however many.
func TestCleanClosesEjectNobody(t *testing.T) {
	t.Parallel()
	leaves := func(code int) string {
		return testkit.StartBackend(t, testkit.Upgrade(func(c *websocket.Conn) {
			_ = c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, ""), time.Now().Add(patience))
			_, _, _ = c.ReadMessage()
		})).Addr
	}
	p := start(t, setup{rest: siteOf([]string{leaves(1000), leaves(1001), leaves(4000)},
		"balance: round_robin", "passive: {failures: 1, max_ejected_percent: 100}")})
	leave := func(i int) error {
		c, err := openPeer(p.web, "/")
		if err != nil {
			return err
		}
		defer c.Close()
		if i%4 == 3 {
			return nil // without a Close frame, and the client's own doing
		}
		_ = c.SetReadDeadline(time.Now().Add(patience))
		f, err := testkit.ReadFrame(c.r)
		if err == nil && f.Opcode == 8 {
			_, _ = c.Write(testkit.Frame{Fin: true, Opcode: 8, Payload: f.Payload}.Mask().Append(nil))
		}
		return nil
	}
	const atOnce = 20
	each := scale(500, 10, 10)
	var clients sync.WaitGroup
	for range atOnce {
		clients.Go(func() {
			for i := range each {
				if err := leave(i); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	clients.Wait()
	p.awaitIdle("web")
	if n := p.metric("holdfast_handshakes_total", `result="accepted"`); n != float64(atOnce*each) {
		t.Errorf("%v sockets have come and gone, want %d", n, atOnce*each)
	}
	for _, b := range p.backends("web") {
		if b.Ejected != nil {
			t.Errorf("%s is ejected: %s", b.Name, b.Ejected.Why)
		}
	}
	p.counted(0, "holdfast_sockets_open")
}

// Backends that refuse connections are ejected, and too many of them are not:
// below the panic floor all are used.
func TestPanicFloor(t *testing.T) {
	t.Parallel()
	addrs := []string{freeAddr(t), freeAddr(t), freeAddr(t), startNamed(t, 1)[0]}
	p := start(t, setup{rest: "routes: [{name: all, path: /, pool: web, retries: 3}]\n" +
		pool("web", addrs, "balance: round_robin", "passive: {failures: 1, eject: 1h, max_ejected_percent: 100}")})
	for range 8 {
		c, err := openPeer(p.web, "/")
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
	p.logged("PANIC")
	if n := p.metric("holdfast_pool_panic"); n != 1 {
		t.Errorf("holdfast_pool_panic is %v", n)
	}
	usable := ""
	for _, b := range p.backends("web") {
		usable += fmt.Sprint(b.Usable, " ")
	}
	if usable != "true true true true " {
		t.Errorf("usable below the panic floor: %s", usable)
	}
}
