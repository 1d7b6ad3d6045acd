package e2e

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
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

// Chunks that have come together are sent as one, those that have not wait for
// nothing, and wherever the stream is cut on its way, the body is the same.
func TestChunksAreSentTogether(t *testing.T) {
	t.Parallel()
	const mark, last = "so far, so good", "0\r\n\r\n"
	heard, came := make(chan struct{}, 1), make(chan string, 1)
	addr := testkit.ServeTCP(t, func(c *net.TCPConn) {
		r := bufio.NewReader(c)
		for {
			var raw strings.Builder
			for !strings.HasSuffix(raw.String(), "\r\n"+last) {
				b, err := r.ReadByte()
				if err != nil {
					return
				}
				if raw.WriteByte(b); strings.HasSuffix(raw.String(), mark+"\r\n") {
					heard <- struct{}{}
				}
			}
			came <- raw.String()
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	})
	p := start(t, setup{rest: siteOf([]string{addr})})
	c := testkit.DialTCP(t, p.web)
	// send sends pieces, the next one when a mark at the end of one has been
	// heard, and returns what has come of them.
	send := func(pieces ...string) string {
		t.Helper()
		c.Send(posts("Transfer-Encoding: chunked"))
		for _, piece := range pieces {
			c.Send(piece)
			if strings.HasSuffix(piece, mark+"\r\n") {
				<-heard
			}
		}
		raw := <-came
		if text, err := io.ReadAll(c.ReadResponse(patience).Body); err != nil || string(text) != "ok" {
			t.Fatalf("the answer is %q, %v", text, err)
		}
		return raw
	}
	carries := func(body string, pieces ...string) {
		t.Helper()
		if s, _, whole := testkit.Sight([]byte(send(pieces...))); !whole || s.Flaw != "" || s.Body != body {
			t.Fatalf("of %d bytes come %d or others, %s", len(body), len(s.Body), s.Flaw)
		}
	}

	marked := fmt.Sprintf("%x\r\n%s\r\n", len(mark), mark)
	carries(mark+mark+"hello"+mark+"world", marked, marked, "5\r\nhello\r\n", marked, "5\r\n", "world\r\n"+last)
	r := rand.New(rand.NewPCG(1, 2)) // #nosec G404
	for range 20 {
		var wire, body strings.Builder
		for range 50 {
			at, n := r.IntN(1000), 1+r.IntN([]int{3, 300, 30_000}[r.IntN(3)])
			fmt.Fprintf(&wire, "%x\r\n%s\r\n", n, noise[at:at+n])
			body.Write(noise[at : at+n])
		}
		var pieces []string
		for rest := wire.String() + last; rest != ""; {
			n := min(len(rest), 1+r.IntN([]int{5, 500, 50_000}[r.IntN(3)]))
			pieces, rest = append(pieces, rest[:n]), rest[n:]
		}
		carries(body.String(), pieces...)
	}
	raw := send(strings.Repeat("1\r\nx\r\n", 20_000) + last)
	if n := strings.Count(raw, "\r\n") / 2; n > 2000 || strings.Count(raw, "x") < 20_000 {
		t.Errorf("20000 chunks have become %d", n)
	}
}
