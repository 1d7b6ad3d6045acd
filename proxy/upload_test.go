package proxy

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// echoBody answers with the request's body, and its trailers behind it.
func echoBody(ctx *fasthttp.RequestCtx) {
	body := string(ctx.Request.Body())
	for name := range ctx.Request.Header.Trailers() {
		body += fmt.Sprintf(" %s=%s", name, ctx.Request.Header.PeekBytes(name))
	}
	ctx.SetBodyString(body)
}

func TestRequestBodies(t *testing.T) {
	a := testkit.NewAuthority(t)
	for there := range int32(nothingIsThere + 1) {
		for _, cfg := range []*config.Config{
			configOf(testkit.StartBackend(t, echoBody).Addr),
			tlsConfigOf(t, a, startTLSBackend(t, serverTLS(a), echoBody).Addr),
		} {
			r := start(t, cfg)
			r.there.Store(there)
			expectBodies(t, r)
		}
	}
}

// expectBodies sends bodies of all kinds and wants them back.
func expectBodies(t *testing.T, r *rig) {
	t.Helper()
	c := testkit.DialTCP(t, r.addr) // the framing of each must be right for the next
	f := func(name, head, body, want string) {
		t.Helper()
		c.Send("POST / HTTP/1.1\r\nHost: a\r\n" + head + "\r\n\r\n" + body)
		resp := c.ReadResponse(patience)
		got, err := io.ReadAll(resp.Body)
		if err != nil || string(got) != want || resp.StatusCode != 200 {
			t.Fatalf("%s: %d, %d bytes %.60q, %v, want %d", name, resp.StatusCode, len(got), got, err, len(want))
		}
	}
	large := strings.Repeat("0123456789abcdef", 8<<10)
	f("none", "Content-Length: 0", "", "")
	f("small", "Content-Length: 5", "hello", "hello")
	f("just kept", fmt.Sprintf("Content-Length: %d", prefetched), large[:prefetched], large[:prefetched])
	f("just streamed", fmt.Sprintf("Content-Length: %d", prefetched+1), large[:prefetched+1], large[:prefetched+1])
	f("just gathered", fmt.Sprintf("Content-Length: %d", gatherSize), large[:gatherSize], large[:gatherSize])
	f("just not gathered", fmt.Sprintf("Content-Length: %d", gatherSize+1), large[:gatherSize+1], large[:gatherSize+1])
	f("long header", fmt.Sprintf("Content-Length: 9000\r\nX-Long: %s", large[:headRoom]), large[:9000], large[:9000])
	f("large", fmt.Sprintf("Content-Length: %d", len(large)), large, large)
	f("chunked", "Transfer-Encoding: chunked", "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n", "abcde")
	f("chunked, empty", "Transfer-Encoding: chunked", "0\r\n\r\n", "")
	f("chunked with trailers", "Transfer-Encoding: chunked\r\nTrailer: X-Sum", "3\r\nabc\r\n0\r\nX-Sum: 7\r\n\r\n", "abc X-Sum=7")
	f("one large chunk", "Transfer-Encoding: chunked", fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(large), large), large)
	f("small again", "Content-Length: 3", "end", "end")
}

// TestChunkedAndLength: a request with both framings is refused, and its
// connection closed (RFC 9112, section 6.3).
func TestChunkedAndLength(t *testing.T) {
	b := testkit.StartBackend(t, nil)
	r := start(t, configOf(b.Addr))
	got := r.exchange(t, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n")
	expectRefusal(t, got, "400 Bad Request", "bad_framing")
	if n := b.Requests(); n != 0 {
		t.Errorf("the backend has seen %d requests", n)
	}
}

func TestExpectContinue(t *testing.T) {
	seen := make(chan string, 1)
	b := testkit.StartBackend(t, func(ctx *fasthttp.RequestCtx) {
		seen <- string(ctx.Request.Header.Peek("Expect"))
		echoBody(ctx)
	})
	r := start(t, configOf(b.Addr))
	for _, name := range []string{"Expect", "expect"} {
		c := testkit.DialTCP(t, r.addr)
		c.Send("POST / HTTP/1.1\r\nHost: a\r\n" + name + ": 100-continue\r\nContent-Length: 5\r\nConnection: close\r\n\r\n")
		if got := c.ReadUntil("\r\n\r\n", patience); got != "HTTP/1.1 100 Continue\r\n\r\n" {
			t.Fatalf("got %q", got)
		}
		c.Send("hello")
		if got := c.ReadAll(patience); !strings.HasSuffix(got, "\r\n\r\nhello") {
			t.Errorf("got %q", got)
		}
		if expect := <-seen; expect != "" {
			t.Errorf("backend got Expect: %s", expect)
		}
	}
}

func TestUploadReachesBackendAsSent(t *testing.T) {
	got := make(chan string)
	addr := testkit.ServeTCP(t, func(c *net.TCPConn) {
		r := bufio.NewReader(c)
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				close(got)
				return
			}
			got <- line
		}
	})
	r := start(t, configOf(addr))
	c := testkit.DialTCP(t, r.addr)
	c.Send("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
	for <-got != "\r\n" { // the header, without waiting for the body
	}
	for _, piece := range []string{"5\r\none\r\n\r\n", "4\r\n2\r\n\n\r\n"} {
		c.Send(piece)
		for read := ""; read != piece; read += <-got {
			if !strings.HasPrefix(piece, read) {
				t.Fatalf("got %q of %q", read, piece)
			}
		}
	}
	c.Reset() // and the backend must not see an end of the body
	for line := range got {
		t.Errorf("got %q after the client had left", line)
	}
	r.expectIdle(t, addr)
}

