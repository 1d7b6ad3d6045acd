package listener

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/internal/explain"
	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// Every deadline of a listener, by what a client sends and when it is cut off.
func TestTimeouts(t *testing.T) {
	type step struct {
		after time.Duration
		send  string
	}
	// The client takes the steps, then waits for the end. answer is how what it
	// reads begins, body how it ends.
	f := func(name string, steps []step, answer, body string, from, to time.Duration) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				echo := func(ctx *fasthttp.RequestCtx) {
					b, err := io.ReadAll(ctx.RequestBodyStream())
					if errors.Is(err, ErrBodyTimeout) {
						plain(ctx, codeBodyTimeout, "handler saw the timeout\n")
						ctx.SetConnectionClose()
						return
					}
					ctx.Write(b[max(0, len(b)-5):])
				}
				ln, _, end := servePipes(t, options(func(ctx *fasthttp.RequestCtx) {
					if ctx.Request.IsBodyStream() {
						echo(ctx)
						return
					}
					ctx.WriteString("hi\n")
				}), web())
				defer end()
				c := ln.dial()
				defer c.Close()
				start := time.Now()
				sent := make(chan struct{})
				go func() {
					defer close(sent)
					for _, s := range steps {
						time.Sleep(s.after)
						if _, err := io.WriteString(c, s.send); err != nil {
							return
						}
					}
				}()
				b, _ := io.ReadAll(c)
				took := time.Since(start)
				<-sent
				if got := string(b); !strings.HasPrefix(got, answer) || !strings.HasSuffix(got, body) || answer == "" && got != "" {
					t.Errorf("got %q, want %q ... %q", got, answer, body)
				}
				if took < from || took > to {
					t.Errorf("took %v, want %v to %v", took, from, to)
				}
			})
		})
	}
	const sec = time.Second
	head := "GET / HTTP/1.1\r\nHost: x\r\n"
	get := head + "\r\n"
	post := "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 20000\r\n\r\n"
	small := "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n"

	f("nothing sent: silent close", nil, "", "", 10*sec, 10*sec)
	f("header stops: 408", []step{{0, head}}, "HTTP/1.1 408 ", "did not come in time\n", 10*sec, 10*sec+lingerTime)
	f("late and dripping header: 408 counted from the accept",
		[]step{{4 * sec, "G"}, {3 * sec, "ET / HTTP/1.1\r\n"}, {2 * sec, "Host: x\r\n"}, {2 * sec, "A: b\r\n"}},
		"HTTP/1.1 408 ", "did not come in time\n", 10*sec, 10*sec+lingerTime)
	f("late but whole header is answered, then idle", []step{{9 * sec, get}}, "HTTP/1.1 200 ", "hi\n", 129*sec, 144*sec)
	f("idle: silent close", []step{{0, get}}, "HTTP/1.1 200 ", "hi\n", 120*sec, 135*sec)
	f("idle counts from the last request", []step{{0, get}, {100 * sec, get}}, "HTTP/1.1 200 ", "hi\n", 220*sec, 235*sec)
	f("a later header: 408 counted from its first byte", []step{{0, get}, {100 * sec, "GET"}, {9 * sec, " / HTTP/1.1\r\n"}},
		"HTTP/1.1 200 ", "did not come in time\n", 110*sec, 110*sec+lingerTime)
	f("a later header in time", []step{{0, get}, {60 * sec, head}, {9 * sec, "Connection: close\r\n\r\n"}},
		"HTTP/1.1 200 ", "hi\n", 69*sec, 69*sec+lingerTime)
	f("a body that stops before the handler: 408", []step{{0, small}, {sec, "12345"}},
		"HTTP/1.1 408 ", "the body stopped coming\n", 31*sec, 35*sec+lingerTime)
	f("a body that stops in the handler: its 408", []step{{0, post}, {sec, strings.Repeat("x", 10000)}},
		"HTTP/1.1 408 ", "handler saw the timeout\n", 31*sec, 35*sec+lingerTime)
	f("a long upload outlives the header timeout and more",
		[]step{
			{0, strings.Replace(post, "\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1)},
			{25 * sec, strings.Repeat("x", 10000)},
			{25 * sec, strings.Repeat("x", 5000)}, {25 * sec, strings.Repeat("x", 4995)}, {25 * sec, "done\n"},
		},
		"HTTP/1.1 200 ", "done\n", 100*sec, 100*sec+lingerTime)
}

// A client that does not read its answer is cut off.
func TestWriteTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln, sk, end := servePipes(t, options(func(ctx *fasthttp.RequestCtx) {
			ctx.SetBody(make([]byte, 1<<20))
		}), web())
		defer end()
		c := ln.dial()
		defer c.Close()
		start := time.Now()
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		// As long as it takes something in time, it is served.
		for range 3 {
			time.Sleep(29 * time.Second)
			if _, err := io.ReadFull(c, make([]byte, 70<<10)); err != nil {
				t.Fatalf("after %v: %v", time.Since(start), err)
			}
		}
		time.Sleep(34 * time.Second)
		synctest.Wait()
		if n := sk.ledger.open.Load(); n != 0 {
			t.Errorf("%d connections open after a silence of 34s, want 0", n)
		}
	})
}

func TestTimeoutsOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := web()
		l.Timeouts = config.ListenerTimeouts{}
		ln, _, end := servePipes(t, options(hello), l)
		defer end()
		c := ln.dial()
		defer c.Close()
		for _, part := range []string{"GET / HT", "TP/1.1\r\nHost: x\r\n", "\r\n"} {
			time.Sleep(time.Hour)
			io.WriteString(c, part)
		}
		b := make([]byte, 15)
		if _, err := io.ReadFull(c, b); err != nil || string(b) != "HTTP/1.1 200 OK" {
			t.Errorf("got %q, %v", b, err)
		}
	})
}

// What never was a request is answered in one line and told to BadRequest.
func TestBadRequests(t *testing.T) {
	type bad struct {
		name string
		code explain.Code
	}
	told := make(chan bad, 1)
	opts := options(hello)
	opts.BadRequest = func(name string, client netip.Addr, _ *fasthttp.RequestCtx, code explain.Code) {
		if client != addr("127.0.0.1") {
			t.Errorf("client %v, want 127.0.0.1", client)
		}
		told <- bad{name, code}
	}
	l := web()
	l.Limits.MaxHeaderBytes = 1 << 10
	_, address := serve(t, opts, l)
	f := func(name, send string, status int, page, body string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			c := testkit.DialTCP(t, address)
			c.Send(send)
			resp := c.ReadResponse(5 * time.Second)
			b, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != status || string(b) != body {
				t.Errorf("got %d %q, want %d %q", resp.StatusCode, b, status, body)
			}
			if resp.Header.Get("Content-Type") != "text/plain; charset=utf-8" || !resp.Close || resp.Header.Get("Server") != "" {
				t.Errorf("header %v, close %v", resp.Header, resp.Close)
			}
			c.ExpectClosed(5 * time.Second)
			if got := <-told; got != (bad{"web", explain.Named(page)}) {
				t.Errorf("told %v", got)
			}
		})
	}
	const notHTTP = "HF-1001 bad request: this is not a well-formed HTTP/1.1 request\n"
	const tooLarge = "HF-1002 request header too large: it exceeds max_header_bytes\n"
	f("garbage", "\x17\x03\x01\x02\x00\r\n\r\n", 400, "bad_request", notHTTP)
	f("no version", "GET /\r\n\r\n", 400, "bad_request", notHTTP)
	f("space in a name", "GET / HTTP/1.1\r\nHo st: x\r\n\r\n", 400, "bad_request", notHTTP)
	f("header too large", "GET / HTTP/1.1\r\nHost: x\r\nA: "+strings.Repeat("a", 1<<10)+"\r\n\r\n", 431, "header_too_large", tooLarge)
	const record = "HF-5002 bad request: this port speaks no TLS, write http:// or ws:// in place of https:// or wss://\n"
	f("TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc", 400, "tls_record", record)
	f("TLS with an empty line in it", "\x16\x03\x01\x02\x00\r\n\r\n", 400, "tls_record", record)
	// The rest is still on its way when the answer is sent: it must be readable.
	f("header far too large", "GET / HTTP/1.1\r\nHost: x\r\nA: "+strings.Repeat("a", 1<<16)+"\r\n\r\n", 431, "header_too_large", tooLarge)
	f("request line too large", "GET /"+strings.Repeat("a", 1<<12)+" HTTP/1.1\r\nHost: x\r\n\r\n", 431, "header_too_large", tooLarge)
}

// An answer that comes before the upload is over can be read.
func TestAnswerBeforeUpload(t *testing.T) {
	_, address := serve(t, options(func(ctx *fasthttp.RequestCtx) {
		plain(ctx, codeBodyTooLarge, "too much\n")
		ctx.SetConnectionClose()
	}), web())
	c := testkit.DialTCP(t, address)
	c.Send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000\r\n\r\n" + strings.Repeat("x", 1<<20))
	if resp := c.ReadResponse(5 * time.Second); resp.StatusCode != 413 {
		t.Errorf("status %d, want 413", resp.StatusCode)
	}
}

