package e2e

import (
	"runtime"
	"testing"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// What an idle socket costs the process, its share of the heap's slack
// included, without and with Pings and a guard. That slack is anything up to as
// much again as the sockets hold, and where they are few it is luck how much:
// only the full number of them is held to what is promised.
func TestIdleSocketsAreSmall(t *testing.T) {
	if raceEnabled || runtime.GOOS != "linux" {
		t.Skip("measures resident memory of a process without the race detector, on Linux")
	}
	n := scale(9000, 3000, 0)
	bound := scale(2<<10, 5<<9, 0)
	for _, keys := range []string{"", ", websocket: {ping_interval: 60s, max_message_bytes: 1MiB, messages_per_second: 100}"} {
		a := startArena(t, "a")
		p := start(t, setup{rest: "routes: [{name: all, path: /, pool: web" + keys + "}]\n" + pool("web", []string{a.Addr})})
		// The first sockets bring what is there once: buffers, goroutines, heap.
		closePeers(openPeers(t, p.web, "/", 500))
		testkit.Eventually(t, patience, func() bool { return a.open.Load() == 0 }, "the first sockets end")
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
			t.Errorf("%d sockets%s take %d bytes each, more than %d", n, keys, each, bound)
		}
		closePeers(peers)
	}
}