// TestUploadEndsEarly: half a body must never look like a whole one.
func TestUploadEndsEarly(t *testing.T) {
	var there int32
	f := func(name, head, body string) {
		t.Helper()
		all := make(chan string, 1)
		addr := testkit.ServeTCP(t, func(c *net.TCPConn) {
			b, _ := io.ReadAll(c)
			all <- string(b)
		})
		r := start(t, configOf(addr))
		r.there.Store(there)
		c := testkit.DialTCP(t, r.addr)
		c.Send("POST / HTTP/1.1\r\nHost: a\r\n" + head + "\r\n\r\n" + body)
		_ = c.CloseWrite()
		expectRefusal(t, c.ReadAll(patience), "400 Bad Request", "client_gone")
		if got := <-all; strings.HasSuffix(got, "0\r\n\r\n") {
			t.Errorf("%s: backend got a whole request: %q", name, got)
		}
		r.expectIdle(t, addr)
	}
	for there = range int32(nothingIsThere + 1) {
		f("length", "Content-Length: 20000", strings.Repeat("x", 10000))
	}
	f("between two chunks", "Transfer-Encoding: chunked", "3\r\nabc\r\n")
	f("in a chunk", "Transfer-Encoding: chunked", "8\r\nabc")
}

func TestBodyRefusals(t *testing.T) {
	b := testkit.StartBackend(t, echoBody)
	cfg := configOf(b.Addr)
	cfg.Listeners[0].Limits.MaxBodyBytes = 10000
	var log testkit.Log
	r := startWith(t, cfg, time.Second, slog.NewTextHandler(&log, nil))
	f := func(name, request, status, class string) {
		t.Helper()
		t.Log(name)
		expectRefusal(t, r.exchange(t, request), status, class)
		r.expectIdle(t, b.Addr)
	}
	post := "POST / HTTP/1.1\r\nHost: a\r\n"
	const tooLarge, tooSlow = "413 Request Entity Too Large", "408 Request Timeout"
	f("length over the limit", post+"Content-Length: 10001\r\n\r\n"+strings.Repeat("x", 9000), tooLarge, "body_too_large")
	f("chunks over the limit", post+"Transfer-Encoding: chunked\r\n\r\n2711\r\n"+strings.Repeat("x", 10001), tooLarge, "body_too_large")
	for there := range int32(nothingIsThere + 1) {
		r.there.Store(there)
		f("streamed body pauses", post+"Content-Length: 9999\r\n\r\n"+strings.Repeat("x", 9000), tooSlow, "body_timeout")
	}
	f("chunks pause", post+"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", tooSlow, "body_timeout")
	f("malformed chunks", post+"Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n", "400 Bad Request", "body_broken")
	if got := r.exchange(t, post+"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n2710\r\n"+strings.Repeat("x", 10000)+"\r\n0\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 200") {
		t.Errorf("a body of exactly the limit: %.80q", got)
	}
	// What is told is the client's affair, not that the backend was given up.
	testkit.Eventually(t, patience, func() bool { return strings.Contains(log.String(), "code=HF-1011") }, "the log has HF-1011")
	if text := log.String(); strings.Contains(text, b.Addr) {
		t.Errorf("the log blames the backend:\n%s", text)
	}
}

// TestEarlyAnswers: a backend that answers before it has read the body is
// heard, and the client's connection ends behind the answer.
func TestEarlyAnswers(t *testing.T) {
	var there int32
	f := func(name, answer, want string) {
		t.Helper()
		addr := behaving(t, func(c *net.TCPConn) { says(answer)(c); silent(c) })
		r := start(t, configOf(addr))
		r.there.Store(there)
		c := testkit.DialTCP(t, r.addr)
		c.Send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + strings.Repeat("x", 100000))
		if got := string(c.ReadN(len(want), patience)); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
		_ = c.CloseWrite()
		c.ExpectClosed(patience)
		r.expectIdle(t, addr)
	}
	for there = range int32(nothingIsThere + 1) {
		f("known length", "HTTP/1.1 413 No\r\nContent-Length: 4\r\nDate: today\r\n\r\nless", "HTTP/1.1 413 No\r\nContent-Length: 4\r\nDate: today\r\nConnection: close\r\n\r\nless")
		f("no body", "HTTP/1.1 204 Fine\r\nDate: today\r\n\r\n", "HTTP/1.1 204 Fine\r\nDate: today\r\nConnection: close\r\n\r\n")
		f("chunked", "HTTP/1.1 413 No\r\nDate: today\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nless\r\n0\r\nX-T: 1\r\n\r\n",
			"HTTP/1.1 413 No\r\nDate: today\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n4\r\nless\r\n0\r\nX-T: 1\r\n\r\n")
	}
}

