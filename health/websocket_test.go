package health

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fasthttp/websocket"
	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

func TestWebSocketChecker(t *testing.T) {
	f := func(h fasthttp.RequestHandler, timeout time.Duration, want string) {
		t.Helper()
		b := testkit.StartBackend(t, h)
		wantProbe(t, b.Addr, spec("websocket", timeout), want)
		testkit.Eventually(t, ample, func() bool { return b.Conns() == 0 }, "no connection left")
	}
	f(testkit.Echo(), ample, "pong received")
	f(testkit.Push(500, bytes.Repeat([]byte("x"), 4096)), ample, "pong received") // past what the backend has to say
	f(pongs("not yours", ""), ample, "pong received")                             // past a Pong that was not asked for

	f(nil, ample, "handshake refused: status 200")
	f(testkit.Refuse(403), ample, "handshake refused: status 403")
	f(testkit.WrongAccept(), ample, "handshake invalid: wrong Upgrade, Connection, Accept or extension")
	f(testkit.CloseWith(1011, "full"), ample, "closed with 1011 before the pong")
	f(pongs(), ample, "connection closed before the pong")

	f(testkit.HangOnUpgrade(), brief, "handshake unanswered within 1s")
	f(testkit.Silent(), brief, "pong missing within 1s")
	f(pongs("not yours"), brief, "pong missing within 1s")
	// Not with f: this one does not notice that the probe has left.
	wantProbe(t, testkit.StartBackend(t, testkit.Stalled()).Addr, spec("websocket", brief), "pong missing within 1s")
}

// A backend whose header has no end takes no memory.
func TestWebSocketCheckerBoundsTheAnswer(t *testing.T) {
	sent := make(chan int, 1)
	addr := testkit.ServeTCP(t, func(c *net.TCPConn) {
		if _, err := c.Read(make([]byte, 4096)); err != nil {
			return
		}
		n, err := io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\n")
		for field := "X-Long: " + strings.Repeat("x", 4096) + "\r\n"; err == nil && n < 256<<20; {
			var k int
			k, err = io.WriteString(c, field)
			n += k
		}
		sent <- n
	})
	wantProbe(t, addr, spec("websocket", ample), "handshake invalid: answer too long")
	if n := <-sent; n > 64<<20 { // the kernel keeps some megabytes
		t.Errorf("the probe has let the backend say %d bytes", n)
	}
}

// pongs answers each Ping with these Pongs, where "" stands for the Ping's
// payload. Without any it hangs up on the first Ping.
func pongs(payloads ...string) fasthttp.RequestHandler {
	return testkit.Upgrade(func(c *websocket.Conn) {
		c.SetPingHandler(func(asked string) error {
			if len(payloads) == 0 {
				return errors.New("hang up")
			}
			for _, p := range payloads {
				if p == "" {
					p = asked
				}
				if err := c.WriteControl(websocket.PongMessage, []byte(p), time.Now().Add(ample)); err != nil {
					return err
				}
			}
			return nil
		})
		_, _, _ = c.NextReader()
	})
}

func TestWebSocketCheckerIsPoliteAndUnpredictable(t *testing.T) {
	b := testkit.StartBackend(t, nil)
	var payloads []string
	ends := make(chan error, 1)
	agents := make(chan string, 1)
	upgrade := testkit.Upgrade(func(c *websocket.Conn) {
		pong := c.PingHandler()
		c.SetPingHandler(func(p string) error { payloads = append(payloads, p); return pong(p) })
		_, _, err := c.NextReader()
		ends <- err
	})
	b.SetHandler(func(ctx *fasthttp.RequestCtx) {
		agents <- string(ctx.UserAgent()) + " " + string(ctx.RequestURI())
		upgrade(ctx)
	})
	for range 2 {
		begin := time.Now()
		wantProbe(t, b.Addr, spec("websocket", ample), "pong received")
		if got := <-agents; got != "holdfast-health /health" {
			t.Fatalf("handshake by %q", got)
		}
		if err := <-ends; !websocket.IsCloseError(err, websocket.CloseNormalClosure) {
			t.Fatalf("backend saw %v, want Close 1000", err)
		}
		if took := time.Since(begin); took > closePatience+ample/2 {
			t.Fatalf("took %v", took)
		}
	}
	if payloads[0] == payloads[1] || len(payloads[0]) < 16 {
		t.Fatalf("Ping payloads %q can be guessed", payloads)
	}
}

// A backend that ignores Close does not make the probe look slow, nor hold it
// for long.
func TestWebSocketCheckerDoesNotWaitForTheLastWord(t *testing.T) {
	release := make(chan struct{})
	b := testkit.StartBackend(t, testkit.Upgrade(func(c *websocket.Conn) {
		c.SetCloseHandler(func(int, string) error { return nil })
		_, _, _ = c.NextReader()
		<-release
	}))
	defer close(release)
	begin := time.Now()
	got, a := probe(b.Addr, spec("websocket", time.Hour))
	took := time.Since(begin)
	if got != "pong received" || took < closePatience || took > closePatience+ample/2 {
		t.Fatalf("%q after %v, want it after %v", got, took, closePatience)
	}
	if lead := time.Since(a.at); lead < closePatience {
		t.Fatalf("the answer counts as %v old, want %v or more", lead, closePatience)
	}
}

// The reason for the websocket check: a server whose health page is fine and
// whose upgrades hang is up to an http probe and down to a websocket one.
func TestProberFindsBackendThatHangsOnUpgrade(t *testing.T) {
	b := testkit.StartBackend(t, testkit.HangOnUpgrade())
	var mu sync.Mutex
	last := map[string]Verdict{}
	target := func(kind string) Target {
		s := spec(kind, brief)
		s.Interval, s.Fall, s.Rise = brief, 2, 2
		return Target{
			ID: kind, Pool: "arena", Backend: "arena-1", Scheme: "http", Address: b.Addr,
			Spec: s, InitialUp: true,
			Report: func(v Verdict) { mu.Lock(); defer mu.Unlock(); last[kind] = v },
		}
	}
	var log bytes.Buffer
	p := NewProber(slog.New(slog.NewTextHandler(&log, nil)))
	p.Reconcile([]Target{target("http"), target("websocket")})
	seen := func(kind string, up bool) func() bool {
		return func() bool { mu.Lock(); defer mu.Unlock(); v := last[kind]; return !v.At.IsZero() && v.Up == up }
	}
	testkit.Eventually(t, ample, seen("websocket", false), "websocket check down")
	testkit.Eventually(t, ample, seen("http", true), "http check up")

	b.SetHandler(testkit.Echo())
	testkit.Eventually(t, ample, seen("websocket", true), "websocket check up again")
	p.Close()
	testkit.Eventually(t, ample, func() bool { return b.Conns() == 0 }, "no connection left")
	if got, want := bytes.Count(log.Bytes(), []byte("\n")), 2; got != want {
		t.Fatalf("%d lines in the log, want %d:\n%s", got, want, log.String())
	}
	if !bytes.Contains(log.Bytes(), []byte(`why="handshake unanswered within 1s" probes=2`)) {
		t.Fatalf("the log does not say why:\n%s", log.String())
	}
}
