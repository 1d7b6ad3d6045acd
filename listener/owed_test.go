package listener

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// fasthttp gives a hijack up when an earlier, pipelined answer cannot be
// written first. What the hijacker would have returned is returned all the
// same, and what a hijack that comes about returns is not returned twice.
func TestIfNotTaken(t *testing.T) {
	lost, taken := make(chan struct{}, 1), make(chan struct{}, 1)
	slow := make(chan struct{})
	_, address := serve(t, options(func(ctx *fasthttp.RequestCtx) {
		switch string(ctx.Path()) {
		case "/slow":
			<-slow
			ctx.SetBodyString(strings.Repeat("x", 1<<10))
		case "/upgrade":
			ctx.Conn().(*Conn).IfNotTaken(func() { lost <- struct{}{} })
			ctx.HijackSetNoResponse(true)
			ctx.Hijack(func(c net.Conn) {
				_, _ = io.WriteString(c, "taken")
				taken <- struct{}{}
			})
		}
	}), web())

	c := testkit.DialTCP(t, address)
	c.Send("GET /upgrade HTTP/1.1\r\nHost: x\r\n\r\n")
	if got := string(c.ReadN(5, 5*time.Second)); got != "taken" {
		t.Fatalf("read %q", got)
	}
	<-taken
	c.ExpectClosed(5 * time.Second)

	c = testkit.DialTCP(t, address)
	c.Send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\nGET /upgrade HTTP/1.1\r\nHost: x\r\n\r\n")
	c.Reset()
	close(slow)
	select {
	case <-lost:
	case <-taken:
		t.Fatal("the hijack came about although the client was gone: this test shows nothing")
	case <-time.After(5 * time.Second):
		t.Fatal("neither taken nor lost")
	}
	if len(lost) != 0 || len(taken) != 0 {
		t.Fatalf("%d more lost, %d taken", len(lost), len(taken))
	}
}
