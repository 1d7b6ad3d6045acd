package e2e

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// crowd is well-behaved sockets that talk all the time, and what they wait.
type crowd struct {
	peers []*peer
	stop  context.CancelFunc
	all   sync.WaitGroup

	mu    sync.Mutex
	since time.Time       // guarded by mu: waits that began before do not count
	waits []time.Duration // guarded by mu
	lost  []error         // guarded by mu
}

// startCrowd opens n sockets, each of which sends 20 messages a second.
func startCrowd(t *testing.T, addr string, n int) *crowd {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	c := &crowd{peers: openPeers(t, addr, "/", n), stop: stop}
	for i, p := range c.peers {
		c.all.Go(func() {
			for k := 0; ctx.Err() == nil; k++ {
				began := time.Now()
				err := p.echo(fmt.Sprintf("%d says %d", i, k))
				wait := time.Since(began)
				c.mu.Lock()
				if began.After(c.since) {
					c.waits = append(c.waits, wait)
				}
				if err != nil {
					c.lost = append(c.lost, err)
				}
				c.mu.Unlock()
				if err != nil {
					return
				}
				select {
				case <-ctx.Done():
				case <-time.After(max(0, 50*time.Millisecond-wait)):
				}
			}
		})
	}
	t.Cleanup(func() {
		stop()
		c.all.Wait()
	})
	return c
}

// listen lets crowds talk for a while and appends to to, for each, the 99th
// percentile of the waits that began and ended in it.
func listen(t *testing.T, crowds []*crowd, length time.Duration, during string, to *[2][]time.Duration) {
	t.Helper()
	for _, c := range crowds {
		c.mu.Lock()
		c.waits, c.since = nil, time.Now()
		c.mu.Unlock()
	}
	time.Sleep(length)
	for i, c := range crowds {
		p99, _ := c.report(t, during)
		to[i] = append(to[i], p99)
	}
}

// report returns the 99th percentile of the waits since the last report, and
// their number. A socket that was lost fails the test.
func (c *crowd) report(t *testing.T, during string) (p99 time.Duration, n int) {
	t.Helper()
	testkit.Eventually(t, patience, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.waits) > 0
	}, during+": a message comes back")
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, err := range c.lost {
		t.Errorf("%s: a well-behaved socket is lost: %v", during, err)
	}
	n = len(c.waits)
	slices.Sort(c.waits)
	p99 = c.waits[n*99/100]
	c.waits, c.lost = nil, nil
	return p99, n
}

// exhaustions are attacks on a plain listener.
var exhaustions = []attack{
	{"slow headers", func(ctx context.Context, f front) {
		hold(ctx, f.web, 300, drip("GET / HTTP/1.1\r\nHost: a\r\nX: ", "x"))
	}},
	{"headers without end", func(ctx context.Context, f front) { hold(ctx, f.web, 16, says(strings.Repeat("X: y\r\n", 64<<10))) }},
	{"slow bodies", func(ctx context.Context, f front) { hold(ctx, f.web, 300, drip(posts("Content-Length: 100000"), "x")) }},
	{"slow chunks", func(ctx context.Context, f front) {
		hold(ctx, f.web, 300, drip(posts("Transfer-Encoding: chunked"), "1\r\nx\r\n"))
	}},
	{"slow reading", func(ctx context.Context, f front) {
		hold(ctx, f.web, 100, func(ctx context.Context, c net.Conn) {
			_ = c.(*net.TCPConn).SetReadBuffer(4 << 10)
			_, _ = io.WriteString(c, strings.Repeat(asks(), 5000))
			pauseFor(ctx, time.Minute)
		})
	}},
	{"connections", func(ctx context.Context, f front) { hold(ctx, f.web, 64, func(context.Context, net.Conn) {}) }},
	{"idle connections", func(ctx context.Context, f front) { hold(ctx, f.web, 1000, says("")) }},
	{"handshakes", func(ctx context.Context, f front) { hold(ctx, f.web, 16, says(opensAndEnds)) }},
	{"handshakes that stay", func(ctx context.Context, f front) { hold(ctx, f.web, 600, says(opens)) }},
	{"garbage", func(ctx context.Context, f front) { hold(ctx, f.web, 16, garbage("")) }},
	{"TLS to a plain port", func(ctx context.Context, f front) {
		hold(ctx, f.web, 16, says("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"))
	}},
	{"keys of a sticky table", func(ctx context.Context, f front) {
		var key atomic.Int64
		hold(ctx, f.web, 16, func(ctx context.Context, c net.Conn) {
			says(strings.Repeat(headed(fmt.Sprintf("GET /?room=%d HTTP/1.1", key.Add(1))), 20)+asks("Connection: close"))(ctx, c)
		})
	}},
	{"bad requests", func(ctx context.Context, f front) { hold(ctx, f.web, 16, says(asks("no colon"))) }},
}

// TestExhaustion: while each attack runs, no well-behaved socket is lost, they
// wait about as long as without it, and the process stays inside its bounds.
func TestExhaustion(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux gives clients all of 127.0.0.0/8")
	}
	length := time.Duration(scale(1000, 600, 600)) * time.Millisecond
	b := startArena(t, "b1")
	p := start(t, setup{
		listener: "limits: {max_connections_per_ip: 400, handshakes_per_second_per_ip: 500}, timeouts: {header: 1s, body: 1s, idle: 2s}",
		log:      "access: access.log",
		rest:     site([]*arena{b}, "sticky: {by: query, name: room, ttl: 1m, max_entries: 1000}"),
	})
	p.withstand(t, length, front{web: p.web}, b.Addr, exhaustions)
}