// TestBothWaysAtOnce: the answer streams while the body does.
func TestBothWaysAtOnce(t *testing.T) {
	addr := testkit.ServeTCP(t, func(c *net.TCPConn) {
		r := bufio.NewReader(c)
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			if line == "\r\n" {
				break
			}
		}
		says("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")(c)
		// Chunks come back as they are, the last one too. (Hidden from Copy, the
		// connection cannot be spliced, which keeps pipes until a collection.)
		_, _ = io.Copy(struct{ io.Writer }{c}, r)
	})
	r := start(t, configOf(addr))
	c := testkit.DialTCP(t, r.addr)
	c.Send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
	c.ReadUntil("\r\n\r\n", patience)
	for range 3 {
		c.Send("4\r\nping\r\n")
		if got := string(c.ReadN(9, patience)); got != "4\r\nping\r\n" {
			t.Errorf("got %q", got)
		}
	}
	c.Send("0\r\n\r\n")
	_ = c.CloseWrite()
	if got := c.ReadAll(patience); got != "0\r\n\r\n" {
		t.Errorf("got %q", got)
	}
	r.expectIdle(t, addr)
}

// TestBackendDiesDuringUpload: the client hears of it at once, although it has
// paused in its body.
func TestBackendDiesDuringUpload(t *testing.T) {
	addr := behaving(t, func(c *net.TCPConn) { _, _ = io.CopyN(io.Discard, c, 9000) })
	r := start(t, configOf(addr))
	c := testkit.DialTCP(t, r.addr)
	c.Send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + strings.Repeat("x", 20000))
	expectRefusal(t, c.ReadUntil(")\n", patience), "502 Bad Gateway", "backend_broken", addr)
	_ = c.CloseWrite()
	c.ExpectClosed(patience)
	r.expectIdle(t, addr)
}

// TestResponseTimeoutCountsFromTheRequestsEnd: a slow upload is no slow answer.
func TestResponseTimeoutCountsFromTheRequestsEnd(t *testing.T) {
	b := testkit.StartBackend(t, echoBody)
	cfg := configOf(b.Addr)
	cfg.Routes[0].Timeouts.Response = time.Second
	r := start(t, cfg)
	c := testkit.DialTCP(t, r.addr)
	c.Send("POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n")
	c.SendSplit([]byte(strings.Repeat("1\r\nx\r\n", 5)), 6, 300*time.Millisecond)
	c.Send("0\r\n\r\n")
	if got := c.ReadAll(patience); !strings.HasSuffix(got, "\r\n\r\nxxxxx") {
		t.Errorf("got %q", got)
	}
}

// TestManyChunksTakeTurns: chunks without end wait for a turn to be read, a few
// pass meanwhile, and who waits for a client has none.
func TestManyChunksTakeTurns(t *testing.T) {
	b := testkit.StartBackend(t, echoBody)
	r := start(t, configOf(b.Addr))
	const post = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
	many := strings.Repeat("1\r\nx\r\n", 10*manyChunks)
	expect := func(c *testkit.TCP, n int) {
		t.Helper()
		if body, err := io.ReadAll(c.ReadResponse(patience).Body); err != nil || string(body) != strings.Repeat("x", n) {
			t.Errorf("%d bytes come back, %v, want %d", len(body), err, n)
		}
	}
	waiting := testkit.DialTCP(t, r.addr)
	waiting.Send(post + many) // goes on later, and has no turn meanwhile

	testkit.Eventually(t, patience, func() bool { return b.Accepted() > 0 }, "the first has begun")
	for range cap(turns) {
		turns <- struct{}{}
	}
	long, short := testkit.DialTCP(t, r.addr), testkit.DialTCP(t, r.addr)
	long.Send(post + many + "0\r\n\r\n")
	short.Send(post + "1\r\nx\r\n0\r\n\r\n")
	expect(short, 1)
	long.ExpectSilence(50 * time.Millisecond)
	for range cap(turns) {
		<-turns
	}
	expect(long, 10*manyChunks)
	waiting.Send(many + "0\r\n\r\n")
	expect(waiting, 20*manyChunks)
	if len(turns) > 0 {
		t.Errorf("%d turns are not given back", len(turns))
	}
}
