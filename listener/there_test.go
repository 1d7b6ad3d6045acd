//go:build linux && (amd64 || arm64)

package listener

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// TestReadOnlyWhatIsThere: a body is read without waiting, be the connection in
// Go's poller or not, and to its end afterwards.
func TestReadOnlyWhatIsThere(t *testing.T) {
	const first, second, third = 9000, 20000, 30000
	read := make(chan int)
	_, addr := serve(t, options(func(ctx *fasthttp.RequestCtx) {
		if ctx.IsGet() {
			hello(ctx)
			return
		}
		c, body := ctx.Conn().(*Conn), ctx.RequestBodyStream()
		buf := make([]byte, 1<<16)
		there := func(want int) {
			n := 0
			testkit.Eventually(t, 5*time.Second, func() bool { // the rest is on its way
				got, err := body.Read(buf)
				n += got
				return err != nil || n >= want
			}, "what was sent is there")
			if got, err := body.Read(buf); got != 0 || err != nil {
				t.Errorf("read %d bytes more, %v, want nothing", got, err)
			}
			read <- n
		}
		if !c.ReadOnlyWhatIsThere(true) {
			t.Error("the connection can only wait")
		}
		there(first)
		c.ReadOnlyWhatIsThere(false)
		n, err := body.Read(buf) // waits, and so joins the poller
		if n == 0 || err != nil {
			t.Errorf("read %d bytes, %v", n, err)
		}
		c.ReadOnlyWhatIsThere(true)
		there(second - n)
		c.ReadOnlyWhatIsThere(false)
		rest, err := io.Copy(io.Discard, body)
		if rest != third || err != nil {
			t.Errorf("the rest has %d bytes, %v", rest, err)
		}
	}), web())
	c := testkit.DialTCP(t, addr)
	c.Send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 59000\r\n\r\n" + strings.Repeat("x", first))
	<-read
	c.Send(strings.Repeat("x", second))
	<-read
	c.Send(strings.Repeat("x", third))
	if resp := c.ReadResponse(5 * time.Second); resp.StatusCode != 200 || resp.Close {
		t.Errorf("status %d, close %v", resp.StatusCode, resp.Close)
	}
	get(t, c, "/next")
}
