package e2e

import (
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/fasthttp/websocket"
	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// loudRate is the environment variable with the bytes a second that a loud child
// sends; empty: as fast as it can.
const loudRate = "HOLDFAST_E2E_RATE"

// One socket that sends what a link of 1 Gbit/s brings, or as fast as it can,
// and 500 others at 20 messages a second in the same loop: their round trips,
// without it and with it. Both of its ends are a process of lowest priority,
// since strangers bring machines of their own; what it does to this one all the
// same, others show that talk to the backend past Holdfast. What a loop owes the
// others in any case is TestALoudSocketHasOneTurn's, in relay.
func TestBesideALoudSocket(t *testing.T) {
	if !*long || raceEnabled {
		t.Skip("compares times, which takes a quiet machine: -long, without the race detector")
	}
	const every, rounds, length = 50 * time.Millisecond, 5, 2500 * time.Millisecond
	a, sink := startArena(t, "a"), freeAddr(t)
	p := start(t, setup{env: []string{"GOMAXPROCS=1"}, rest: `
routes:
  - {name: loud, path: /loud, pool: sink}
  - {name: all, path: /, pool: web}
pools:
` + onePool("web", []string{a.Addr}) + onePool("sink", []string{sink})})
	// Through Holdfast, and past it.
	crowds := [2][]*peer{openPeers(t, p.web, "/", 500), openPeers(t, a.Addr, "/", 100)}
	kinds := []struct{ name, rate string }{{name: "nobody is loud"}, {"1 Gbit/s", "125000000"}, {name: "as fast as it can"}}
	p99 := make([][2][]time.Duration, len(kinds))
	for range rounds {
		for k, kind := range kinds {
			var loud *child
			if k > 0 {
				loud = beginChild(t, sink, exec.Command("nice", "-n", "19", os.Args[0]), childTarget+"="+p.web, loudRate+"="+kind.rate)
			}
			before := p.metric("holdfast_relay_bytes_total")
			var took [2][]time.Duration
			var all sync.WaitGroup
			for i := range crowds {
				all.Go(func() { took[i] = talk(t, crowds[i], every, length) })
			}
			all.Wait()
			passed := p.metric("holdfast_relay_bytes_total") - before
			if loud != nil {
				loud.kill()
			}
			if t.Failed() {
				return
			}
			for i := range took {
				p99[k][i] = append(p99[k][i], took[i][len(took[i])*99/100])
			}
			t.Logf("%-17s through Holdfast: p50 %v, p99 %v; past it: p50 %v, p99 %v; %.0f MB/s in all", kind.name,
				took[0][len(took[0])/2], p99[k][0][len(p99[k][0])-1], took[1][len(took[1])/2], p99[k][1][len(p99[k][1])-1], passed/length.Seconds()/1e6)
		}
	}
	for k, kind := range kinds[1:] {
		var ratio [2]float64
		for i := range ratio {
			ratio[i] = float64(median(p99[k+1][i])) / float64(median(p99[0][i]))
		}
		t.Logf("%-17s p99, median of %d rounds: %v, without %v: %.2f; past Holdfast %.2f",
			kind.name, rounds, median(p99[k+1][0]), median(p99[0][0]), ratio[0], ratio[1])
		if ratio[0] > max(1.5, 1.2*ratio[1]) {
			t.Errorf("%s: the p99 of others is %.2f times what it was, past Holdfast %.2f times", kind.name, ratio[0], ratio[1])
		}
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
		t.Error(failed)
	}
	slices.Sort(took)
	return took
}

// runLoud is both ends of a socket through target that sends as much as it is
// to: its client, and its backend on addr.
func runLoud(addr, target string) {
	fail := func(err error) {
		fmt.Fprintln(os.Stderr, "loud:", err)
		os.Exit(1)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		fail(err)
	}
	swallow := testkit.Upgrade(func(c *websocket.Conn) {
		for b, err := make([]byte, 256<<10), error(nil); err == nil; {
			_, err = c.NetConn().Read(b)
		}
	})
	go func() { fail(fasthttp.Serve(l, swallow)) }()
	c, err := openPeer(target, "/loud")
	if err != nil {
		fail(err)
	}
	_ = c.SetDeadline(time.Time{})
	rate, err := strconv.ParseFloat(os.Getenv(loudRate), 64)
	if err != nil {
		rate = math.Inf(1)
	}
	fmt.Println("loud at", addr)
	go func() {
		message := testkit.Binary(make([]byte, 1<<20)).Mask().Append(nil)
		const piece = 64 << 10
		began, sent := time.Now(), 0.0
		for rest := message; ; {
			for sent > rate*time.Since(began).Seconds() {
				time.Sleep(time.Millisecond)
			}
			n, err := c.Write(rest[:min(piece, len(rest))])
			if err != nil {
				fail(err)
			}
			sent += float64(n)
			if rest = rest[n:]; len(rest) == 0 {
				rest = message
			}
		}
	}()
	_, _ = io.Copy(io.Discard, os.Stdin)
}
