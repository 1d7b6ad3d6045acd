package e2e

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// chunkedAnswer and wholeAnswer are what a backend says before it has read the
// body.
const (
	chunkedAnswer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegun\r\n"
	wholeAnswer   = "HTTP/1.1 413 No\r\nContent-Length: 4\r\n\r\nless"
	lastChunk     = "0\r\n\r\n"
)

// What frames a body, and how much of it is sent with the header: fasthttp keeps
// bodies of known length until it has more of them than prefetched.
const (
	sized   = "Content-Length: 100000"
	chunked = "Transfer-Encoding: chunked"
)

var first = map[string]string{sized: strings.Repeat("x", 10_000), chunked: "1\r\nx\r\n"}

// isWhole tells whether a chunked request has its end.
func isWhole(raw string) bool { return strings.HasSuffix(raw, "\r\n"+lastChunk) }

// hasty is a backend that gives an answer behind the header of a request, has
// said what had come when no more did, and ends its answer then.
func hasty(t *testing.T, answer string, came chan<- string) (addr string) {
	return testkit.ServeTCP(t, func(nc *net.TCPConn) {
		var raw strings.Builder
		b := make([]byte, 4<<10)
		for said := false; ; {
			n, err := nc.Read(b)
			raw.Write(b[:n])
			if !said && strings.Contains(raw.String(), "\r\n\r\n") {
				said = true
				_, _ = io.WriteString(nc, answer)
			}
			if err != nil || isWhole(raw.String()) {
				break
			}
		}
		came <- raw.String()
		_, _ = io.WriteString(nc, lastChunk)
	})
}

// What bounds a request's body bounds it behind the beginning of its answer too:
// a client that sends no more, or nothing but framing, or too much, or ends, is
// read no further, its backend is told that the request is not whole, and the
// connection ends behind the answer.
func TestUploadsAreBoundedBehindTheirAnswer(t *testing.T) {
	t.Parallel()
	came := make(chan string, 1)
	// Those who are silent are at a listener of their own: on a busy machine others
	// may seem so.
	brief := freeAddr(t)
	p := start(t, setup{
		listener: fmt.Sprintf("limits: {max_body_bytes: 256KiB}, timeouts: {body: 1m}}, {name: brief, address: %q, timeouts: {body: 1s}", brief),
		log:      "access: access.log",
		rest:     siteOf([]string{hasty(t, chunkedAnswer, came)}),
	})
	more := func(what string) func(*testkit.TCP) {
		return func(c *testkit.TCP) {
			for err := error(nil); err == nil; { // until it is closed
				_, err = io.WriteString(c, what)
			}
		}
	}
	silence := func(*testkit.TCP) {}
	end := func(c *testkit.TCP) { _ = c.CloseWrite() }
	cases := []struct {
		name, framing, begin string
		goOn                 func(*testkit.TCP)
		code                 string
	}{
		{"silence", sized, "", silence, "HF-1010"},
		{"silence between chunks", chunked, "1\r\nx\r\n", silence, "HF-1010"},
		{"silence in a chunk", chunked, "5\r\nx", silence, "HF-1010"},
		{"an extension without end", chunked, "5;a=", more(strings.Repeat("x", 4<<10)), "HF-1011"},
		{"extensions without end", chunked, "", more(strings.Repeat("1;"+strings.Repeat("x", 1<<10)+"\r\nx\r\n", 8)), "HF-1011"},
		{"no chunk", chunked, "1\r\nx\r\nzz\r\n", silence, "HF-1011"},
		{"too much", chunked, "", more("1000\r\n" + strings.Repeat("x", 4<<10) + "\r\n"), "HF-1009"},
		{"an end", sized, "", end, "HF-1012"},
		{"an end between chunks", chunked, "1\r\nx\r\n", end, "HF-1012"},
		{"an end in a chunk", chunked, "5\r\nx", end, "HF-1012"},
	}
	for i, f := range cases {
		addr := p.web
		if f.code == "HF-1010" {
			addr = brief
		}
		c := testkit.DialTCP(t, addr)
		c.Send(posts(f.framing) + first[f.framing])
		c.ReadUntil("begun\r\n", patience)
		c.Send(f.begin)
		done := make(chan struct{})
		go func() {
			defer close(done)
			f.goOn(c)
		}()
		select {
		case raw := <-came:
			if isWhole(raw) {
				t.Errorf("%s: the backend reads a whole body: %.200q", f.name, raw)
			}
		case <-time.After(patience):
			t.Fatalf("%s: the backend still waits for the body", f.name)
		}
		_ = c.SetReadDeadline(time.Now().Add(patience))
		if rest, err := io.ReadAll(c.R); err != nil && !strings.Contains(err.Error(), "reset") || err == nil && string(rest) != lastChunk {
			t.Errorf("%s: the answer ends with %q, %v", f.name, rest, err)
		}
		<-done
		p.awaitIdle("web")
		if line := p.accessLines("access.log", i+1)[i]; line.Code != f.code {
			t.Errorf("%s: the log has code %s, want %s", f.name, line.Code, f.code)
		}
	}
}

// An answer that is complete before the body ends the connection, however long
// the client goes on and whatever it says: nothing of that is a request.
func TestAnswerThatOvertakesItsBody(t *testing.T) {
	t.Parallel()
	came := make(chan string, 1)
	addr := hasty(t, wholeAnswer, came)
	p := start(t, setup{listener: "timeouts: {body: 1m}", rest: siteOf([]string{addr})})
	const hidden = "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n"
	for framing, more := range first {
		c := testkit.DialTCP(t, p.web)
		c.Send(posts(framing) + more)
		head := c.ReadUntil("\r\n\r\n", patience)
		if body := string(c.ReadN(4, patience)); body != "less" || !strings.Contains(head, "\r\nConnection: close\r\n") {
			t.Errorf("%s: the answer is %q %q", framing, head, body)
		}
		if raw := <-came; isWhole(raw) {
			t.Errorf("%s: the backend reads a whole body: %q", framing, raw)
		}
		done := make(chan error, 1)
		go func() {
			for { // slowly, and what would be a request
				if _, err := io.WriteString(c, more+lastChunk+hidden); err != nil {
					done <- err
					return
				}
				time.Sleep(20 * time.Millisecond)
			}
		}()
		select {
		case <-done:
		case <-time.After(patience):
			t.Errorf("%s: the connection is not closed", framing)
		}
		_ = c.SetReadDeadline(time.Now().Add(patience))
		if rest, _ := io.ReadAll(c.R); len(rest) > 0 {
			t.Errorf("%s: behind the answer comes %q", framing, rest)
		}
	}
	select {
	case raw := <-came:
		t.Errorf("the backend reads another request: %q", raw)
	default:
	}
	p.counted(2, "holdfast_requests_total")
}
