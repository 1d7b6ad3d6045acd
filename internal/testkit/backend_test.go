package testkit

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fasthttp/websocket"
	"github.com/valyala/fasthttp"
)

const soon = 5 * time.Second

func TestBackendServesCountsAndComesBack(t *testing.T) {
	b := StartBackend(t, nil)
	f := func(wantStatus int, wantRequests int64) {
		t.Helper()
		c := DialTCP(t, b.Addr)
		c.Send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
		if resp := c.ReadResponse(soon); resp.StatusCode != wantStatus {
			t.Fatalf("status %d, want %d", resp.StatusCode, wantStatus)
		}
		if got := b.Requests(); got != wantRequests {
			t.Fatalf("%d requests, want %d", got, wantRequests)
		}
	}
	f(200, 1)
	b.SetHandler(func(ctx *fasthttp.RequestCtx) { ctx.SetStatusCode(503) })
	f(503, 2)

	addr := b.Addr
	b.Stop(t)
	if _, _, err := TryDial(addr, "/", nil); err == nil {
		t.Fatal("a stopped backend accepts")
	}
	if got := b.Start(t); got != addr {
		t.Fatalf("came back at %s, want %s", got, addr)
	}
	f(503, 3)
	if got := b.Accepted(); got != 3 {
		t.Fatalf("%d connections accepted, want 3", got)
	}
	Eventually(t, soon, func() bool { return b.Conns() == 0 }, "no connection left")
}

func TestBackendStopAndKillEndUpgradedSockets(t *testing.T) {
	f := func(h fasthttp.RequestHandler, stop func(*Backend), expect func(*TCP)) {
		t.Helper()
		b := StartBackend(t, h)
		c := DialRaw(t, b.Addr, "/")
		if got := b.Conns(); got != 1 {
			t.Fatalf("%d connections, want 1", got)
		}
		stop(b)
		expect(c.TCP)
	}
	eof := func(c *TCP) { c.ExpectEOF(soon) }
	reset := func(c *TCP) { c.ExpectReset(soon) }
	for _, h := range []fasthttp.RequestHandler{Echo(), Silent(), Stalled()} {
		f(h, func(b *Backend) { b.Stop(t) }, eof)
		f(h, func(b *Backend) { b.Kill(t) }, reset)
		f(h, func(b *Backend) { b.DropConns(false) }, eof)
		f(h, func(b *Backend) { b.DropConns(true) }, reset)
	}
}

func TestEchoAndPush(t *testing.T) {
	echo := StartBackend(t, Echo())
	c := Dial(t, echo.Addr, "/room?x=1", http.Header{"Origin": {"http://elsewhere"}})
	if err := c.WriteMessage(websocket.TextMessage, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if kind, p, err := c.ReadMessage(); err != nil || kind != websocket.TextMessage || string(p) != "hello" {
		t.Fatalf("echo gave %d %q %v", kind, p, err)
	}

	push := StartBackend(t, Push(3, []byte("tick")))
	r := DialRaw(t, push.Addr, "/")
	for range 3 {
		if got := r.ReadFrame(soon); got.Opcode != OpBinary || string(got.Payload) != "tick" {
			t.Fatalf("pushed %+v", got)
		}
	}
	r.ExpectSilence(20 * time.Millisecond)
}

func TestBrokenBackends(t *testing.T) {
	f := func(h fasthttp.RequestHandler, check func(c *TCP)) {
		t.Helper()
		b := StartBackend(t, h)
		plain := DialTCP(t, b.Addr)
		plain.Send("GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
		if resp := plain.ReadResponse(soon); resp.StatusCode != 200 {
			t.Fatalf("plain request: status %d, want 200", resp.StatusCode)
		}
		c := DialTCP(t, b.Addr)
		c.Send(HandshakeRequest(b.Addr, "/ws"))
		check(c)
	}
	f(Refuse(403), func(c *TCP) {
		t.Helper()
		if resp := c.ReadResponse(soon); resp.StatusCode != 403 {
			t.Fatalf("status %d, want 403", resp.StatusCode)
		}
	})
	f(HangOnUpgrade(), func(c *TCP) {
		t.Helper()
		c.ExpectSilence(50 * time.Millisecond)
	})
	f(WrongAccept(), func(c *TCP) {
		t.Helper()
		resp := c.ReadResponse(soon)
		if got := resp.Header.Get("Sec-WebSocket-Accept"); resp.StatusCode != 101 || got == Accept(HandshakeKey) {
			t.Fatalf("status %d, Accept %q", resp.StatusCode, got)
		}
	})
	f(Silent(), func(c *TCP) {
		t.Helper()
		r := c.Handshaken(soon)
		r.SendFrames(Control(OpPing, "x").Mask())
		r.ExpectSilence(50 * time.Millisecond)
	})
	f(CloseWith(1012, "restart"), func(c *TCP) {
		t.Helper()
		got := c.Handshaken(soon).ReadFrame(soon)
		if got.Opcode != OpClose || got.CloseCode() != 1012 || !strings.HasSuffix(string(got.Payload), "restart") {
			t.Fatalf("got %+v, want Close 1012", got)
		}
		c.SendFrames(Close(1012, "").Mask())
		c.ExpectEOF(soon)
	})
}

func TestEarlyFramesAndSplits(t *testing.T) {
	b := StartBackend(t, Echo())
	c := DialTCP(t, b.Addr)
	c.Send(HandshakeRequest(b.Addr, "/") + string(Text("early").Mask().Append(nil)))
	r := c.Handshaken(soon)
	if got := r.ReadFrame(soon); string(got.Payload) != "early" {
		t.Fatalf("got %+v", got)
	}
	r.SendSplit(Text("split").Mask().Append(nil), 1, time.Millisecond)
	if got := r.ReadFrame(soon); string(got.Payload) != "split" {
		t.Fatalf("got %+v", got)
	}
}
