package proxy

import (
	"bufio"
	"bytes"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
)

// crlf writes a header with one line per line.
func crlf(lines string) string {
	lines = strings.TrimLeft(lines, "\n\t")
	var b strings.Builder
	for _, l := range strings.Split(strings.TrimRight(lines, "\n\t"), "\n") {
		b.WriteString(strings.TrimLeft(l, "\t") + "\r\n")
	}
	return b.String()
}

// plainHead is the head of GET /x by an untrusted peer.
func plainHead() head {
	return head{
		method: []byte("GET"), target: []byte("/x"), proto: "http",
		peer: []byte("9.9.9.9"), public: []byte("pub.example"), id: []byte("id1"),
	}
}

// own is what plainHead adds to every request.
const own = "X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: pub.example\r\nX-Request-Id: id1\r\n\r\n"

func TestRequestHead(t *testing.T) {
	f := func(name string, change func(*head), fields, want string) {
		t.Helper()
		h := plainHead()
		if change != nil {
			change(&h)
		}
		var b fieldBlock
		b.parse([]byte(fields))
		got := string(h.appendTo([]byte("before"), &b))
		if got != "before"+want {
			t.Errorf("%s:\n%q\nwant\n%q", name, got, "before"+want)
		}
	}
	const line = "GET /x HTTP/1.1\r\n"
	trusted := func(h *head) { h.trusted = true }

	f("names, order and values as sent", nil,
		"hOST: a\r\nuser-agent: u  v\r\nX-A:1\r\nx-a: 2\r\nEmpty:\r\n\r\n",
		line+"hOST: a\r\nuser-agent: u  v\r\nX-A:1\r\nx-a: 2\r\nEmpty:\r\n"+own)
	f("hop-by-hop fields go", nil, crlf(`
		Host: a
		Connection: keep-alive
		Keep-Alive: timeout=5
		Proxy: http://evil.example/
		Proxy-Connection: keep-alive
		Proxy-Authorization: Basic x
		A: 1
		Upgrade: h2c
		Transfer-Encoding: chunked
		Expect: 100-continue
		B: 2
		Trailer: X-T
		TE: gzip
	`), line+"Host: a\r\nA: 1\r\nB: 2\r\n"+own)
	f("what Connection names goes, in any case and order", nil,
		"X-Hop: 1\r\nHost: a\r\nConnection: x-hop, HTTP2-Settings\r\nHTTP2-settings: z\r\nX-HOP: 2\r\nX-Hops: 3\r\n",
		line+"Host: a\r\nX-Hops: 3\r\n"+own)
	f("Connection cannot take what requests depend on",
		trusted, crlf(`
		Connection: Host, Content-Length, X-Forwarded-For, X-Forwarded-Proto, X-Request-Id, Cookie, Authorization, Forwarded, Content-Type
		Host: a
		Content-Length: 5
		Content-Type: t
		Cookie: c=1
		Authorization: Bearer x
		Forwarded: for=1.1.1.1
		X-Forwarded-For: 1.1.1.1
		X-Forwarded-Proto: https
	`), line+crlf(`
		Host: a
		Content-Length: 5
		Content-Type: t
		Cookie: c=1
		Authorization: Bearer x
		Forwarded: for=1.1.1.1
		X-Forwarded-Proto: https
		X-Forwarded-For: 1.1.1.1, 9.9.9.9
		X-Forwarded-Host: pub.example
		X-Request-Id: id1
	`)+"\r\n")
	f("strangers' forwarding fields are replaced, however spelt", nil, crlf(`
		Host: a
		x-forwarded-for: 6.6.6.6
		X_FORWARDED_FOR: 6.6.6.6
		X-Forwarded-Proto: https
		X-FORWARDED-HOST: evil
		X-Forwarded-Port: 1
		Forwarded: for=6.6.6.6
		x-request-id: evil
	`), line+"Host: a\r\n"+own)
	f("trusted ones are kept and appended to", trusted, crlf(`
		Host: a
		x-forwarded-for: 1.1.1.1
		X-Forwarded-Host: orig
		X-Forwarded-For: 2.2.2.2, 3.3.3.3
		x-forwarded-port: 443
	`), line+crlf(`
		Host: a
		X-Forwarded-Host: orig
		x-forwarded-port: 443
		X-Forwarded-For: 1.1.1.1, 2.2.2.2, 3.3.3.3, 9.9.9.9
		X-Forwarded-Proto: http
		X-Request-Id: id1
	`)+"\r\n")
	f("a peer without an address", func(h *head) { h.peer = nil }, "Host: a\r\nX-Forwarded-For: 6.6.6.6\r\n",
		line+"Host: a\r\n"+strings.Replace(own, "X-Forwarded-For: 9.9.9.9\r\n", "", 1))
	f("Host is replaced", func(h *head) { h.host = []byte("10.0.0.1:80") }, "A: 1\r\nhost: a\r\nB: 2\r\n",
		line+"A: 1\r\nB: 2\r\nHost: 10.0.0.1:80\r\n"+own)
	f("a chunked body", func(h *head) { h.chunked = true }, "Host: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\nA: 1\r\n",
		line+"Host: a\r\nTrailer: X-T\r\nA: 1\r\nTransfer-Encoding: chunked\r\n"+own)
	f("trailers are welcome", nil, "Host: a\r\nTE: trailers\r\nConnection: te\r\n",
		line+"Host: a\r\nConnection: TE\r\nTE: trailers\r\n"+own)
	f("a handshake", func(h *head) { h.websocket = true }, crlf(`
		Host: a
		Connection: keep-alive, Upgrade, Sec-WebSocket-Protocol
		Upgrade: websocket
		Sec-WebSocket-Key: k
		sec-websocket-protocol: p
		Content-Length: 0
		TE: trailers
	`), line+"Host: a\r\nSec-WebSocket-Key: k\r\nsec-websocket-protocol: p\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+own)
	f("no Host asked for", func(h *head) { h.host, h.public = []byte("b:1"), nil }, "",
		line+"Host: b:1\r\nX-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Proto: http\r\nX-Request-Id: id1\r\n\r\n")
}

func TestAppendTarget(t *testing.T) {
	f := func(target, prefix, want string) {
		t.Helper()
		if got := string(appendTarget(nil, []byte(target), prefix)); got != want {
			t.Errorf("appendTarget(%q, %q) = %q, want %q", target, prefix, got, want)
		}
	}
	f("/ws/room/7", "", "/ws/room/7")
	f("/ws/room/7", "/ws", "/room/7")
	f("/ws/", "/ws", "/")
	f("/ws", "/ws", "/")
	f("/ws?a=1", "/ws", "/?a=1")
	f("/ws/?a=%2F&b=+", "/ws", "/?a=%2F&b=+")
	f("/wsx/1", "/ws", "/wsx/1")
	f("/other", "/ws", "/other")
	f("//ws/%zz/../x", "/ws", "//ws/%zz/../x")
	f("*", "/ws", "*")
}

func TestCleanAnswer(t *testing.T) {
	f := func(name, in, want string, reusable bool) {
		t.Helper()
		var h fasthttp.ResponseHeader
		h.DisableNormalizing()
		h.SetNoDefaultContentType(true)
		if err := h.Read(bufio.NewReader(strings.NewReader(in))); err != nil {
			t.Fatal(err)
		}
		if got := cleanAnswer(&h, nil); got != reusable {
			t.Errorf("%s: reusable %t, want %t", name, got, reusable)
		}
		var got []string
		for _, l := range strings.Split(h.String(), "\r\n") {
			if !strings.HasPrefix(l, "Date: ") { // fasthttp's own, off in our servers
				got = append(got, l)
			}
		}
		if g := strings.Join(got, "\r\n"); g != want {
			t.Errorf("%s:\n%q\nwant\n%q", name, g, want)
		}
	}
	const ok = "HTTP/1.1 200 OK\r\n"
	f("end-to-end fields stay", ok+"Content-Length: 5\r\nx-lower: a\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\n",
		ok+"Content-Length: 5\r\nx-lower: a\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\n", true)
	f("hop-by-hop fields go", ok+"connection: keep-alive, X-Hop\r\nkeep-alive: timeout=5\r\nProxy-Authenticate: x\r\nupgrade: h2c\r\nx-HOP: 1\r\nContent-Length: 0\r\nX-Hops: 2\r\n\r\n",
		ok+"Content-Length: 0\r\nX-Hops: 2\r\n\r\n", true)
	f("close is for us", ok+"Content-Length: 0\r\nConnection: close\r\n\r\n", ok+"Content-Length: 0\r\n\r\n", false)
	f("close and more", ok+"Content-Length: 0\r\nConnection: X-A, close\r\nX-A: 1\r\n\r\n", ok+"Content-Length: 0\r\n\r\n", false)
	f("Connection cannot take the content's fields", ok+"Connection: Content-Length, Set-Cookie, Content-Type, Cache-Control\r\nContent-Length: 5\r\nContent-Type: t\r\nSet-Cookie: a=1\r\nCache-Control: private\r\n\r\n",
		ok+"Content-Type: t\r\nContent-Length: 5\r\nCache-Control: private\r\nSet-Cookie: a=1\r\n\r\n", true)
	f("HTTP/1.0", "HTTP/1.0 200 Fine\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200 Fine\r\nContent-Length: 0\r\n\r\n", false)
	f("HTTP/1.0 kept alive", "HTTP/1.0 200 Fine\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200 Fine\r\nContent-Length: 0\r\n\r\n", true)
	f("until the connection ends", ok+"X-A: 1\r\n\r\n", ok+"X-A: 1\r\n\r\n", false)
	f("chunked with trailers", ok+"Transfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n", ok+"Trailer: X-T\r\n\r\n", true)
	f("trailers without chunks", ok+"Content-Length: 1\r\nTrailer: X-T\r\n\r\n", ok+"Content-Length: 1\r\n\r\n", true)
}

func TestChunkHead(t *testing.T) {
	f := func(n int, want string) {
		t.Helper()
		var buf [chunkRoom]byte
		if got := string(buf[chunkHead(buf[:], n):]); got != want {
			t.Errorf("chunkHead(%d) = %q, want %q", n, got, want)
		}
	}
	f(1, "1\r\n")
	f(255, "ff\r\n")
	f(copySize, "8000\r\n")
}

// FuzzRequestHead checks, for any block that fasthttp accepts, that what a
// backend reads is a well-formed head without a hop-by-hop field and with one
// framing, and that strangers forge nothing.
func FuzzRequestHead(f *testing.F) {
	for _, s := range []string{
		"Host: a\r\n\r\n",
		"Host: a\r\nConnection: close, x\r\nX: 1\r\nContent-Length: 3\r\n\r\nabc",
		"Host: a\r\nTransfer-Encoding: chunked\r\nTrailer: x\r\nTE: trailers\r\n\r\n",
		"Host: a\r\nA: b\r\n\tc\r\nx-forwarded-for: 1\n\r\n\r\n",
		"Host: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\nX_Forwarded_Host: e\r\n\r\n",
	} {
		f.Add([]byte(s), false, false)
	}
	f.Fuzz(func(t *testing.T, raw []byte, chunked, websocket bool) {
		var in fasthttp.RequestHeader
		in.DisableNormalizing()
		if in.Read(bufio.NewReaderSize(bytes.NewReader(append([]byte("GET /x HTTP/1.1\r\n"), raw...)), 1<<16)) != nil {
			return // not a header that fasthttp lets through
		}
		var b fieldBlock
		if b.parse(in.RawHeaders()); b.flaws != 0 {
			return // judge lets no such block through
		}
		h := plainHead()
		h.chunked, h.websocket = chunked, websocket
		out := h.appendTo(nil, &b)

		if !bytes.HasSuffix(out, []byte("\r\n\r\n")) {
			t.Fatalf("%q does not end with an empty line", out)
		}
		lines := strings.Split(strings.TrimSuffix(string(out), "\r\n\r\n"), "\r\n")
		count := map[string]int{}
		for _, l := range lines[1:] {
			name, _, found := strings.Cut(l, ":")
			if !found || name == "" || strings.ContainsAny(name, " \t") || strings.ContainsAny(l, "\r\n") {
				t.Fatalf("line %q in %q", l, out)
			}
			count[strings.ReplaceAll(strings.ToLower(name), "_", "-")]++
		}
		for _, name := range []string{"keep-alive", "proxy-connection", "expect", "proxy-authorization", "forwarded", "x-forwarded-port"} {
			if count[name] > 0 {
				t.Errorf("%s in %q", name, out)
			}
		}
		for _, name := range []string{"host", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-request-id"} {
			if count[name] != 1 {
				t.Errorf("%d × %s in %q", count[name], name, out)
			}
		}
		if (count["transfer-encoding"] == 1) != chunked || chunked && count["content-length"] > 0 || count["content-length"] > 1 {
			t.Errorf("framing in %q", out)
		}
		if (count["upgrade"] == 1) != websocket || !websocket && count["connection"] > count["te"] {
			t.Errorf("upgrade in %q", out)
		}
		var again fasthttp.RequestHeader
		if err := again.Read(bufio.NewReaderSize(bytes.NewReader(out), 1<<17)); err != nil {
			t.Errorf("%q: %v", out, err)
		}
	})
}
