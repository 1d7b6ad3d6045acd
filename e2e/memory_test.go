package e2e

import (
	"runtime"
	"testing"
	"time"
)

// What an idle socket costs the process, its share of the heap's slack
// included, without and with Pings and a guard.
func TestIdleSocketsAreSmall(t *testing.T) {
	if raceEnabled || runtime.GOOS != "linux" {
		t.Skip("measures resident memory of a process without the race detector, on Linux")
	}
	const bound = 2 << 10
	n := scale(9000, 3000, 0)
	for _, keys := range []string{"", ", websocket: {ping_interval: 60s, max_message_bytes: 1MiB, messages_per_second: 100}"} {
		a := startArena(t, "a")
		p := start(t, setup{rest: "routes: [{name: all, path: /, pool: web" + keys + "}]\n" + pool("web", []string{a.Addr})})
		// The first sockets bring what is there once: buffers, goroutines, heap.
		closePeers(openPeers(t, p.web, "/", 500))
		time.Sleep(500 * time.Millisecond) // for their ends
		before := p.memory("RssAnon:")
		peers := openPeers(t, p.web, "/", n)
		for _, c := range peers {
			if err := c.echo("once"); err != nil {
				t.Fatal(err)
			}
		}
		each := (p.memory("RssAnon:") - before) / n
		t.Logf("%d sockets%s: %d bytes each", n, keys, each)
		if each > bound {
			t.Errorf("%d sockets%s take %d bytes each, %d are promised", n, keys, each, bound)
		}
		closePeers(peers)
	}
}
