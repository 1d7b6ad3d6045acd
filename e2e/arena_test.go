package e2e

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fasthttp/websocket"
	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// arena is a backend that echoes what its sockets send, counts them, and
// answers requests with its name.
type arena struct {
	*testkit.Backend
	name string
	open atomic.Int64 // sockets
}

// startArena starts an arena. The test's end stops it.
func startArena(t testing.TB, name string) *arena {
	t.Helper()
	a := &arena{name: name}
	echo := testkit.Upgrade(func(c *websocket.Conn) {
		a.open.Add(1)
		defer a.open.Add(-1)
		for {
			kind, message, err := c.ReadMessage()
			if err != nil || c.WriteMessage(kind, message) != nil {
				return
			}
		}
	})
	a.Backend = testkit.StartBackend(t, func(ctx *fasthttp.RequestCtx) {
		if echo(ctx); !ctx.Hijacked() {
			ctx.SetBodyString(name)
		}
	})
	return a
}

// startArenas starts n arenas named b1, b2 and so on.
func startArenas(t testing.TB, n int) []*arena {
	t.Helper()
	var all []*arena
	for i := range n {
		all = append(all, startArena(t, fmt.Sprintf("b%d", i+1)))
	}
	return all
}

// site is routes and pools for one pool "web" of these backends behind the
// path /. keys are further lines of the pool.
func site(backends []*arena, keys ...string) string {
	var addrs []string
	for _, a := range backends {
		addrs = append(addrs, a.Addr)
	}
	return siteOf(addrs, keys...)
}

// siteOf is site for backends at addresses, which are named b1, b2 and so on.
func siteOf(addrs []string, keys ...string) string {
	return "routes: [{name: all, path: /, pool: web}]\n" + pool("web", addrs, keys...)
}

// pool is the key pools with one pool. keys are further lines of it.
func pool(name string, addrs []string, keys ...string) string {
	return "pools:\n" + onePool(name, addrs, keys...)
}

// onePool is one entry of pools.
func onePool(name string, addrs []string, keys ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "  %s:\n", name)
	for _, key := range keys {
		fmt.Fprintf(&b, "    %s\n", key)
	}
	b.WriteString("    backends:\n")
	for i, addr := range addrs {
		fmt.Fprintf(&b, "      - {name: b%d, url: \"http://%s\"}\n", i+1, addr)
	}
	return b.String()
}

// quickHealth is a health check that finds out within two seconds, and leaves a
// backend on a busy machine the same time to answer: a probe has as long as the
// interval.
const quickHealth = "health: {type: http, path: /health, interval: 1s, rise: 1, fall: 2, initial: up}"

// peer is a WebSocket client among many: it reports errors instead of ending
// the test, so it may be used from any goroutine.
type peer struct {
	net.Conn
	r *bufio.Reader
}

// openPeer opens a WebSocket. The caller closes it.
func openPeer(addr, path string) (*peer, error) {
	c, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return nil, err
	}
	p := &peer{Conn: c, r: bufio.NewReader(c)}
	if err := p.handshake(addr, path); err != nil {
		c.Close()
		return nil, err
	}
	return p, nil
}

func (p *peer) handshake(addr, path string) error {
	_ = p.SetDeadline(time.Now().Add(patience))
	if _, err := p.Write([]byte(testkit.HandshakeRequest(addr, path))); err != nil {
		return err
	}
	resp, err := http.ReadResponse(p.r, nil)
	if err != nil {
		return fmt.Errorf("read answer to handshake: %w", err)
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("handshake: status %d", resp.StatusCode)
	}
	return nil
}

// echo sends one message and reads it back.
func (p *peer) echo(text string) error {
	_ = p.SetDeadline(time.Now().Add(patience))
	if _, err := p.Write(testkit.Text(text).Mask().Append(nil)); err != nil {
		return err
	}
	f, err := testkit.ReadFrame(p.r)
	if err == nil && string(f.Payload) != text {
		err = fmt.Errorf("sent %q, got back %q", text, f.Payload)
	}
	return err
}

// noise is what bodies and messages are cut from: bytes without a pattern, so
// that what is lost, doubled or moved shows. Its length is a prime.
var noise = func() []byte {
	b := make([]byte, 524_287)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}()

// message appends the n-th message of a conversation: its number, size bytes
// of noise and a checksum of both. size is 300 KiB at most.
func message(dst []byte, n uint64, size int) []byte {
	from := len(dst)
	dst = binary.BigEndian.AppendUint64(dst, n)
	at := int(n*7919) % (len(noise) - 300<<10)
	dst = append(dst, noise[at:at+size]...)
	return binary.BigEndian.AppendUint32(dst, crc32.ChecksumIEEE(dst[from:]))
}

// openPeers opens n WebSockets, 32 at a time. The test's end closes them.
func openPeers(t testing.TB, addr, path string, n int) []*peer {
	t.Helper()
	peers := make([]*peer, n)
	errs := make(chan error, n)
	var next atomic.Int64
	var all sync.WaitGroup
	for range 32 {
		all.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				p, err := openPeer(addr, path)
				if err != nil {
					errs <- err
					continue
				}
				peers[i] = p
			}
		})
	}
	all.Wait()
	t.Cleanup(func() { closePeers(peers) })
	if len(errs) > 0 {
		t.Fatalf("%d of %d sockets did not open, one for this: %v", len(errs), n, <-errs)
	}
	return peers
}

func closePeers(peers []*peer) {
	for _, p := range peers {
		if p != nil {
			p.Close()
		}
	}
}