var only = flag.String("attacks", "", "a regular expression: the attacks of TestExhaustion and TestFloods that run")

// withstand runs one attack after the other beside well-behaved sockets, and
// looks at what that does to them and to the process. What is normal changes
// with what else the machine does, so the long form looks at both by turns; and
// since attackers, clients and backend are on the process's own machine, it has
// other sockets talk to the backend directly, and compares with those: see
// within. What it logs of an attack then is a row of docs/security.md.
func (p *process) withstand(t *testing.T, length time.Duration, f front, backend string, attacks []attack) {
	t.Helper()
	good := startCrowd(t, p.web, scale(200, 100, 30))
	crowds, rounds := []*crowd{good}, 1
	if *long {
		crowds, rounds = append(crowds, startCrowd(t, backend, 50)), 3
	}
	goroutines, sockets := p.metric("go_goroutines"), p.metric("holdfast_listener_connections_open")
	var normal [2][]time.Duration
	for _, attack := range attacks {
		if !regexp.MustCompile(*only).MatchString(attack.name) {
			continue
		}
		var attacked [2][]time.Duration
		var most, connections float64
		for range rounds {
			// The attack before has its end, behind all that it has sent.
			testkit.Eventually(t, 4*patience, func() bool { return p.metric("holdfast_listener_connections_open") == sockets },
				"the connections before "+attack.name+" are gone")
			if *long || normal[0] == nil {
				time.Sleep(length / 4)
				listen(t, crowds, length, "before "+attack.name, &normal)
			}
			end := f.suffer(t, attack)
			ctx, cancel := context.WithCancel(t.Context())
			var watching sync.WaitGroup
			watching.Go(func() {
				n, c := p.watchGoroutines(ctx)
				most, connections = max(most, n), max(connections, c)
			})
			listen(t, crowds, length, attack.name, &attacked)
			cancel()
			watching.Wait()
			end()
		}
		was, is := median(normal[0]), median(attacked[0])
		ratio, beside := float64(is)/float64(was), 0.0
		if *long {
			beside = float64(median(attacked[1])) / float64(median(normal[1]))
			normal = [2][]time.Duration{}
		}
		ms := func(d time.Duration) float64 { return float64(d) / 1e6 }
		t.Logf("| %s | %.1f ms | %.1f ms | %.2f | %.2f | %.0f MiB, %d descriptors, %.0f goroutines for %.0f connections", attack.name,
			ms(was), ms(is), ratio, beside, float64(p.memory("VmRSS:"))/(1<<20), p.descriptors(t), most, connections)
		// In the short form whatever else runs shares the machine with these.
		if *long && !within(ratio, beside) || is > max(100*was, 5*time.Second) {
			t.Errorf("%s: well-behaved sockets wait %v, %.2f times as long as otherwise, those past Holdfast %.2f times", attack.name, is, ratio, beside)
		}
		// One serves a connection, and a second one sends a body on.
		if bound := goroutines + 2*connections + 500; most > bound {
			t.Errorf("%s: %v goroutines for %v connections, more than %v", attack.name, most, connections, bound)
		}
		if status := p.readyStatus(); status != 200 {
			t.Errorf("%s: /readyz is %d", attack.name, status)
		}
	}
	// What the attacks have taken is given back.
	testkit.Eventually(t, 4*patience, func() bool {
		return p.metric("go_goroutines") <= goroutines+16 && p.metric("holdfast_listener_connections_open") == sockets
	}, fmt.Sprintf("goroutines (%v) and connections (%v) are what they were", goroutines, sockets))
	if size := len(p.log()); size > 256<<10 {
		t.Errorf("the attacks have made %d bytes of log", size)
	}
	if mib := float64(p.memory("VmRSS:")) / (1 << 20); mib > 400 {
		t.Errorf("the process has %.0f MiB", mib)
	}
}

// within tells whether an attack has others wait no more than twice as long as
// otherwise, or hardly longer than it has those wait who talk to the backend
// directly.
func within(ratio, beside float64) bool { return ratio <= 2 || ratio <= 1.3*beside }

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

// watchGoroutines looks until ctx ends and returns how many goroutines there
// were at the most, and how many connections that were no open sockets.
func (p *process) watchGoroutines(ctx context.Context) (most, connections float64) {
	for ctx.Err() == nil {
		if status, scrape, err := p.adminGet("/metrics"); err == nil && status == http.StatusOK {
			n := func(name string) float64 { return sumMetric(p.t, string(scrape), name) }
			most = max(most, n("go_goroutines"))
			connections = max(connections, n("holdfast_listener_connections_open")-n("holdfast_relay_pairs_open"))
		}
		pauseFor(ctx, 200*time.Millisecond)
	}
	return most, connections
}

// descriptors is how many the process has open.
func (p *process) descriptors(t testing.TB) int {
	t.Helper()
	return len(p.open(t))
}

// open is what the descriptors of the process lead to. One that was closed
// meanwhile leads to nothing.
func (p *process) open(t testing.TB) []string {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid)
	all, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	paths := make([]string, len(all))
	for i, one := range all {
		paths[i], _ = os.Readlink(filepath.Join(dir, one.Name()))
	}
	return paths
}
