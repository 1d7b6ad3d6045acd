package proxy

import (
	"bufio"
	"bytes"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
)

// FuzzJudgeAnswer checks, for any header of an answer that passes, that
// fasthttp reads the same of it, and takes just as much: a byte more or less
// would belong to the next answer.
func FuzzJudgeAnswer(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.0 304\r\nX: y\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x\r\n\r\n0\r\n\r\n",
		"HTTP/1.1 200 O\rK\r\n\r\n", "HTTP/1.1 000 \r\n\r\n", "HTTP/1.1 200 \r\nX y: z\r\n\r\n", "HTTP/1.1 200 \r\nA: b\n\r\n\r\n",
		"HTTP/1.1 103 x\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 007\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		r := bufio.NewReaderSize(bytes.NewReader(in), maxAnswerHeader)
		head, err := peekHead(r)
		if err != nil {
			return
		}
		if !bytes.HasSuffix(head, []byte("\r\n\r\n")) || !bytes.HasPrefix(in, head) {
			t.Fatalf("peekHead(%q) = %q", in, head)
		}
		var b fieldBlock
		status, sound := b.judgeAnswer(head)
		if !sound {
			return
		}
		size := len(head)
		var h fasthttp.ResponseHeader
		h.DisableNormalizing()
		h.SetNoDefaultContentType(true)
		if h.Read(r) != nil {
			return // what fasthttp refuses besides
		}
		if h.StatusCode() != status {
			t.Errorf("%q: status %d, fasthttp has %d", head, status, h.StatusCode())
		}
		if left := r.Buffered(); left != min(len(in), maxAnswerHeader)-size {
			t.Errorf("%q: fasthttp leaves %d bytes of %d behind %d", head, left, len(in), size)
		}
		cleanAnswer(&h, &b)
		for _, line := range strings.Split(strings.TrimSuffix(h.String(), "\r\n\r\n"), "\r\n")[1:] {
			name, _, found := strings.Cut(line, ":")
			if !found || name == "" || strings.ContainsAny(line, "\r\n\x00") || strings.ContainsAny(name, " \t") {
				t.Errorf("%q: the client gets %q", head, line)
			}
		}
	})
}

// FuzzTarget checks that a target and a host that pass mean one thing.
func FuzzTarget(f *testing.F) {
	for _, s := range []string{"/", "/a?b", "http://a", "https://a:80/b?c", "http://u@a/", "http:///x", "*", "a:80", "//a/b", "http://[::1]:8/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, target string) {
		if target == "" || strings.ContainsAny(target, " \r\n") {
			return
		}
		var h fasthttp.RequestHeader
		h.DisableNormalizing()
		if h.Read(bufio.NewReader(strings.NewReader("GET "+target+" HTTP/1.1\r\nHost: a\r\n\r\n"))) != nil {
			return
		}
		var r request
		r.fields.parse(h.RawHeaders())
		r.method, r.host = h.Method(), h.Host()
		r.setTarget(h.RequestURI())
		if r.judge(&h) != ok {
			return
		}
		if len(r.target) > 0 && r.target[0] != '/' && r.target[0] != '?' && string(r.target) != "*" {
			t.Errorf("%q: target %q", target, r.target)
		}
		if !r.absolute {
			return
		}
		u, err := url.Parse(target)
		if err != nil {
			return // a malformed escape, which is the backend's matter
		}
		if u.Host != string(r.host) || u.User != nil {
			t.Errorf("%q: host %q, package url has %q", target, r.host, u.Host)
		}
	})
}

// FuzzClientAddress checks that what a trusted proxy sends never becomes the
// client's address but by being one, and that no value breaks the walk.
func FuzzClientAddress(f *testing.F) {
	for _, s := range []string{"1.1.1.1", "1.1.1.1, 9.9.9.9", "[::1]:80", "unknown", ", ,", "fe80::1%eth0", "1.1.1.1:80,"} {
		f.Add(s)
	}
	trusted := []netip.Prefix{netip.MustParsePrefix("9.0.0.0/8")}
	f.Fuzz(func(t *testing.T, value string) {
		if strings.ContainsAny(value, "\r\n") {
			return
		}
		var b fieldBlock
		b.parse([]byte("X-Forwarded-For: " + value + "\r\n\r\n"))
		var c client
		c.read(client9, trusted, &b)
		if !c.ip.IsValid() || !c.trusted {
			t.Fatalf("%q: %v", value, c.ip)
		}
		if c.ip.String() != "9.9.9.9" && contains(trusted, c.ip) && !strings.Contains(value, "9") {
			t.Errorf("%q: %v", value, c.ip)
		}
	})
}

// FuzzRedact checks that no spelling of a query brings a token into the log
// that soleParameter would find.
func FuzzRedact(f *testing.F) {
	for _, s := range []string{"token=x", "a&token=x&token=y", "%74oken=x", "token", "=token=", "?token=x", "token=a?token=b"} {
		f.Add(s)
	}
	rt := &Runtime{tokenParameters: []string{"token"}}
	f.Fuzz(func(t *testing.T, query string) {
		if strings.Contains(query, redacted) {
			return
		}
		out := rt.redact("/x?" + query)
		_, after, _ := strings.Cut(out, "?")
		for len(after) > 0 {
			var pair string
			pair, after, _ = strings.Cut(after, "&")
			if name, value, found := strings.Cut(pair, "="); found && isParameter(name, "token") && value != redacted {
				t.Errorf("%q is logged as %q", query, out)
			}
		}
	})
}
