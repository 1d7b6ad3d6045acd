package e2e

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// fleetLedger is what players have lived through.
type fleetLedger struct {
	opened, refused, echoed, drained atomic.Int64
	in                               atomic.Int64 // now
}

// play has one player open a socket, talk, come again whenever a drain tells
// it to, and say goodbye when ctx ends.
func (l *fleetLedger) play(ctx context.Context, t *testing.T, addr string) {
	for ctx.Err() == nil {
		p, err := openPeer(addr, "/")
		if err != nil {
			l.refused.Add(1)
			pauseFor(ctx, 20*time.Millisecond)
			continue
		}
		l.opened.Add(1)
		l.in.Add(1)
		l.stay(ctx, t, p)
		l.in.Add(-1)
		p.Close()
	}
}

// stay talks until ctx ends or a Close comes.
func (l *fleetLedger) stay(ctx context.Context, t *testing.T, p *peer) {
	for n := 0; ; n++ {
		text := fmt.Sprint("message ", n)
		last := ctx.Err() != nil
		out := testkit.Text(text)
		if last {
			out = testkit.Close(1000, "")
		}
		_ = p.SetDeadline(time.Now().Add(patience))
		_, _ = p.Write(out.Mask().Append(nil))
		f, err := testkit.ReadFrame(p.r)
		switch {
		case err != nil:
			t.Errorf("a player is cut off: %v", err)
			return
		case f.Opcode == testkit.OpClose && last:
			return
		case f.Opcode == testkit.OpClose && f.CloseCode() == 1012:
			l.drained.Add(1)
			_, _ = p.Write(testkit.Close(1012, "").Mask().Append(nil))
			return
		case string(f.Payload) != text:
			t.Errorf("a player says %q and reads %+v", text, f)
			return
		}
		l.echoed.Add(1)
		pauseFor(ctx, 10*time.Millisecond)
	}
}

// SIGHUPs in a drain in a storm: everybody comes in, the drained backend's
// players are told and come back elsewhere, nobody is cut off, and the counts
// are those of the players.
func TestReloadsInADrainInAStorm(t *testing.T) {
	t.Parallel()
	players := scale(1000, 120, 60)
	arenas := startArenas(t, 3)
	rest := func(more string) string {
		return site(arenas, more, "limits: {handshakes_per_second_per_backend: 30}", "queue: {size: 5000, timeout: 60s}",
			"drain: {deadline: 60s, closes_per_second: 200}")
	}
	p := start(t, setup{rest: rest("balance: least_conn"), deadline: "5s"})
	l := &fleetLedger{}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var all sync.WaitGroup
	for range players {
		all.Go(func() { l.play(ctx, t, p.web) })
	}
	testkit.Eventually(t, patience, func() bool { return l.in.Load() > int64(players/4) }, "some are in")
	if status := p.post("/api/v1/pools/web/backends/b1/drain"); status != fasthttp.StatusOK {
		t.Fatalf("POST drain: status %d", status)
	}
	for i := range 60 {
		p.write(rest([]string{"balance: least_conn", "balance: p2c", "balance: random"}[i%3]))
		p.signal(syscall.SIGHUP)
		time.Sleep(5 * time.Millisecond)
	}
	testkit.Eventually(t, 2*patience, func() bool {
		n := p.sockets("web")
		return n[0] == 0 && n[1]+n[2] == players && l.in.Load() == int64(players)
	}, "all are in, and nobody on the drained backend")
	stop()
	all.Wait()

	t.Logf("%d players opened %d sockets, %d were drained, %d refused; %d messages", players, l.opened.Load(), l.drained.Load(), l.refused.Load(), l.echoed.Load())
	if l.opened.Load() != int64(players)+l.drained.Load() {
		t.Errorf("%d players have opened %d sockets, and %d were drained", players, l.opened.Load(), l.drained.Load())
	}
	testkit.Eventually(t, patience, func() bool {
		return p.metric("holdfast_backend_active") == 0 && p.metric("holdfast_relay_pairs_open") == 0
	}, "nothing is open")
	for name, counts := range map[string][2]float64{
		"handshakes": {p.metric("holdfast_handshakes_total", `result="accepted"`), float64(l.opened.Load())},
		"drained":    {p.metric("holdfast_drain_closes_total"), float64(l.drained.Load())},
		"failures":   {p.metric("holdfast_reloads_total", `result="failure"`), 0},
		"refused":    {float64(l.refused.Load()), 0},
	} {
		if counts[0] != counts[1] {
			t.Errorf("%s: %v are counted, want %v", name, counts[0], counts[1])
		}
	}
	if n := p.metric("holdfast_reloads_total", `result="success"`); n < 2 { // with the start; what comes in a burst may be one
		t.Errorf("%v reloads have come about", n)
	}
}

// A backend that is stopped for a while gets nothing new, and keeps its
// sockets: they go on where they were when it does.
func TestStoppedBackendGoesOn(t *testing.T) {
	t.Parallel()
	stopped := startChild(t, freeAddr(t))
	good := startNamed(t, 1)[0]
	p := start(t, setup{rest: siteOf([]string{stopped.addr, good}, "balance: first",
		quickHealth)})
	first := openPeers(t, p.web, "/", 1)[0]
	if err := first.echo("before"); err != nil {
		t.Fatal(err)
	}
	signal := func(s syscall.Signal) {
		t.Helper()
		if err := stopped.cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	signal(syscall.SIGSTOP)
	defer signal(syscall.SIGCONT) // or it could not be killed politely
	p.awaitState("web", "b1", "down")
	openPeers(t, p.web, "/", 1)
	if n := p.sockets("web"); n[0] != 1 || n[1] != 1 {
		t.Errorf("sockets by backend: %v, want the new one on the second", n)
	}
	answered := make(chan error, 1)
	go func() { answered <- first.echo("meanwhile") }()
	signal(syscall.SIGCONT)
	if err := <-answered; err != nil {
		t.Errorf("the socket of the backend that was stopped: %v", err)
	}
	p.awaitState("web", "b1", "up")
}
