package e2e

import (
	"bytes"
	"context"
	"flag"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

var soak = flag.Duration("soak", 0, "how long TestSoak goes on; 0: 30 minutes with -long, seconds otherwise")

// soakLedger has an entry for every message of a soak.
type soakLedger struct {
	opened   atomic.Int64 // sockets
	refused  atomic.Int64 // handshakes that came to nothing
	polite   atomic.Int64 // sockets that ended with both sides' Close
	cut      atomic.Int64 // sockets that ended with their backend
	sent     atomic.Int64 // messages
	echoed   atomic.Int64 // messages that came back whole
	unknown  atomic.Int64 // messages under way when their socket was cut
	mistakes atomic.Int64 // messages that came back otherwise

	mu   sync.Mutex
	told map[string]int // guarded by mu: the errors of sockets, by text
}

// play is one client's life: it opens a socket, sends numbered messages, each
// when the one before has come back, says goodbye, and comes again.
func (l *soakLedger) play(ctx context.Context, addr string, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 1)) // #nosec G404
	for ctx.Err() == nil {
		p, err := openPeer(addr, "/")
		if err != nil {
			l.refused.Add(1)
			l.note(err)
			pauseFor(ctx, 100*time.Millisecond)
			continue
		}
		l.opened.Add(1)
		if l.talk(ctx, p, r) {
			l.polite.Add(1)
		} else {
			l.cut.Add(1)
		}
		p.Close()
	}
}

// talk sends messages and reports whether the socket ended as it should.
func (l *soakLedger) talk(ctx context.Context, p *peer, r *rand.Rand) bool {
	var b, frame []byte
	for i := range 1 + r.IntN(40) {
		b = message(b[:0], uint64(i), r.IntN(4<<10)) // #nosec G115 -- small
		frame = testkit.Binary(b).Mask().Append(frame[:0])
		_ = p.SetDeadline(time.Now().Add(patience))
		l.sent.Add(1)
		_, err := p.Write(frame)
		if err == nil {
			var f testkit.Frame
			if f, err = testkit.ReadFrame(p.r); err == nil {
				if f.Opcode != testkit.OpBinary || !bytes.Equal(f.Payload, b) {
					if f.Opcode == testkit.OpClose {
						l.unknown.Add(1)
						return false
					}
					l.mistakes.Add(1)
					return false
				}
				l.echoed.Add(1)
			}
		}
		if err != nil {
			l.unknown.Add(1)
			l.note(err)
			return false
		}
		if ctx.Err() != nil {
			break
		}
		pauseFor(ctx, time.Duration(r.Int64N(int64(scale(int(2*time.Second), int(200*time.Millisecond), int(200*time.Millisecond))))))
	}
	_ = p.SetDeadline(time.Now().Add(patience))
	if _, err := p.Write(testkit.Close(1000, "").Mask().Append(nil)); err != nil {
		return false
	}
	f, err := testkit.ReadFrame(p.r)
	return err == nil && f.CloseCode() == 1000
}

func (l *soakLedger) note(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := err.Error()
	l.told[text[strings.LastIndex(text, ": ")+1:]]++ // without addresses
}

