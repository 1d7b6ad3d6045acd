package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

const stopSignal = syscall.SIGTERM

// newClient returns an HTTP client that follows no redirect and asks for no
// compression. The test's end closes its connections.
func newClient(t testing.TB) *http.Client {
	transport := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 8}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Transport:     transport,
		Timeout:       10 * patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// fetch returns a response and its body.
func fetch(t testing.TB, client *http.Client, req *http.Request) (*http.Response, string) {
	t.Helper()
	resp, err := client.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", req.Method, req.URL, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: read body: %v", req.Method, req.URL, err)
	}
	return resp, string(body)
}

// request makes a request with header lines such as "X-A: b".
func request(t testing.TB, method, url string, body io.Reader, lines ...string) *http.Request {
	t.Helper()
	req, err := http.NewRequest(method, url, body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		if name == "Host" {
			req.Host = value
			continue
		}
		req.Header.Add(name, value)
	}
	return req
}

// startServer starts a server of net/http and returns its address. The test's
// end stops it.
func startServer(t testing.TB, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// exchange sends a request byte by byte as written and returns the answer's
// header and body.
func exchange(t testing.TB, addr, raw string) (*http.Response, string) {
	t.Helper()
	c := testkit.DialTCP(t, addr)
	c.Send(raw)
	resp := c.ReadResponse(patience)
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("read body of the answer to %q: %v", raw, err)
	}
	return resp, string(body)
}

// lines joins header lines into a request or response head.
func head(lines ...string) string { return strings.Join(lines, "\r\n") + "\r\n\r\n" }

// get is the head of a GET.
func get(path string, lines ...string) string {
	return head(append([]string{fmt.Sprintf("GET %s HTTP/1.1", path), "Host: game.example.com"}, lines...)...)
}

// dialUnix connects to a Unix socket. The test's end closes it.
func dialUnix(t testing.TB, path string) net.Conn {
	t.Helper()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}
