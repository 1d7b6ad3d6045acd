package e2e

import (
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// Sockets are spread by weight to within one, as the balancer counts them and
// as the backends do.
func TestSocketsAreSpreadByWeight(t *testing.T) {
	f := func(total int, weights ...int) {
		t.Helper()
		backends := startArenas(t, len(weights))
		rest := "routes: [{name: all, path: /, pool: web}]\npools:\n  web:\n    backends:\n"
		sum := 0
		for i, a := range backends {
			rest += fmt.Sprintf("      - {name: %s, url: \"http://%s\", weight: %d}\n", a.name, a.Addr, weights[i])
			sum += weights[i]
		}
		p := start(t, setup{rest: rest})
		peers := openPeers(t, p.web, "/", total)

		within := func(who string, i, got int) {
			t.Helper()
			if want := total * weights[i] / sum; got < want-1 || got > want+1 {
				t.Errorf("weights %v: %s counts %d sockets on %s, want %d", weights, who, got, backends[i].name, want)
			}
		}
		for i, n := range p.sockets("web") {
			within("the balancer", i, n)
		}
		// A backend counts a socket once its 101 is out, which a client may
		// have read before.
		testkit.Eventually(t, patience, func() bool {
			sum := int64(0)
			for _, a := range backends {
				sum += a.open.Load()
			}
			return sum == int64(total)
		}, "the backends count all sockets")
		for i, a := range backends {
			within("the backend", i, int(a.open.Load()))
		}
		for _, name := range []string{"holdfast_sockets_open", "holdfast_relay_pairs_open", "holdfast_listener_connections_open"} {
			testkit.Eventually(t, patience, func() bool { return int(p.metric(name)) == total }, name+" is the number of sockets")
		}

		closePeers(peers)
		p.awaitIdle("web")
		testkit.Eventually(t, patience, func() bool { return p.metric("holdfast_listener_connections_open") == 0 },
			"the listener counts no connection")
		for _, a := range backends {
			testkit.Eventually(t, patience, func() bool { return a.open.Load() == 0 }, a.name+" has no socket left")
		}
		p.signal(stopSignal)
		p.wait(patience)
	}
	total := scale(3000, 3000, 600)
	f(total, 1, 1, 1)
	f(total, 1, 2, 1)
}

// Every algorithm answers every request, and has the spread that makes it what
// it is.
func TestAlgorithms(t *testing.T) {
	t.Parallel()
	const requests = 60
	backends := startArenas(t, 3)
	algorithms := []string{"least_conn", "p2c", "round_robin", "random", "hash", "first"}
	rest := "routes:\n"
	for _, name := range algorithms {
		rest += fmt.Sprintf("  - {name: %s, path: /%[1]s, pool: %[1]s}\n", name)
	}
	rest += "pools:\n"
	for _, name := range algorithms {
		key := "balance: " + name
		if name == "hash" {
			key += "\n    hash_key: query:room"
		}
		rest += onePool(name, []string{backends[0].Addr, backends[1].Addr, backends[2].Addr}, key)
	}
	p := start(t, setup{rest: rest})
	client := newClient(t)

	f := func(name, query string, want func(spread map[string]int) bool) {
		t.Helper()
		spread := map[string]int{}
		for i := range requests {
			resp, err := client.Get(fmt.Sprintf("http://%s/%s?%s%d", p.web, name, query, i))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			body, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || resp.StatusCode != http.StatusOK {
				t.Fatalf("%s: status %d, %v", name, resp.StatusCode, err)
			}
			spread[string(body)]++
		}
		if !want(spread) {
			t.Errorf("%s: %d requests are spread as %v", name, requests, spread)
		}
		p.awaitIdle(name)
	}
	onAll := func(spread map[string]int) bool { return len(spread) == 3 }
	onOne := func(spread map[string]int) bool { return len(spread) == 1 }

	f("least_conn", "n=", onAll)
	f("p2c", "n=", onAll)
	f("round_robin", "n=", func(s map[string]int) bool { return s["b1"] == 20 && s["b2"] == 20 && s["b3"] == 20 })
	f("random", "n=", onAll)
	f("hash", "room=", onAll)
	f("hash", "room=a&n=", onOne)
	f("first", "n=", func(s map[string]int) bool { return s["b1"] == requests })
}

// max_connections of a backend is never exceeded, and full ones are refused
// with a 503 of their own.
func TestBackendsAreNotOverfilled(t *testing.T) {
	t.Parallel()
	backends := startArenas(t, 2)
	p := start(t, setup{rest: fmt.Sprintf(`
routes: [{name: all, path: /, pool: web}]
pools:
  web:
    backends:
      - {name: b1, url: "http://%s", max_connections: 3}
      - {name: b2, url: "http://%s", max_connections: 5}
`, backends[0].Addr, backends[1].Addr)})
	peers := openPeers(t, p.web, "/", 8)
	if got := p.sockets("web"); got[0] != 3 || got[1] != 5 {
		t.Errorf("backends hold %v sockets, want [3 5]", got)
	}
	c := testkit.DialTCP(t, p.web)
	c.Send(testkit.HandshakeRequest(p.web, "/"))
	resp := c.ReadResponse(patience)
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		t.Errorf("a socket too many: status %d, Retry-After %q; want 503 and a time", resp.StatusCode, resp.Header.Get("Retry-After"))
	}
	peers[0].Close()
	testkit.Eventually(t, patience, func() bool { n := p.sockets("web"); return n[0]+n[1] == 7 }, "a place is free")
	if again, err := openPeer(p.web, "/"); err != nil {
		t.Errorf("a freed place is not taken: %v", err)
	} else {
		again.Close()
	}
}
