package proxy

import (
	"bufio"
	"bytes"
	"net/netip"
	"net/textproto"
	"net/url"
	"reflect"
	"regexp"
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

// FuzzFields: what passes is read as net/http reads it: the same fields, in
// their order, with the same values.
func FuzzFields(f *testing.F) {
	for _, s := range []string{"Host: a\r\n", "A: 1\r\na:2 \t\r\nB:\r\n", "A: b\n", "A: b\r\n c\r\n", "A : b\r\n", ": b\r\n", "Content-Length: 0005\r\n", "Cookie: a=\"b\"; c\r\n", "A: \xe9\x0b\r\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		raw = append(raw, '\r', '\n')
		var b fieldBlock
		b.parse(raw)
		if b.flaws != 0 {
			return
		}
		want, err := textproto.NewReader(bufio.NewReader(bytes.NewReader(raw))).ReadMIMEHeader()
		if err != nil {
			return // what is refused by fasthttp or judge besides
		}
		got := textproto.MIMEHeader{}
		for i := range b.fields {
			field := &b.fields[i]
			name := string(b.nameOf(field))
			if got.Add(name, string(b.valueOf(field))); field.kind == contentLength {
				want[textproto.CanonicalMIMEHeaderKey(name)] = nil // leading zeros are gone
				got[textproto.CanonicalMIMEHeaderKey(name)] = nil
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %q, net/textproto has %q", raw, got, want)
		}
	})
}

// FuzzKey: a key is a value of that name and of no other, found where a slower
// way of looking finds it too.
func FuzzKey(f *testing.F) {
	for _, s := range []string{"room=7", "a=b&room=&room=7", "room", "xroom=1;room=2", "a; room=\"x\"", " room= y ; room=z", "room==", "&&=room=1", "room=\""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var want []byte
		for _, pair := range strings.Split(text, "&") {
			if value, found := strings.CutPrefix(pair, "room="); found {
				want = []byte(value)
				break
			}
		}
		if got := queryValue([]byte(text), "room"); !bytes.Equal(got, want) {
			t.Errorf("query %q: %q, want %q", text, got, want)
		}
		if strings.ContainsAny(text, "\r\n") {
			return
		}
		want = nil
		for _, pair := range strings.Split(strings.Trim(text, " \t"), ";") {
			if value, found := strings.CutPrefix(strings.TrimLeft(pair, " \t"), "room="); found {
				value = strings.TrimRight(value, " \t")
				if len(value) >= 2 && strings.HasPrefix(value, `"`) && strings.HasSuffix(value, `"`) {
					value = value[1 : len(value)-1]
				}
				want = []byte(value)
				break
			}
		}
		var b fieldBlock
		b.parse([]byte("Cookie: " + text + "\r\n\r\n"))
		if got := cookieValue(&b, "room"); !bytes.Equal(got, want) {
			t.Errorf("cookie %q: %q, want %q", text, got, want)
		}
	})
}

// FuzzForwarded: whatever strangers and trusted peers send, the backend reads
// one field Forwarded (RFC 7239), whose last element is ours; and what was made
// of X-Forwarded-For has an element for each address.
func FuzzForwarded(f *testing.F) {
	for _, s := range []string{"1.1.1.1", "1.1.1.1, [::1]:80, unknown", "fe80::1%eth0", ", ,", "\"a\\", "for=x;host=\"", "::ffff:1.2.3.4"} {
		f.Add(s, s, "a", true)
		f.Add("", s, "game.example:80", true)
	}
	f.Add("for=\"", "x", "a\"b\\c\x00", false)
	f.Fuzz(func(t *testing.T, forwarded, addresses, host string, trusted bool) {
		if strings.ContainsAny(forwarded+addresses+host, "\r\n") {
			return
		}
		h := plainHead()
		h.trusted = trusted
		var b fieldBlock
		b.parse([]byte("Forwarded: " + forwarded + "\r\nX-Forwarded-For: " + addresses + "\r\nX-Forwarded-Host: " + host + "\r\nX-Forwarded-Proto: https\r\n\r\n"))
		out := string(h.appendForwarded(nil, &b))
		value, found := strings.CutPrefix(out, "Forwarded: ")
		value, ends := strings.CutSuffix(value, "\r\n")
		const own = "for=9.9.9.9;host=pub.example;proto=http"
		if !found || !ends || strings.ContainsAny(value, "\r\n") || value != own && !strings.HasSuffix(value, ", "+own) {
			t.Fatalf("%q", out)
		}
		if !trusted && value != own {
			t.Errorf("a stranger forges %q", out)
		}
		if !trusted || strings.Trim(forwarded, " \t") != "" {
			return
		}
		want := 1
		for _, a := range strings.Split(addresses, ",") {
			if strings.Trim(a, " \t") != "" {
				want++
			}
		}
		node := regexp.MustCompile(`^for=([0-9.]+|unknown|"\[[0-9a-f:.]+(%[^"\\]+)?\]")(;host=([A-Za-z0-9._-]+|"([^"\\]|\\.)*"))?(;proto=https?)?$`)
		elements := strings.Split(value, ", ")
		for _, e := range elements {
			if !node.MatchString(e) {
				t.Errorf("%q has the element %q", out, e)
			}
		}
		if len(elements) != want {
			t.Errorf("%q: %d elements, want %d", out, len(elements), want)
		}
	})
}
