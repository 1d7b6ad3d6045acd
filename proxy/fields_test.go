package proxy

import (
	"fmt"
	"strings"
	"testing"
)

func TestParseFields(t *testing.T) {
	f := func(raw string, want ...string) {
		t.Helper()
		var b fieldBlock
		b.parse([]byte(raw))
		var got []string
		for i := range b.fields {
			fd := &b.fields[i]
			got = append(got, fmt.Sprintf("%s=%s/%d/%t", b.nameOf(fd), b.valueOf(fd), fd.kind, fd.asIs))
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("parse %q:\n%s\nwant\n%s", raw, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	entry := func(name, value string, k kind, asIs bool) string {
		return fmt.Sprintf("%s=%s/%d/%t", name, value, k, asIs)
	}
	f("")
	f("\r\n")
	f("A: b\r\n\r\nC: d\r\n", entry("A", "b", plain, true))
	f("Host:x\r\nfoo-BAR:  \t y z \t\r\n\r\n", entry("Host", "x", host, true), entry("foo-BAR", "y z", plain, true))
	f("Empty:\r\nE2: \t\r\n", entry("Empty", "", plain, true), entry("E2", "", plain, true))
	f("Content-Length: 007\r\n", entry("Content-Length", "7", contentLength, false))
	f("no colon\r\n: empty\r\nin ner: x\r\n", entry("", "no colon", malformed, true), entry("", ": empty", malformed, true),
		entry("in ner", "x", malformed, true))
}

func TestFlaws(t *testing.T) {
	f := func(raw string, want flaws) {
		t.Helper()
		var b fieldBlock
		if b.parse([]byte(raw)); b.flaws != want {
			t.Errorf("parse %q: flaws %b, want %b", raw, b.flaws, want)
		}
	}
	f("A: b\r\nC: d\r\n\r\n", 0)
	f("A: b\nC: d\r\n\r\n", bareLF)
	f("A: b\r\n\n", bareLF)
	f("A: b\r\n\tc\r\n\r\n", folded)
	f(" A: b\r\n\r\n", folded)
	f("in ner: x\r\n\r\n", badName)
	f("no colon\r\n\r\n", badName)
	f(strings.Repeat("A: b\r\n", maxFields)+"\r\n", 0)
	f(strings.Repeat("A: b\r\n", maxFields+1)+"\r\n", tooManyFields)
}

func TestClassify(t *testing.T) {
	f := func(want kind, names ...string) {
		t.Helper()
		for _, name := range names {
			for _, n := range []string{name, strings.ToUpper(name), strings.ToLower(name)} {
				if got := classify([]byte(n)); got != want {
					t.Errorf("classify(%q) = %d, want %d", n, got, want)
				}
			}
		}
	}
	f(plain, "Accept", "X-Forwarded", "X-Custom", "Connect", "Upgrade-Insecure-Requests", "Sec-WebSocket", "Cookie2", "X-Real-Ip", "Proxy-Status", "T", "X")
	f(malformed, "X y", "X\x00", "X\x7f", "Sec-WebSocket-Key x", "Sec-WebSocket-Protocol ", "Sec-WebSocket-\x01", "X-Forwarded-For x", "X-Forwarded-\t")
	f(endToEnd, "Authorization", "Content-Type", "Cache-Control", "Date", "Origin", "Sec-WebSocket-Key", "Set-Cookie")
	f(hopByHop, "Keep-Alive", "Proxy", "Proxy-Connection", "Proxy-Authorization", "Proxy-Authenticate", "Expect")
	f(connection, "Connection")
	f(upgrade, "Upgrade")
	f(te, "TE")
	f(trailer, "Trailer")
	f(transferEncoding, "Transfer-Encoding")
	f(contentLength, "Content-Length")
	f(host, "Host")
	f(cookie, "Cookie")
	f(forwardedFor, "X-Forwarded-For", "X_Forwarded_For", "X-Forwarded_For")
	f(forwardedProto, "X-Forwarded-Proto")
	f(forwardedHost, "X-Forwarded-Host")
	f(forwardedOther, "X-Forwarded-Port", "X-Forwarded-Prefix", "Forwarded")
	f(requestIDField, "X-Request-Id", "x_request_id")
	f(malformed, "a b", "a\x00", "é")
}

func TestConnectionOptions(t *testing.T) {
	f := func(raw, named string, connUpgrade, websocket bool) {
		t.Helper()
		var b fieldBlock
		b.parse([]byte(raw))
		var got []string
		for i := range b.fields {
			if b.named(&b.fields[i]) {
				got = append(got, string(b.nameOf(&b.fields[i])))
			}
		}
		if strings.Join(got, ",") != named || b.connUpgrade != connUpgrade || b.websocket != websocket {
			t.Errorf("parse %q: named %q upgrade %t websocket %t", raw, got, b.connUpgrade, b.websocket)
		}
	}
	f("Connection: close\r\n", "", false, false)
	f("connection: Keep-Alive, X-One\r\nx-one: 1\r\nX-Two: 2\r\n", "x-one", false, false)
	f("X-One: 1\r\nConnection: ,x-one , x-two\r\nX-Two: 2\r\nConnection: X-Three\r\nX-THREE: 3\r\n", "X-One,X-Two,X-THREE", false, false)
	f("Connection: Upgrade\r\nUpgrade: h2c, WebSocket\r\n", "", true, true)
	f("Connection: close, upgrade\r\nUpgrade: websocket/13\r\n", "", true, false)
}

func TestTooManyOptions(t *testing.T) {
	var b fieldBlock
	b.parse([]byte("Connection: " + strings.Repeat("x,", maxOptions) + "close\r\n"))
	if b.tooManyOptions() {
		t.Errorf("%d options are too many", maxOptions)
	}
	b.parse([]byte("Connection: " + strings.Repeat("x,", maxOptions) + "y\r\n"))
	if !b.tooManyOptions() {
		t.Errorf("%d options are not too many", maxOptions+1)
	}
}

func TestHasToken(t *testing.T) {
	f := func(list string, want bool) {
		t.Helper()
		if got := hasToken([]byte(list), "trailers"); got != want {
			t.Errorf("hasToken(%q) = %t, want %t", list, got, want)
		}
	}
	f("trailers", true)
	f("gzip, Trailers", true)
	f("gzip;q=1,trailers ;q=0.5", true)
	f("trailersx, xtrailers", false)
	f("", false)
	f(",,", false)
}
