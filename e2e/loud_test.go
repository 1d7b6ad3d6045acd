package e2e

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fasthttp/websocket"
	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// One socket that sends as fast as it can, and 500 others at 20 messages a
// second in the same loop: their round trips, without it and with it. What a
// loop owes the others in any case is TestALoudSocketHasOneTurn's, in relay.
func TestBesideALoudSocket(t *testing.T) {
	if !*long || raceEnabled {
		t.Skip("compares times, which takes a quiet machine: -long, without the race detector")
	}
	const sockets, every, rounds = 500, 50 * time.Millisecond, 5
	a, sink := startArena(t, "a"), freeAddr(t)
	p := start(t, setup{env: []string{"GOMAXPROCS=1"}, rest: `
routes:
  - {name: loud, path: /loud, pool: sink}
  - {name: all, path: /, pool: web}
pools:
` + onePool("web", []string{a.Addr}) + onePool("sink", []string{sink})})
	peers := openPeers(t, p.web, "/", sockets)
	p99 := [2][]time.Duration{}
	for range rounds {
		for loud := range 2 {
			var c *child
			before := 0.0
			if loud == 1 {
				// The processor time of its own ends is not what is measured.
				c = beginChild(t, sink, exec.Command("nice", "-n", "19", os.Args[0]), childTarget+"="+p.web)
				before = p.metric("holdfast_relay_bytes_total")
			}
			took := talk(t, peers, every, 5*time.Second)
			p99[loud] = append(p99[loud], took[len(took)*99/100])
			t.Logf("loud=%d: p50 %v, p99 %v of %d", loud, took[len(took)/2], took[len(took)*99/100], len(took))
			if c != nil {
				t.Logf("the loud one: %.0f MB/s", (p.metric("holdfast_relay_bytes_total")-before)/5e6)
				c.kill()
			}
		}
	}
	for i := range p99 {
		slices.Sort(p99[i])
	}
	without, with := p99[0][rounds/2], p99[1][rounds/2]
	t.Logf("p99, median of %d rounds: %v without the loud one, %v with it: %.2f", rounds, without, with, float64(with)/float64(without))
	if with > without*3/2 {
		t.Errorf("p99 %v, more than 1.5 times %v", with, without)
	}
}

// talk has every peer send a message each interval and wait for its echo, and
// returns what the echoes took, in order.
func talk(t *testing.T, peers []*peer, every, long time.Duration) []time.Duration {
	t.Helper()
	var mu sync.Mutex
	var took []time.Duration
	var failed error
	end := time.Now().Add(long)
	var all sync.WaitGroup
	for i, c := range peers {
		all.Go(func() {
			time.Sleep(every * time.Duration(i) / time.Duration(len(peers))) // not all at once
			tick := time.NewTicker(every)
			defer tick.Stop()
			var mine []time.Duration
			var err error
			for began := range tick.C {
				if began.After(end) {
					break
				}
				began = time.Now()
				if err = c.echo("how are you?"); err != nil {
					break
				}
				mine = append(mine, time.Since(began))
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, mine...)
			if err != nil {
				failed = err
			}
		})
	}
	all.Wait()
	if failed != nil {
		t.Fatal(failed)
	}
	slices.Sort(took)
	return took
}

// runLoud is both ends of a socket through target that sends as fast as it
// can: its client, and its backend on addr.
func runLoud(addr, target string) {
	fail := func(err error) {
		fmt.Fprintln(os.Stderr, "loud:", err)
		os.Exit(1)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		fail(err)
	}
	swallow := testkit.Upgrade(func(c *websocket.Conn) { _, _ = io.Copy(io.Discard, c.NetConn()) })
	go func() { fail(fasthttp.Serve(l, swallow)) }()
	c, err := openPeer(target, "/loud")
	if err != nil {
		fail(err)
	}
	_ = c.SetDeadline(time.Time{})
	fmt.Println("loud at", addr)
	go func() {
		for chunk := testkit.Binary(make([]byte, 1<<20)).Mask().Append(nil); ; {
			if _, err := c.Write(chunk); err != nil {
				fail(err)
			}
		}
	}()
	_, _ = io.Copy(io.Discard, os.Stdin)
}
