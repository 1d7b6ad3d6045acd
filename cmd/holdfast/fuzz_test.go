package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// startApp runs a whole Holdfast by the lines of a configuration, behind the
// Unix socket whose path it returns, until the test's end.
func startApp(t testing.TB, rest string) (address string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "holdfast") // short, for a Unix socket's name
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	address = filepath.Join(dir, "s")
	text := fmt.Sprintf("admin: {address: \"\"}\nlog: {access: off, format: text}\nlisteners: [{name: web, address: \"unix:%s\", timeouts: {header: 2s, body: 2s, idle: 2s}}]\n%s", address, rest)
	cfg, _, err := config.Parse([]byte(text), "yaml", filepath.Join(dir, "holdfast.yaml"), config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	log, err := newJournal(config.Log{Level: "error", Format: "text", File: filepath.Join(dir, "log")})
	if err != nil {
		t.Fatal(err)
	}
	a, err := newApp(log, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		a.stop(5 * time.Second)
		closeLog(log.w)
	})
	if err := a.apply(cfg); err != nil {
		t.Fatal(err)
	}
	return address
}

// FuzzClient: whatever a client sends, backends read requests that every parser
// reads alike; the client reads whole answers, of the backend no more than it has
// read requests, and then the end.
func FuzzClient(f *testing.F) {
	const (
		second  = "GET /second HTTP/1.1\r\nHost: a\r\n\r\n"
		posting = "POST / HTTP/1.1\r\nHost: a\r\n"
		chunked = posting + "Transfer-Encoding: chunked\r\n\r\n"
	)
	for _, s := range []string{
		second + second, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + second, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n" + second,
		posting + "Content-Length: 5\r\n\r\nhello" + second, posting + "Content-Length: 005\r\nExpect: 100-continue\r\n\r\nhello" + second,
		posting + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!" + second, posting + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + second,
		chunked + "5\r\nhello\r\n0\r\n\r\n" + second, chunked + "5;a=\"b\r\n\"\r\nhello\r\n0\r\nX: y\r\n\r\n" + second, chunked + "00005\nhello\n0\n\n" + second,
		chunked + "ffffffffffffffff\r\nhello\r\n0\r\n\r\n", chunked + "5\r\nhello0\r\n\r\n" + second, chunked + "0\r\nContent-Length: 5\r\n\r\n" + second,
		posting + "Transfer-Encoding: xchunked\r\n\r\n" + second, posting + "Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n" + second, posting + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
		posting + "X: y\r\n Content-Length: 5\r\n\r\n" + second, posting + "Connection: Content-Length, close, x\r\nX: y\r\nContent-Length: 5\r\n\r\nhello",
		"GET http://b/x HTTP/1.1\r\nHost: b\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "GET /%2e%2e//a\\b;c?d#e HTTP/1.1\r\nHost: a:80\r\n\r\n", "\r\nGET / HTTP/1.1\nHost: [::1]:8\n\n",
		"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n", "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nSec-WebSocket- x: y\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nX@y(z): w\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\"X\": y\r\n\r\n",
		testkit.HandshakeRequest("a", "/ws") + "\x81\x85\x00\x00\x00\x00hello", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET /\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nCookie: a=b; c\r\nForwarded: for=x\r\nX_Forwarded_For: y\r\nTE: trailers\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	backend := testkit.StartRecorder(f)
	address := startApp(f, "routes: [{name: all, path: /, pool: game}]\npools: {game: {backends: [{url: \"http://"+backend.Addr+"\"}]}}\n")
	f.Fuzz(func(t *testing.T, sent []byte) {
		backend.Reset()
		c, err := net.Dial("unix", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		go func() {
			_, _ = c.Write(sent) // what is refused need not be taken to its end
			_ = c.(*net.UnixConn).CloseWrite()
		}()
		got, err := io.ReadAll(c)
		if err != nil && os.IsTimeout(err) {
			t.Fatalf("%q: no end behind %q", sent, got)
		}
		seen := backend.Seen()
		for _, s := range seen {
			if s.Flaw != "" {
				t.Errorf("%q: the backend reads what others may read otherwise: %s", sent, s.Flaw)
			}
		}
		answered := 0
		for r := bufio.NewReader(bytes.NewReader(got)); ; {
			if _, err := r.Peek(1); err != nil {
				break
			}
			method := "GET"
			if answered < len(seen) {
				method, _, _ = strings.Cut(seen[answered].Line, " ")
			}
			resp, err := http.ReadResponse(r, &http.Request{Method: method})
			if err != nil {
				t.Fatalf("%q: the client reads %q: %v", sent, got, err)
			}
			body, err := io.ReadAll(resp.Body)
			if answered >= len(seen) && bytes.Contains(sent, []byte("HEAD ")) {
				err = nil // Holdfast's own answer to that has no body
			}
			switch {
			case err != nil:
				t.Fatalf("%q: the client reads %q: %v", sent, got, err)
			case resp.StatusCode == http.StatusContinue:
			case resp.StatusCode == http.StatusOK && (string(body) == "ok" || method == http.MethodHead):
				answered++
			}
		}
		if answered > len(seen) {
			t.Errorf("%q: %d answers to %d requests: %q", sent, answered, len(seen), got)
		}
	})
}
