package e2e

import (
	"bufio"
	"context"
	"io"
	"net"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fasthttp/websocket"
	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// frameFloods are attacks by those who have an open socket, on the paths of
// startFrameSite.
var frameFloods = []attack{
	{"frames of one byte", func(ctx context.Context, f front) { hold(ctx, f.web, 16, pours("/sink", "", text("x"), 0)) }},
	{"Pings", func(ctx context.Context, f front) {
		hold(ctx, f.web, 16, pours("/", "", frame(testkit.OpPing, true, "x"), 3))
	}},
	{"fragments without end", func(ctx context.Context, f front) {
		hold(ctx, f.web, 16, pours("/sink", frame(testkit.OpText, false, "x"), frame(testkit.OpContinuation, false, "x"), 0))
	}},
	{"half frames", func(ctx context.Context, f front) {
		whole := text(strings.Repeat("x", 1000))
		hold(ctx, f.web, 300, says(testkit.HandshakeRequest("a", "/guarded")+whole[:len(whole)/2]))
	}},
	{"frames too big", func(ctx context.Context, f front) {
		hold(ctx, f.web, 16, breaks(text(strings.Repeat("x", 64<<10)), "\x03\xf1"))
	}},
	{"messages too fast", func(ctx context.Context, f front) {
		hold(ctx, f.web, 16, breaks(strings.Repeat(text("x"), 1000), "\x03\xf0"))
	}},
	{"Closes that are not answered", func(ctx context.Context, f front) {
		hold(ctx, f.web, 300, says(testkit.HandshakeRequest("a", "/guarded")+text(strings.Repeat("x", 64<<10))))
	}},
	{"pushes that are not read", func(ctx context.Context, f front) {
		hold(ctx, f.web, 100, func(ctx context.Context, c net.Conn) {
			_, _ = io.WriteString(c, testkit.HandshakeRequest("a", "/push"))
			pauseFor(ctx, time.Minute)
		})
	}},
}

func text(s string) string { return frame(testkit.OpText, true, s) }

// frame is one of a client.
func frame(opcode byte, fin bool, payload string) string {
	return string(testkit.Frame{Fin: fin, Opcode: opcode, Payload: []byte(payload)}.Mask().Append(nil))
}

// pours opens a socket at path, and says first, and then what as fast as it is
// taken, or if back bytes come back for it, as fast as those do: a backend's
// kernel keeps millions of small frames otherwise.
func pours(path, first, what string, back int64) func(context.Context, net.Conn) {
	return func(_ context.Context, c net.Conn) {
		p := &peer{Conn: c, r: bufio.NewReader(c)}
		err := p.handshake("a", path)
		_ = c.SetDeadline(time.Time{})
		if err == nil {
			_, err = io.WriteString(c, first)
		}
		n := 16 << 10 / len(what)
		for much := strings.Repeat(what, n); err == nil; {
			if _, err = io.WriteString(c, much); err == nil {
				_, err = io.CopyN(io.Discard, p.r, back*int64(n))
			}
		}
	}
}

// breaks opens a guarded socket, says what breaks a rule, and goes as soon as
// it is told the code, to come again.
func breaks(what, code string) func(context.Context, net.Conn) {
	return func(_ context.Context, c net.Conn) {
		_, err := io.WriteString(c, testkit.HandshakeRequest("a", "/guarded")+what)
		var got strings.Builder
		for b := make([]byte, 4096); err == nil && !strings.Contains(got.String(), code); {
			var n int
			n, err = c.Read(b)
			got.Write(b[:n])
		}
	}
}

// startFrameSite starts a backend that reads and says nothing at /sink, pushes
// at /push, and echoes elsewhere.
func startFrameSite(t *testing.T) *testkit.Backend {
	t.Helper()
	sink := testkit.Upgrade(func(c *websocket.Conn) { _, _ = io.Copy(io.Discard, c.NetConn()) })
	push := testkit.Push(1<<30, make([]byte, 16<<10))
	echo := testkit.Echo()
	return testkit.StartBackend(t, func(ctx *fasthttp.RequestCtx) {
		switch string(ctx.Path()) {
		case "/sink":
			sink(ctx)
		case "/push":
			push(ctx)
		default:
			echo(ctx)
		}
	})
}

// TestFrameFloods is TestExhaustion for those who have an open socket.
func TestFrameFloods(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux gives clients all of 127.0.0.0/8")
	}
	length := time.Duration(scale(1000, 300, 300)) * time.Millisecond
	b := startFrameSite(t)
	p := start(t, setup{
		listener: "limits: {max_connections_per_ip: 400, handshakes_per_second_per_ip: 500}",
		rest: `routes:
  - {name: guarded, path: /guarded, pool: web, websocket: {max_frame_bytes: 1KiB, messages_per_second: 100}}
  - {name: all, path: /, pool: web}
` + pool("web", []string{b.Addr}),
	})
	p.withstand(t, length, front{web: p.web}, b.Addr, frameFloods)
	if *only != "" {
		return
	}
	// Each has had its effect, if not in its time on a busy machine, then in some more.
	felt := func(what string, has func() bool, names ...string) {
		t.Helper()
		testkit.Eventually(t, 2*patience, func() bool {
			for _, a := range frameFloods {
				if !has() && slices.Contains(names, a.name) {
					end := front{web: p.web}.suffer(t, a)
					pauseFor(t.Context(), length)
					end()
				}
			}
			return has()
		}, what)
	}
	for opcode, name := range map[string]string{"text": "frames of one byte", "ping": "Pings", "continuation": "fragments without end"} {
		felt("the attackers' frames are counted as "+opcode, func() bool {
			return p.metric("holdfast_relay_frames_total", `direction="client_to_backend"`, `opcode="`+opcode+`"`) >= 1000
		}, name)
	}
	for code, name := range map[string]string{"HF-7009": "messages too fast", "HF-7010": "frames too big"} {
		felt("somebody is told "+code, func() bool { return strings.Contains(p.read("access.log"), code) }, name)
	}
}
