package e2e

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// What frames a chunked body is bounded by what it frames, and on each request
// of a connection anew. A signature in each chunk passes, and chunks of one
// byte do.
func TestChunkFramingIsBounded(t *testing.T) {
	t.Parallel()
	addr := startServer(t, func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		fmt.Fprintf(w, "%d bytes, %v", n, err)
	})
	p := start(t, setup{listener: "limits: {max_body_bytes: 8MiB}", rest: siteOf([]string{addr})})
	signed := "8000;chunk-signature=" + strings.Repeat("f", 64) + "\r\n" + strings.Repeat("x", 0x8000) + "\r\n"
	const last, trailers = "0\r\n\r\n", "0\r\nX-Sum: 1\r\nX-Long: "
	c := testkit.DialTCP(t, p.web)
	passes := func(body string, bytes int) {
		t.Helper()
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = io.WriteString(c, inChunks(body))
		}()
		resp := c.ReadResponse(patience)
		text, err := io.ReadAll(resp.Body)
		<-done
		if want := fmt.Sprintf("%d bytes, <nil>", bytes); err != nil || string(text) != want {
			t.Errorf("%.40q and so on: %d %q, %v, want %q", body, resp.StatusCode, text, err, want)
		}
	}
	for range 2 {
		passes(strings.Repeat("1\r\nx\r\n", 100_000)+last, 100_000)
		passes(strings.Repeat(signed, 64)+last, 64*0x8000)
		passes("5\r\nhello\r\n"+trailers+strings.Repeat("x", 3<<10)+"\r\n\r\n", 5)
		passes(strings.Repeat("5;a="+strings.Repeat("b", 100)+"\r\nhello\r\n", 100)+last, 500)
	}

	refused := func(what, begin, again string) {
		t.Helper()
		c := testkit.DialTCP(t, p.web)
		c.Send(posts("Transfer-Encoding: chunked") + begin)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for err := error(nil); err == nil; { // until it is closed
				_, err = io.WriteString(c, again)
			}
		}()
		resp := c.ReadResponse(patience)
		if text, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusBadRequest || !strings.HasPrefix(string(text), "HF-1011 ") {
			t.Errorf("%s: %d %q", what, resp.StatusCode, text)
		}
		<-done
	}
	refused("an extension without end", "5;a=", strings.Repeat("x", 4<<10))
	refused("extensions without end", "", strings.Repeat("1;"+strings.Repeat("x", 1<<10)+"\r\nx\r\n", 8))
}
