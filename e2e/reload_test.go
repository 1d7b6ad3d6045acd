package e2e

import (
	"fmt"
	"math"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// talker sends numbered messages through its own socket and expects each of
// them back, in order and unharmed.
type talker struct {
	*peer
	sent  uint64
	batch []byte
}

// batchSize is how many messages are under way at once on one socket.
const batchSize = 4

// message is the n-th message. Every hundredth is longer than a read of the
// relay.
func (k *talker) message(n uint64) []byte {
	if n%100 == 99 {
		return message(nil, n, 300<<10)
	}
	return message(nil, n, int(n*37)%300)
}

// round sends one batch and reads it back.
func (k *talker) round() error {
	_ = k.SetDeadline(time.Now().Add(patience))
	k.batch = k.batch[:0]
	for i := range uint64(batchSize) {
		k.batch = testkit.Binary(k.message(k.sent + i)).Mask().Append(k.batch)
	}
	written := make(chan error, 1)
	go func() { _, err := k.Write(k.batch); written <- err }()
	for range batchSize {
		f, err := testkit.ReadFrame(k.r)
		if err != nil {
			return fmt.Errorf("read message %d: %w", k.sent, err)
		}
		if string(f.Payload) != string(k.message(k.sent)) {
			return fmt.Errorf("message %d came back as %d other bytes", k.sent, len(f.Payload))
		}
		k.sent++
	}
	return <-written
}

// chatter is many talkers at work.
type chatter struct {
	peers    []*peer
	stop     chan struct{}
	all      sync.WaitGroup
	messages atomic.Int64
	errs     chan error
}

// startChatter opens n sockets and keeps them talking, with pauses that leave
// the machine time for something else.
func startChatter(t testing.TB, addr string, n int) *chatter {
	c := &chatter{peers: openPeers(t, addr, "/", n), stop: make(chan struct{}), errs: make(chan error, n)}
	for i, p := range c.peers {
		c.all.Go(func() {
			k := &talker{peer: p}
			pause := time.NewTicker(time.Duration(40+i%40) * time.Millisecond)
			defer pause.Stop()
			for {
				if err := k.round(); err != nil {
					c.errs <- fmt.Errorf("socket %d: %w", i, err)
					return
				}
				c.messages.Add(batchSize)
				select {
				case <-c.stop:
					return
				case <-pause.C:
				}
			}
		})
	}
	return c
}

// end lets each talker finish its batch and fails the test for each that lost
// something.
func (c *chatter) end(t testing.TB) {
	t.Helper()
	close(c.stop)
	c.all.Wait()
	close(c.errs)
	for err := range c.errs {
		t.Error(err)
	}
}

// vitals are what must not grow with the number of reloads.
type vitals struct{ goroutines, descriptors, heap float64 }

func (p *process) vitals() vitals {
	p.t.Helper()
	_, body, err := p.adminGet("/metrics")
	if err != nil {
		p.t.Fatalf("GET /metrics: %v", err)
	}
	read := func(name string) float64 { return sumMetric(p.t, string(body), name) }
	return vitals{read("go_goroutines"), read("process_open_fds"), read("go_memstats_heap_inuse_bytes")}
}

// least returns the lower of each: what remains when garbage and requests that
// happened to be under way are left out.
func (v vitals) least(w vitals) vitals {
	return vitals{min(v.goroutines, w.goroutines), min(v.descriptors, w.descriptors), min(v.heap, w.heap)}
}

var noVitals = vitals{math.Inf(1), math.Inf(1), math.Inf(1)}

// A hundred reloads under load, with changes to everything that a reload may
// change and with mistakes, drop no socket, lose no message and leave nothing
// behind.
func TestReloadsUnderLoad(t *testing.T) {
	reloads, sockets := scale(100, 30, 12), scale(1000, 200, 50)
	backends := startArenas(t, 3)
	addrs := []string{backends[0].Addr, backends[1].Addr, backends[2].Addr}
	// version is the i-th configuration; an odd weight of b1, the path of the
	// second route and the health checks tell one from the next.
	version := func(i int) string {
		rest := fmt.Sprintf("routes: [{name: all, path: /, pool: web}, {name: api, path: /v%d/, pool: api, retries: %d}]\n", i, i%3)
		rest += "pools:\n" + onePool("web", addrs, fmt.Sprintf("health: {type: http, path: /health, interval: %dms, fall: 4, initial: up}", 1000+i%7*10))
		rest = strings.Replace(rest, addrs[0]+`"`, fmt.Sprintf(`%s", weight: %d`, addrs[0], 1+i%5), 1)
		return rest + onePool("api", addrs, fmt.Sprintf("health: {type: tcp, interval: %dms, fall: %d, initial: up}", 1000+i%5*10, 4+i%4))
	}
	p := start(t, setup{rest: version(0)})
	pid := p.cmd.Process.Pid
	chat := startChatter(t, p.web, sockets)
	client := newClient(t)

	early := noVitals
	succeeded, failed, current := p.metric("holdfast_reloads_total", `result="success"`), 0.0, 0
	for i := 1; i <= reloads; i++ {
		said := chat.messages.Load()
		testkit.Eventually(t, patience, func() bool { return chat.messages.Load() > said }, "there is load")
		switch {
		case i%10 == 9:
			p.write(strings.Replace(version(i), "fall: 4", "fall: 0", 1))
			failed++
		case i%2 == 0:
			current = i
			p.write(version(i))
			succeeded++
		default:
			p.write(version(current)) // the same bytes, or those before the mistake
			succeeded++
		}
		p.reload()
		// Only the running version has this route, whatever the file says now.
		resp, body := fetch(t, client, request(t, "GET", fmt.Sprintf("http://%s/v%d/x", p.web, current), nil))
		if resp.StatusCode != http.StatusOK {
			t.Errorf("reload %d: status %d: %s", i, resp.StatusCode, body)
		}
		if got, want := p.backend("web", "b1").Weight, 1+current%5; got != want {
			t.Errorf("reload %d: weight %d of b1, want %d", i, got, want)
		}
		if i <= reloads/2 {
			early = early.least(p.vitals())
		}
	}

	p.checkReloads(succeeded, failed)
	sum := 0
	for _, b := range p.backends("web") {
		sum += b.Active.Sockets
		if b.State != "up" {
			t.Errorf("%s is %s: %s", b.Name, b.State, b.Why)
		}
	}
	for i, a := range backends {
		// A backend counts a socket once its 101 is out.
		testkit.Eventually(t, patience, func() bool { return p.sockets("web")[i] == int(a.open.Load()) },
			a.name+" holds as many sockets as the balancer counts")
	}
	if sum != sockets {
		t.Errorf("%d sockets are open, want %d", sum, sockets)
	}
	// Probes and garbage come and go, also those that are late on a busy machine.
	// What reloads leave behind would stay.
	late := noVitals
	testkit.Eventually(t, 2*patience, func() bool {
		late = late.least(p.vitals())
		return late.goroutines <= early.goroutines+3 && late.descriptors <= early.descriptors+3 && late.heap <= early.heap+4<<20
	}, fmt.Sprintf("goroutines, descriptors and heap are about %.0f", early))
	chat.end(t)
	if p.cmd.Process.Pid != pid || p.readyStatus() != http.StatusOK {
		t.Error("the process is not the one that was started")
	}
	closePeers(chat.peers)
	p.awaitIdle("web")
	t.Logf("%d reloads, %d sockets, %d messages; goroutines %v to %v, descriptors %v to %v, heap %.1f to %.1f MiB",
		reloads, sockets, chat.messages.Load(), early.goroutines, late.goroutines, early.descriptors, late.descriptors,
		early.heap/(1<<20), late.heap/(1<<20))
}

// checkReloads compares the counters of reloads.
func (p *process) checkReloads(succeeded, failed float64) {
	p.t.Helper()
	if got := p.metric("holdfast_reloads_total", `result="success"`); got != succeeded {
		p.t.Errorf("%v reloads succeeded by the metric, want %v", got, succeeded)
	}
	if got := p.metric("holdfast_reloads_total", `result="failure"`); got != failed {
		p.t.Errorf("%v reloads failed by the metric, want %v", got, failed)
	}
}

// A reload says in the log what it changed, what is wrong with the file, or
// that nothing has changed; the last result and its time are metrics.
func TestReloadIsReported(t *testing.T) {
	t.Parallel()
	backends := startArenas(t, 2)
	good := site(backends)
	p := start(t, setup{rest: good})
	p.checkReloads(1, 0)
	taken := p.metric("holdfast_last_reload_success_timestamp_seconds")
	if now := float64(time.Now().Unix()); taken < now-60 || taken > now+1 {
		t.Errorf("the configuration was taken at %v, now is %v", taken, now)
	}

	p.reload()
	p.checkReloads(2, 0)
	p.logged("configuration is unchanged")

	p.write(site(backends, "health: {type: http, fall: 0}"))
	p.reload()
	p.checkReloads(2, 1)
	p.logged("pools.web.health.fall: 0 would never take a backend down, write 1 or more")
	if p.metric("holdfast_last_reload_successful") != 0 {
		t.Error("holdfast_last_reload_successful is not 0 after a failure")
	}
	if resp, body := exchange(t, p.web, get("/")); resp.StatusCode != http.StatusOK {
		t.Errorf("the old configuration does not run on: status %d: %s", resp.StatusCode, body)
	}

	p.write(site(backends[:1], "balance: first"))
	p.reload()
	p.checkReloads(3, 1)
	p.logged(`"reloaded"`)
	if p.metric("holdfast_last_reload_successful") != 1 {
		t.Error("holdfast_last_reload_successful is not 1 after a success")
	}
	if n := len(p.backends("web")); n != 1 {
		t.Errorf("pool web has %d backends, want 1", n)
	}
}

// A removed backend keeps its sockets and its true count, and is found again.
func TestRemovedBackendKeepsItsSockets(t *testing.T) {
	t.Parallel()
	backends := startArenas(t, 2)
	p := start(t, setup{rest: site(backends)})
	peers := openPeers(t, p.web, "/", 10)
	p.write(site(backends[:1]))
	p.reload()
	for i, socket := range peers {
		if err := socket.echo("still here"); err != nil {
			t.Errorf("socket %d after its backend was removed: %v", i, err)
		}
	}
	if b := p.backend("web", "b2"); !b.Retired || b.Active.Sockets != 5 {
		t.Errorf("b2 is shown as %+v, want 5 sockets on a retired backend", b)
	}
	more := openPeers(t, p.web, "/", 4)
	if b := p.backend("web", "b1"); b.Active.Sockets != 9 {
		t.Errorf("b1 has %d sockets, want all 4 new ones and its 5", b.Active.Sockets)
	}
	p.write(site(backends))
	p.reload()
	if b := p.backend("web", "b2"); b.Retired || b.Active.Sockets != 5 {
		t.Errorf("b2 is shown as %+v, want its 5 sockets back", b)
	}
	closePeers(append(peers, more...))
	p.awaitIdle("web")
}

// A listener may come, change its limits and go; its sockets stay.
func TestListenersChange(t *testing.T) {
	t.Parallel()
	backends := startArenas(t, 1)
	p := start(t, setup{rest: site(backends)})
	second := freeAddr(t)
	text := p.text(site(backends))
	with := strings.Replace(text, "listeners: [", fmt.Sprintf("listeners: [{name: second, address: %q}, ", second), 1)

	p.writeText(with)
	p.reload()
	socket, err := openPeer(second, "/")
	if err != nil {
		t.Fatalf("open a socket at the new listener: %v", err)
	}
	defer socket.Close()

	p.writeText(text)
	p.reload()
	testkit.Eventually(t, patience, func() bool {
		c, err := openPeer(second, "/")
		if err == nil {
			c.Close()
		}
		return err != nil
	}, "the removed listener takes no connection")
	if err := socket.echo("still here"); err != nil {
		t.Errorf("a socket of the removed listener: %v", err)
	}

	// An address that somebody has fails the whole change, the good half too.
	p.writeText(strings.Replace(text, "listeners: [", fmt.Sprintf("listeners: [{name: third, address: %q}, {name: taken, address: %q}, ",
		second, backends[0].Addr), 1))
	p.reload()
	p.checkReloads(3, 1)
	p.logged(backends[0].Addr)
	if c, err := openPeer(second, "/"); err == nil {
		c.Close()
		t.Error("half of a change that failed is in force")
	}
}

// A burst of SIGHUPs is obeyed without a crowd of reloads waiting.
func TestSignalsInABurst(t *testing.T) {
	t.Parallel()
	backends := startArenas(t, 2)
	p := start(t, setup{rest: site(backends)})
	socket, err := openPeer(p.web, "/")
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	for i := range 50 {
		p.write(site(backends, fmt.Sprintf("health: {type: http, fall: %d}", i+1)))
		p.signal(syscall.SIGHUP)
	}
	p.write(site(backends[:1], "balance: first"))
	p.signal(syscall.SIGHUP)
	testkit.Eventually(t, patience, func() bool {
		list := p.backends("web")
		return len(list) == 1 || list[1].Retired
	}, "the last file is the one that runs")
	if err := socket.echo("still here"); err != nil {
		t.Errorf("after the burst: %v", err)
	}
	if p.metric("holdfast_reloads_total", `result="failure"`) != 0 {
		t.Error("a reload of a good file failed")
	}
}
