package backend

import (
	"bytes"
	"strings"
	"testing"
)

func TestParseRequest(t *testing.T) {
	const upgrade = "GET /ws HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	f := func(in, wantAnswer string, wantSize int) {
		t.Helper()
		r, size, err := parseRequest([]byte(in))
		if err != nil {
			t.Fatalf("%q: %v", in, err)
		}
		if size != wantSize {
			t.Errorf("%q: size %d, want %d", in, size, wantSize)
		}
		if size == 0 {
			return
		}
		if answer := string(appendAnswer(nil, r)); !strings.Contains(answer, wantAnswer) {
			t.Errorf("%q: answer %q has no %q", in, answer, wantAnswer)
		}
	}
	f("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET", "200 OK", 27)
	f("GET / HTTP/1.1\r\nHost: a\r\n", "", 0)
	f("GET / HTTP/1.0\r\n\r\n", "Connection: close", 18)
	f("GET / HTTP/1.1\r\nCONNECTION:  Close \r\n\r\n", "Connection: close", 39)
	f("HEAD / HTTP/1.1\r\n\r\n", "Content-Length: 14\r\n\r\n", 19)
	// The example of RFC 6455, section 1.3, with names in lower case.
	f(upgrade, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n", len(upgrade))
	f("GET / HTTP/1.1\r\nSec-WebSocket-Key: short\r\n\r\n", "200 OK", 44)
}

func TestParseRequestErrors(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		if _, _, err := parseRequest([]byte(in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got %v", want, err)
		}
	}
	f("PUT / HTTP/1.1\r\n\r\n", "GET, HEAD and POST only")
	f("POST / HTTP/1.1\r\n\r\n", "needs a Content-Length")
	f("POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", "needs a Content-Length")
	f("GET /"+strings.Repeat("a", maxHead), "larger than 16 KiB")
}

func FuzzParseRequest(f *testing.F) {
	f.Add([]byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
	f.Add([]byte("GET / HTTP/1.0\r\nConnection: close\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\nx"))
	f.Fuzz(func(t *testing.T, in []byte) {
		r, size, err := parseRequest(in)
		if err != nil || size == 0 {
			return
		}
		if size > len(in) || !bytes.HasSuffix(in[:size], []byte(headerEnd)) {
			t.Fatalf("size %d of %d does not end a header", size, len(in))
		}
		if len(appendAnswer(nil, r)) == 0 {
			t.Fatal("no answer")
		}
	})
}