// TestSoak: sockets come, talk and go while the configuration is reloaded and
// backends die and come back. Every message is accounted for, and at the end
// the process holds what it held before. scripts/soak.sh runs 5,000 sockets for
// 30 minutes.
func TestSoak(t *testing.T) {
	sockets := scale(5000, 100, 30)
	length := time.Duration(scale(int(30*time.Minute), int(5*time.Second), int(4*time.Second)))
	every := time.Duration(scale(int(5*time.Second), int(500*time.Millisecond), int(time.Second)))
	if *soak > 0 {
		length = *soak
	}
	backends := startArenas(t, 3)
	probes := quickHealth
	if *long { // thousands of players and all backends share this machine
		probes = "health: {type: http, path: /health, interval: 2s, timeout: 2s, rise: 1, fall: 2, initial: up}"
	}
	slow := time.Duration(scale(int(2*time.Minute), int(patience), int(patience))) // whatever else the machine does meanwhile
	const lenient = "when_all_down: try"                                           // probes are late where players keep the machine busy
	heavy, light := site(backends, probes, lenient, "balance: p2c"), site(backends, probes, lenient)
	p := start(t, setup{rest: light, log: "access: off"})
	for _, first := range openPeers(t, p.web, "/", 10) { // what these make, stays
		first.Close()
	}
	atRest := func() bool {
		return p.metric("holdfast_relay_pairs_open") == 0 && p.metric("holdfast_listener_connections_open") == 0 && p.metric("holdfast_backend_active") == 0
	}
	testkit.Eventually(t, slow, atRest, "the first sockets are gone")
	goroutines, heap := p.metric("go_goroutines"), p.settledHeap()
	descriptors := p.descriptors(t)

	l := &soakLedger{told: map[string]int{}}
	ctx, stop := context.WithTimeout(t.Context(), length)
	defer stop()
	var all sync.WaitGroup
	for i := range sockets {
		all.Go(func() { l.play(ctx, p.web, uint64(i)) }) // #nosec G115 -- small
	}
	deaths, reloads := 0, 0
	for pauseFor(ctx, every); ctx.Err() == nil; pauseFor(ctx, every) {
		victim := backends[deaths%len(backends)]
		victim.Kill(t)
		p.write([]string{heavy, light}[reloads%2])
		p.reload()
		reloads++
		victim.Start(t)
		deaths++
		// The others must not die before it is known to be back.
		testkit.Eventually(t, slow, func() bool {
			return ctx.Err() != nil || p.metric("holdfast_backend_up") == float64(len(backends))
		}, "the backend is up again")
	}
	all.Wait()

	t.Logf("%d sockets in %v: %d deaths, %d reloads; opened %d, refused %d, polite %d, cut %d; sent %d, echoed %d, under way when cut %d; %v",
		sockets, length, deaths, reloads, l.opened.Load(), l.refused.Load(), l.polite.Load(), l.cut.Load(), l.sent.Load(), l.echoed.Load(), l.unknown.Load(), l.told)
	if l.sent.Load() != l.echoed.Load()+l.unknown.Load() || l.mistakes.Load() > 0 {
		t.Errorf("of %d messages %d came back, %d were under way when their socket was cut, and %d came back otherwise", l.sent.Load(), l.echoed.Load(), l.unknown.Load(), l.mistakes.Load())
	}
	if l.unknown.Load() > l.cut.Load() || l.opened.Load() != l.polite.Load()+l.cut.Load() {
		t.Errorf("of %d sockets %d ended politely and %d were cut, with %d messages under way", l.opened.Load(), l.polite.Load(), l.cut.Load(), l.unknown.Load())
	}
	testkit.Eventually(t, slow, atRest, "all counts are what they were")
	for _, direction := range []string{"client_to_backend", "backend_to_client"} {
		n := int64(p.metric("holdfast_relay_frames_total", `direction="`+direction+`"`, `opcode="binary"`))
		if n < l.echoed.Load() || n > l.sent.Load() {
			t.Errorf("%s: %d messages are counted; %d were sent, %d came back", direction, n, l.sent.Load(), l.echoed.Load())
		}
	}
	// Probes come and go; so do their descriptors and goroutines.
	testkit.Eventually(t, slow, func() bool {
		return p.descriptors(t) <= descriptors+3 && p.metric("go_goroutines") <= goroutines+6
	}, "descriptors and goroutines are what they were")
	after := p.settledHeap()
	t.Logf("descriptors %d, then %d; goroutines %v, then %v; heap %.1f MiB, then %.1f MiB", descriptors, p.descriptors(t),
		goroutines, p.metric("go_goroutines"), heap/(1<<20), after/(1<<20))
	// Tables keep the room that they once had, a few hundred bytes for each
	// socket that was open at a time, and pools what is used now and then. A leak
	// of a few bytes for each socket that came and went is more than that.
	if after > heap+float64(4<<20) {
		t.Errorf("the heap was %.1f MiB and is %.1f MiB", heap/(1<<20), after/(1<<20))
	}
	if l.refused.Load() > l.opened.Load()/10 {
		t.Errorf("%d handshakes came to nothing beside %d that did not", l.refused.Load(), l.opened.Load())
	}
}

// settledHeap is what the process has on its heap that no collection frees, in
// bytes. It collects on its own when there is enough to free, which each scrape
// adds to; what its pools keep for a while is gone behind the second collection.
func (p *process) settledHeap() (bytes float64) {
	p.t.Helper()
	const collections = "go_gc_duration_seconds_count"
	from := p.metric(collections)
	bytes = math.Inf(1)
	testkit.Eventually(p.t, 8*patience, func() bool {
		_, scrape, err := p.adminGet("/metrics")
		if err != nil {
			p.t.Fatal(err)
		}
		n := sumMetric(p.t, string(scrape), collections) - from
		if n >= 3 {
			bytes = min(bytes, sumMetric(p.t, string(scrape), "go_memstats_heap_alloc_bytes"))
		}
		return n >= 5
	}, "the heap is collected")
	return bytes
}
