package proxy

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
)

// TestFasthttpIsLax holds the list in docs/security.md to fasthttp: what it
// takes that judge.go must not. When one of these fails, the check beside it
// may be dropped.
func TestFasthttpIsLax(t *testing.T) {
	reader := func(s string) *bufio.Reader { return bufio.NewReader(strings.NewReader(s)) }
	request := func(name, in string) (rest string) {
		t.Helper()
		var h fasthttp.RequestHeader
		r := reader(in)
		if err := h.Read(r); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		left, _ := io.ReadAll(r)
		return string(left)
	}
	answer := func(name, in string) *fasthttp.ResponseHeader {
		t.Helper()
		h := &fasthttp.ResponseHeader{}
		if err := h.Read(reader(in)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		return h
	}
	body := func(name, in string, end error) string {
		t.Helper()
		resp := fasthttp.Response{StreamBody: true}
		r := bufio.NewReader(io.MultiReader(strings.NewReader("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"+in), &failing{end}))
		if err := resp.ReadLimitBody(r, 0); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got, err := io.ReadAll(resp.BodyStream())
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		return string(got)
	}

	request("a blank in a name", "GET / HTTP/1.1\r\nHost: a\r\nX y: z\r\n\r\n")
	request("Transfer-Encoding: identity", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\nContent-Length: 5\r\n\r\nhello")
	request("both framings", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n")
	if rest := request("the end of a header", "GET / HTTP/1.1\r\nHost: a\r\n\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n"); !strings.HasPrefix(rest, "GET /2 ") {
		t.Errorf("a bare LF no longer ends a header because of a CRLF CRLF in the next request: %q is left", rest)
	}
	if h := answer("status 000", "HTTP/1.1 000 x\r\nContent-Length: 0\r\n\r\n"); h.StatusCode() != 200 {
		t.Errorf("status 000 is %d", h.StatusCode())
	}
	if h := answer("NUL in a reason", "HTTP/1.1 200 O\x00K\r\nContent-Length: 0\r\n\r\n"); !strings.Contains(h.String(), "O\x00K") {
		t.Errorf("NUL in a reason: %q", h.String())
	}
	if h := answer("a blank in a name", "HTTP/1.1 200 OK\r\nX y: z\r\nContent-Length: 0\r\n\r\n"); !strings.Contains(h.String(), "X y: z") {
		t.Errorf("a blank in a name: %q", h.String())
	}
	if h := answer("chunks in HTTP/1.0", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n"); h.ContentLength() != 2 || h.ConnectionClose() {
		t.Errorf("chunks in HTTP/1.0: length %d, close %t", h.ContentLength(), h.ConnectionClose())
	}
	for name, end := range map[string]error{"between chunks": io.EOF, "in the last chunk": errors.New("connection reset by peer")} {
		in := "2\r\nok\r\n"
		if end != io.EOF {
			in += "0\r\n"
		}
		if got := body("an end "+name, in, end); got != "ok" {
			t.Errorf("an end %s: %q", name, got)
		}
	}
}

// failing fails every read.
type failing struct{ err error }

func (f *failing) Read([]byte) (int, error) { return 0, f.err }
