package testkit

import (
	"crypto/sha1"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/fasthttp/websocket"
	"github.com/valyala/fasthttp"
)

// acceptGUID is the fixed part of Sec-WebSocket-Accept, RFC 6455 section 1.3.
const acceptGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

// Accept is the Sec-WebSocket-Accept that belongs to a Sec-WebSocket-Key, RFC
// 6455 section 4.2.2.
func Accept(key string) string {
	sum := sha1.Sum([]byte(key + acceptGUID))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// Upgrade makes a handler that upgrades every handshake and runs f on the
// socket, which is closed when f returns. Other requests get 200 "ok". f runs
// on a goroutine of the server and ends when the Backend stops, because reads
// and writes fail then.
func Upgrade(f func(*websocket.Conn)) fasthttp.RequestHandler {
	u := websocket.FastHTTPUpgrader{
		CheckOrigin: func(*fasthttp.RequestCtx) bool { return true },
	}
	return onUpgrade(func(ctx *fasthttp.RequestCtx) { _ = u.Upgrade(ctx, f) })
}

// Echo sends every message back as it came and answers Pings and Closes.
func Echo() fasthttp.RequestHandler {
	return Upgrade(func(c *websocket.Conn) {
		for {
			kind, message, err := c.ReadMessage()
			if err != nil || c.WriteMessage(kind, message) != nil {
				return
			}
		}
	})
}

// Push sends message n times as a binary message, right after the handshake,
// and then reads until the client leaves.
func Push(n int, message []byte) fasthttp.RequestHandler {
	return Upgrade(func(c *websocket.Conn) {
		for range n {
			if c.WriteMessage(websocket.BinaryMessage, message) != nil {
				return
			}
		}
		drain(c)
	})
}

// CloseWith sends a Close with code and reason right after the handshake, and
// waits for the client's.
func CloseWith(code int, reason string) fasthttp.RequestHandler {
	return Upgrade(func(c *websocket.Conn) {
		message := websocket.FormatCloseMessage(code, reason)
		if c.WriteControl(websocket.CloseMessage, message, time.Now().Add(leakPatience)) == nil {
			drain(c)
		}
	})
}

// Silent completes the handshake, reads on, and never sends a byte again: no
// Pong, no Close.
func Silent() fasthttp.RequestHandler {
	return Upgrade(func(c *websocket.Conn) { _, _ = io.Copy(io.Discard, c.NetConn()) })
}

// Stalled completes the handshake and then neither reads nor sends until the
// Backend stops: the peer for tests of back-pressure.
func Stalled() fasthttp.RequestHandler {
	u := websocket.FastHTTPUpgrader{}
	return onUpgrade(func(ctx *fasthttp.RequestCtx) {
		stopped, _ := ctx.UserValue(stoppedKey).(chan struct{})
		_ = u.Upgrade(ctx, func(*websocket.Conn) { <-stopped })
	})
}

// HangOnUpgrade takes handshakes and never answers them. Its connection ends
// when the client goes.
func HangOnUpgrade() fasthttp.RequestHandler {
	return onUpgrade(func(ctx *fasthttp.RequestCtx) {
		ctx.HijackSetNoResponse(true)
		ctx.Hijack(discard)
	})
}

// WrongAccept answers handshakes with a 101 whose Sec-WebSocket-Accept belongs
// to another key.
func WrongAccept() fasthttp.RequestHandler {
	return onUpgrade(func(ctx *fasthttp.RequestCtx) {
		ctx.SetStatusCode(fasthttp.StatusSwitchingProtocols)
		ctx.Response.Header.Set("Upgrade", "websocket")
		ctx.Response.Header.Set("Connection", "Upgrade")
		ctx.Response.Header.Set("Sec-WebSocket-Accept", Accept("another key"))
		ctx.Hijack(discard)
	})
}

// Refuse answers handshakes with status and a line of text.
func Refuse(status int) fasthttp.RequestHandler {
	return onUpgrade(func(ctx *fasthttp.RequestCtx) {
		ctx.SetStatusCode(status)
		ctx.SetBodyString("refused\n")
	})
}

func onUpgrade(h fasthttp.RequestHandler) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		if websocket.FastHTTPIsWebSocketUpgrade(ctx) {
			h(ctx)
			return
		}
		ctx.SetBodyString("ok")
	}
}

func drain(c *websocket.Conn) {
	for {
		if _, _, err := c.NextReader(); err != nil {
			return
		}
	}
}

func discard(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

// Dial opens a WebSocket at ws://addr and path. Every read and write fails
// after ten seconds, so that a broken test ends. The test's end closes it.
func Dial(t testing.TB, addr, path string, header http.Header) *websocket.Conn {
	t.Helper()
	c, resp, err := TryDial(addr, path, header)
	if err != nil {
		status := 0
		if resp != nil {
			status = resp.StatusCode
		}
		t.Fatalf("dial ws://%s%s: %v (status %d)", addr, path, err, status)
	}
	t.Cleanup(func() { c.Close() })
	deadline := time.Now().Add(ioPatience)
	_ = c.SetReadDeadline(deadline)
	_ = c.SetWriteDeadline(deadline)
	return c
}

// TryDial is Dial for handshakes that may fail, from any goroutine. The caller
// closes the connection and sets its deadlines. On a refused handshake the
// response is not nil and holds the first 1,024 bytes of its body.
func TryDial(addr, path string, header http.Header) (*websocket.Conn, *http.Response, error) {
	d := websocket.Dialer{HandshakeTimeout: ioPatience}
	return d.Dial("ws://"+addr+path, header)
}
