package e2e

import "testing"

// A backend that comes back is not handed every new socket, although it has
// the fewest.
func TestSlowStart(t *testing.T) {
	t.Parallel()
	addr := freeAddr(t)
	first := startChild(t, addr)
	addrs := []string{addr, startArena(t, "b2").Addr, startArena(t, "b3").Addr}
	p := start(t, setup{rest: siteOf(addrs, "balance: least_conn", "slow_start: 1h",
		"health: {type: http, path: /health, interval: 300ms, rise: 1, fall: 2, initial: up}")})
	p.awaitState("web", "b1", "up")
	peers := openPeers(t, p.web, "/", 150)
	if n := p.sockets("web"); n[0] != 50 || n[1] != 50 || n[2] != 50 {
		t.Fatalf("sockets are %v at the start, when all are new; want [50 50 50]", n)
	}
	first.kill()
	closePeers(peers)
	p.awaitState("web", "b1", "down")
	p.awaitIdle("web")
	startChild(t, addr)
	p.awaitState("web", "b1", "up")
	openPeers(t, p.web, "/", 120)
	// Its share is a tenth of a weight, of two and a tenth: about 6.
	n := p.sockets("web")
	if n[0] > 20 || n[1] < 45 || n[2] < 45 {
		t.Errorf("sockets are %v, want few at the one that came back", n)
	}
}
