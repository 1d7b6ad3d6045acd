package e2e

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// attacker is where attacks come from: another address than the well-behaved
// clients have, so that limits per address tell them apart.
const attacker = "127.0.0.2"

// crowd is well-behaved sockets that talk all the time, and what they wait.
type crowd struct {
	peers []*peer
	stop  context.CancelFunc
	all   sync.WaitGroup

	mu    sync.Mutex
	waits []time.Duration // guarded by mu: since the last report
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
				c.waits = append(c.waits, wait)
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

// hold keeps n connections of the attacker busy with f until ctx ends. A
// connection that is refused or closed is made anew.
func hold(ctx context.Context, addr string, n int, f func(context.Context, net.Conn)) {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(attacker)}, Timeout: time.Second}
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			for ctx.Err() == nil {
				c, err := dialer.DialContext(ctx, "tcp", addr)
				if err != nil {
					pauseFor(ctx, 50*time.Millisecond)
					continue
				}
				closing := context.AfterFunc(ctx, func() { c.Close() })
				f(ctx, c)
				closing()
				c.Close()
				pauseFor(ctx, 50*time.Millisecond)
			}
		})
	}
	all.Wait()
}

func pauseFor(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// drip sends head at once and then one byte of what again and again.
func drip(head, what string) func(context.Context, net.Conn) {
	return func(ctx context.Context, c net.Conn) {
		_, err := io.WriteString(c, head)
		for i := 0; err == nil && ctx.Err() == nil; i++ {
			pauseFor(ctx, 50*time.Millisecond)
			_, err = c.Write([]byte{what[i%len(what)]})
		}
	}
}

// says sends what and reads until the other side closes.
func says(what string) func(context.Context, net.Conn) {
	return func(_ context.Context, c net.Conn) {
		_, _ = io.WriteString(c, what)
		_, _ = io.Copy(io.Discard, c)
	}
}

// TestExhaustion: while each attack runs, no well-behaved socket is lost, they
// wait about as long as without it, and the process stays inside its bounds.
func TestExhaustion(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux gives clients all of 127.0.0.0/8")
	}
	length := time.Duration(scale(20_000, 1_200, 1_200)) * time.Millisecond
	b := startArena(t, "b1")
	p := start(t, setup{
		listener: "limits: {max_connections_per_ip: 400, handshakes_per_second_per_ip: 500}, timeouts: {header: 1s, body: 1s, idle: 2s}",
		log:      "access: access.log",
		rest:     site([]*arena{b}, "sticky: {by: query, name: room, ttl: 1m, max_entries: 1000}"),
	})
	good := startCrowd(t, p.web, scale(200, 100, 30))
	time.Sleep(length)
	normal, n := good.report(t, "no attack")
	t.Logf("%-28s p99 %8v of %d messages", "no attack", normal.Round(10*time.Microsecond), n)

	handshake := testkit.HandshakeRequest(p.web, "/")
	for _, attack := range []struct {
		name string
		run  func(context.Context)
	}{
		{"slow headers", func(ctx context.Context) { hold(ctx, p.web, 300, drip("GET / HTTP/1.1\r\nHost: a\r\nX: ", "x")) }},
		{"headers without end", func(ctx context.Context) { hold(ctx, p.web, 16, says(strings.Repeat("X: y\r\n", 64<<10))) }},
		{"slow bodies", func(ctx context.Context) { hold(ctx, p.web, 300, drip(posts("Content-Length: 100000"), "x")) }},
		{"slow chunks", func(ctx context.Context) {
			hold(ctx, p.web, 300, drip(posts("Transfer-Encoding: chunked"), "1\r\nx\r\n"))
		}},
		{"slow reading", func(ctx context.Context) {
			hold(ctx, p.web, 100, func(ctx context.Context, c net.Conn) {
				_ = c.(*net.TCPConn).SetReadBuffer(4 << 10)
				_, _ = io.WriteString(c, strings.Repeat(asks(), 5000))
				pauseFor(ctx, time.Minute)
			})
		}},
		{"connections", func(ctx context.Context) { hold(ctx, p.web, 64, func(context.Context, net.Conn) {}) }},
		{"idle connections", func(ctx context.Context) { hold(ctx, p.web, 1000, says("")) }},
		{"handshakes", func(ctx context.Context) { hold(ctx, p.web, 16, says(handshake+"\x88\x80\x00\x00\x00\x00")) }},
		{"handshakes that stay", func(ctx context.Context) { hold(ctx, p.web, 600, says(handshake)) }},
		{"garbage", func(ctx context.Context) {
			hold(ctx, p.web, 16, func(_ context.Context, c net.Conn) {
				garbage := make([]byte, 512)
				for i := range garbage {
					garbage[i] = byte(rand.Uint32()) // #nosec G404
				}
				says(string(garbage))(ctx, c)
			})
		}},
		{"TLS to a plain port", func(ctx context.Context) {
			hold(ctx, p.web, 16, says("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"))
		}},
		{"keys of a sticky table", func(ctx context.Context) {
			var key atomic.Int64
			hold(ctx, p.web, 16, func(ctx context.Context, c net.Conn) {
				says(strings.Repeat(headed(fmt.Sprintf("GET /?room=%d HTTP/1.1", key.Add(1))), 20)+asks("Connection: close"))(ctx, c)
			})
		}},
		{"bad requests", func(ctx context.Context) { hold(ctx, p.web, 16, says(asks("no colon"))) }},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), length)
		attack.run(ctx)
		cancel()
		p99, n := good.report(t, attack.name)
		t.Logf("%-28s p99 %8v of %d messages, %3.0f MiB, %d descriptors", attack.name, p99.Round(10*time.Microsecond), n, float64(p.memory("VmRSS:"))/(1<<20), p.descriptors(t))
		// Attackers, clients, backend and whatever else runs share this machine
		// with the process, so only the long form, which has it to itself, can
		// tell whose fault a wait is.
		if limit := max(2*normal, normal+20*time.Millisecond); *long && p99 > limit {
			t.Errorf("%s: well-behaved sockets wait %v, more than %v", attack.name, p99, limit)
		}
		if status := p.readyStatus(); status != 200 {
			t.Errorf("%s: /readyz is %d", attack.name, status)
		}
	}
	if size := len(p.log()); size > 256<<10 {
		t.Errorf("the attacks have made %d bytes of log", size)
	}
	if mib := float64(p.memory("VmRSS:")) / (1 << 20); mib > 400 {
		t.Errorf("the process has %.0f MiB", mib)
	}
}

// descriptors is how many the process has open.
func (p *process) descriptors(t testing.TB) int {
	t.Helper()
	all, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}