// A connection that is silent for longer than parkAfter leaves fasthttp and
// finds its way back with the next request, first byte included.
// A body of chunks that breaks off is known from one that has ended.
func TestReadEnded(t *testing.T) {
	f := func(body string, want bool) {
		t.Helper()
		ended := make(chan bool, 1)
		_, addr := serve(t, options(func(ctx *fasthttp.RequestCtx) {
			_, _ = io.Copy(io.Discard, ctx.RequestBodyStream())
			ended <- ctx.Conn().(*Conn).ReadEnded()
		}), web())
		c := testkit.DialTCP(t, addr)
		c.Send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
		_ = c.CloseWrite()
		if got := <-ended; got != want {
			t.Errorf("body %q: ended %v, want %v", body, got, want)
		}
	}
	f("5\r\nhello\r\n0\r\n\r\n", false)
	f("5\r\nhello\r\n", true)
	f("5\r\nhel", true)
	f("", true)
}

func TestParking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln, sk, end := servePipes(t, options(hello), web())
		defer end()
		c := ln.dial()
		defer c.Close()
		for i := range 5 {
			time.Sleep(3 * time.Second)
			synctest.Wait()
			if n := sk.server.Load().GetCurrentConcurrency(); n != 0 {
				t.Fatalf("round %d: fasthttp serves %d connections after 3s of silence, want 0", i, n)
			}
			if n := sk.ledger.open.Load(); n != 1 {
				t.Fatalf("round %d: %d connections open, want 1", i, n)
			}
			request := "GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
			if i%2 == 1 {
				io.WriteString(c, request[:1])
				time.Sleep(2 * time.Second)
				request = request[1:]
			}
			io.WriteString(c, request)
			expect(t, c, "hello /a")
		}
	})
}

// expect reads until it has read text.
func expect(t testing.TB, c net.Conn, text string) {
	t.Helper()
	var got strings.Builder
	b := make([]byte, 1)
	for !strings.HasSuffix(got.String(), text) {
		if _, err := c.Read(b); err != nil {
			t.Fatalf("got %q, then %v; want %q", got.String(), err, text)
		}
		got.Write(b)
	}
}

// A panic costs its own request only.
func TestHandlerPanic(t *testing.T) {
	_, address := serve(t, options(func(ctx *fasthttp.RequestCtx) {
		if string(ctx.Path()) == "/panic" {
			panic("on purpose")
		}
		hello(ctx)
	}), web())
	other := testkit.DialTCP(t, address)
	get(t, other, "/before")
	c := testkit.DialTCP(t, address)
	c.Send("GET /panic HTTP/1.1\r\nHost: x\r\n\r\n")
	resp := c.ReadResponse(5 * time.Second)
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != 500 || !resp.Close || !strings.HasPrefix(string(body), "HF-4006 ") {
		t.Errorf("status %d, close %v, %q, want 500 and close", resp.StatusCode, resp.Close, body)
	}
	get(t, other, "/after")
}

// Nothing is added to or changed in what passes through.
func TestNothingAdded(t *testing.T) {
	var header, uri string
	_, address := serve(t, options(func(ctx *fasthttp.RequestCtx) {
		header, uri = string(ctx.Request.Header.RawHeaders()), string(ctx.RequestURI())
		ctx.Response.Header.DisableNormalizing()
		ctx.Response.Header.Set("x-lower", "1")
		ctx.SetStatusCode(204)
	}), web())
	c := testkit.DialTCP(t, address)
	c.Send("GET /a/../b//c?d HTTP/1.1\r\nhost: x\r\nX-mIxEd: 1\r\n\r\n")
	answer := c.ReadUntil("\r\n\r\n", 5*time.Second)
	for _, name := range []string{"Server:", "Content-Type:"} {
		if strings.Contains(answer, name) {
			t.Errorf("answer %q has %s", answer, name)
		}
	}
	if !strings.Contains(answer, "\r\nx-lower: 1\r\n") {
		t.Errorf("answer %q, want x-lower as set", answer)
	}
	if uri != "/a/../b//c?d" || !strings.Contains(header, "X-mIxEd: 1") {
		t.Errorf("uri %q, header %q", uri, header)
	}
}

// Many requests on one connection, sent at once.
func TestPipelining(t *testing.T) {
	_, address := serve(t, options(hello), web())
	c := testkit.DialTCP(t, address)
	c.Send(strings.Repeat("GET /p HTTP/1.1\r\nHost: x\r\n\r\n", 20) + "GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	got := c.ReadAll(5 * time.Second)
	if n := strings.Count(got, "hello /p"); n != 20 || !strings.HasSuffix(got, "hello /last") {
		t.Errorf("%d answers, then %q", n, got[max(0, len(got)-20):])
	}
}
