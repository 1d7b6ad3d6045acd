package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// Fields of this hop, and those that Connection names, pass neither way; the
// others pass as they were spelt.
func TestHopByHopFields(t *testing.T) {
	t.Parallel()
	p, h := startLinked(t, "")
	client := testkit.DialTCP(t, p.web)
	client.Send(get("/path?q=1",
		"Connection: keep-alive, X-Secret, close-not", "Keep-Alive: timeout=5", "Proxy-Connection: keep-alive", "TE: trailers, deflate",
		"Proxy-Authorization: Basic eDp5", "X-Secret: 1", "x-wEiRd-CaSe: Kept As Is", "Accept-Encoding: br", "User-Agent: a/1", "Cookie: a=b"))
	backend, sent := h.acceptRequest()
	if !strings.HasPrefix(sent, "GET /path?q=1 HTTP/1.1\r\n") {
		t.Errorf("the backend reads %q", sent)
	}
	for _, want := range []string{"\r\nHost: game.example.com\r\n", "\r\nx-wEiRd-CaSe: Kept As Is\r\n", "\r\nAccept-Encoding: br\r\n", "\r\nUser-Agent: a/1\r\n", "\r\nCookie: a=b\r\n"} {
		if strings.Count(sent, want) != 1 {
			t.Errorf("the backend does not read %q once:\n%s", want, sent)
		}
	}
	for _, unwanted := range []string{"X-Secret", "Keep-Alive", "Proxy-Connection", "deflate", "keep-alive"} {
		if strings.Contains(sent, unwanted) {
			t.Errorf("the backend reads %q:\n%s", unwanted, sent)
		}
	}

	backend.Send(head("HTTP/1.1 200 OK", "Content-Length: 2", "Connection: x-internal", "X-Internal: 10.0.0.1", "Keep-Alive: timeout=9",
		"x-oDd: Kept", "Server: game/1", "Set-Cookie: a=1", "Set-Cookie: b=2") + "ok")
	answer := client.ReadUntil("\r\n\r\n", patience)
	for _, want := range []string{"\r\nx-oDd: Kept\r\n", "\r\nServer: game/1\r\n", "\r\nSet-Cookie: a=1\r\n", "\r\nSet-Cookie: b=2\r\n"} {
		if strings.Count(answer, want) != 1 {
			t.Errorf("the client does not read %q once:\n%s", want, answer)
		}
	}
	for _, unwanted := range []string{"Internal", "Keep-Alive", "10.0.0.1"} {
		if strings.Contains(answer, unwanted) {
			t.Errorf("the client reads %q:\n%s", unwanted, answer)
		}
	}
}

// The backend learns who asked for what from fields that strangers cannot set
// and trusted proxies can.
func TestForwardedFields(t *testing.T) {
	t.Parallel()
	f := func(listener string, sent []string, want map[string]string) {
		t.Helper()
		var seen http.Header
		addr := startServer(t, func(_ http.ResponseWriter, r *http.Request) { seen = r.Header.Clone() })
		p := start(t, setup{listener: listener, rest: siteOf([]string{addr})})
		exchange(t, p.web, get("/", sent...))
		for name, value := range want {
			if got := strings.Join(seen.Values(name), "|"); got != value {
				t.Errorf("%s %v: %s is %q, want %q", listener, sent, name, got, value)
			}
		}
		if id := seen.Get("X-Request-Id"); id == "" {
			t.Errorf("%s %v: no X-Request-Id", listener, sent)
		}
	}
	spoofed := []string{"X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https", "X-Forwarded-Host: evil.example",
		"Forwarded: for=203.0.113.9", "X-Real-Ip: 203.0.113.9", "X-Request-Id: spoofed"}
	f("", nil, map[string]string{"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "http", "X-Forwarded-Host": "game.example.com"})
	f("", spoofed, map[string]string{"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "http", "X-Forwarded-Host": "game.example.com", "Forwarded": ""})
	f("trusted_proxies: [10.0.0.0/8]", spoofed, map[string]string{"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "http", "Forwarded": ""})
	f("trusted_proxies: [127.0.0.0/8]", spoofed, map[string]string{"X-Forwarded-For": "203.0.113.9, 127.0.0.1", "X-Forwarded-Proto": "https",
		"X-Forwarded-Host": "evil.example", "X-Request-Id": "spoofed", "Forwarded": "for=203.0.113.9"})
}

// A request that an untrusted client has given an id gets another.
func TestRequestIDs(t *testing.T) {
	t.Parallel()
	seen := make(chan string, 3)
	addr := startServer(t, func(_ http.ResponseWriter, r *http.Request) { seen <- r.Header.Get("X-Request-Id") })
	p := start(t, setup{rest: siteOf([]string{addr})})
	ids := map[string]bool{"spoofed": true}
	for range 3 {
		exchange(t, p.web, get("/", "X-Request-Id: spoofed"))
		id := <-seen
		if ids[id] || len(id) < 16 {
			t.Errorf("the id %q is not a new one", id)
		}
		ids[id] = true
	}
}

// Host, path and query are the client's unless the route says otherwise, and
// the most exact route is taken.
func TestRouting(t *testing.T) {
	t.Parallel()
	addr := startServer(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "%s %s", r.Host, r.RequestURI) })
	other := startServer(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "other %s", r.RequestURI) })
	p := start(t, setup{rest: `
routes:
  - {name: exact, hosts: [game.example.com], path: /, pool: web}
  - {name: longer, hosts: [game.example.com], path: /api/, pool: other}
  - {name: wild, hosts: ["*.example.com"], path: /ws/, strip_prefix: /ws, pool: web}
  - {name: own, hosts: [own.example.org], preserve_host: false, pool: web}
pools:
` + onePool("web", []string{addr}) + onePool("other", []string{other})})
	f := func(host, target string, status int, want string) {
		t.Helper()
		resp, body := exchange(t, p.web, head("GET "+target+" HTTP/1.1", "Host: "+host))
		if resp.StatusCode != status || status == 200 && body != want {
			t.Errorf("%s%s: status %d, %q; want %d, %q", host, target, resp.StatusCode, body, status, want)
		}
	}
	f("game.example.com", "/", 200, "game.example.com /")
	f("GAME.Example.com:8080", "/a/./b?x=../1&x=2", 200, "GAME.Example.com:8080 /a/./b?x=../1&x=2")
	f("game.example.com", "/%7Euser/a%2Fb//c;d?q=%20+", 200, "game.example.com /%7Euser/a%2Fb//c;d?q=%20+")
	f("game.example.com", "/api/v1", 200, "other /api/v1")
	f("game.example.com", "/api", 200, "game.example.com /api")
	f("eu.example.com", "/ws/room/7?a=b", 200, "eu.example.com /room/7?a=b")
	f("eu.example.com", "/other", 404, "")
	f("own.example.org", "/x", 200, addr+" /x")
	f("unknown.example", "/", 404, "")
	f("game.example.com", "http://own.example.org/y", 200, addr+" /y")
	if n := p.metric("holdfast_requests_total", `route="longer"`, `code="2xx"`); n != 1 {
		t.Errorf("route longer has %v requests, want 1", n)
	}
}

// Connections are kept to both sides.
func TestKeepAlive(t *testing.T) {
	t.Parallel()
	b := testkit.StartBackend(t, nil)
	p := start(t, setup{rest: siteOf([]string{b.Addr})})
	c := testkit.DialTCP(t, p.web)
	for i := range 20 {
		c.Send(get(fmt.Sprintf("/%d", i)))
		resp := c.ReadResponse(patience)
		if body, err := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK || string(body) != "ok" {
			t.Fatalf("request %d: status %d, %q, %v", i, resp.StatusCode, body, err)
		}
	}
	if n := b.Accepted(); n != 1 {
		t.Errorf("20 requests took %d connections to the backend, want 1", n)
	}
	// Two at once are answered in turn.
	c.Send(get("/a") + get("/b"))
	for range 2 {
		resp := c.ReadResponse(patience)
		_, _ = io.Copy(io.Discard, resp.Body)
		if resp.StatusCode != http.StatusOK {
			t.Errorf("pipelined: status %d", resp.StatusCode)
		}
	}
	// A backend that has closed the idle connection meanwhile costs nothing.
	b.DropConns(false)
	awaitEnds(t, b.Addr)
	c.Send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello")
	if resp := c.ReadResponse(patience); resp.StatusCode != http.StatusOK {
		t.Errorf("after the backend dropped its connections: status %d, want 200", resp.StatusCode)
	}
	// A client that asks for the end gets it.
	d := testkit.DialTCP(t, p.web)
	d.Send(get("/", "Connection: close"))
	if answer := d.ReadAll(patience); !strings.Contains(answer, "\r\nConnection: close\r\n") {
		t.Errorf("the answer does not say that it is the last:\n%s", answer)
	}
	// One that speaks HTTP/1.0 too.
	e := testkit.DialTCP(t, p.web)
	e.Send("GET / HTTP/1.0\r\n\r\n")
	if answer := e.ReadAll(patience); !strings.Contains(answer, " 200 ") || !strings.HasSuffix(answer, "ok") {
		t.Errorf("HTTP/1.0 is answered %q", answer)
	}
}

// awaitEnds waits until all connections with a server that has closed them have
// their ends, where the system tells: what was forked in that moment may have
// kept them for one more.
func awaitEnds(t testing.TB, addr string) {
	t.Helper()
	_, port, _ := net.SplitHostPort(addr)
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	open := regexp.MustCompile(fmt.Sprintf(`(?m)^ *\d+: (\S+:%04X \S+|\S+ \S+:%04[1]X) 01 `, n)) // either side's; established
	testkit.Eventually(t, patience, func() bool {
		table, err := os.ReadFile("/proc/net/tcp")
		return err != nil || !open.Match(table)
	}, "the connections with "+addr+" are no longer open")
}

// Answers without a body have none, and say of it what the backend said.
func TestAnswersWithoutBody(t *testing.T) {
	t.Parallel()
	p, h := startLinked(t, "")
	f := func(method, answer string, status int, length string) {
		t.Helper()
		client := testkit.DialTCP(t, p.web)
		client.Send(method + " / HTTP/1.1\r\nHost: game.example.com\r\n\r\n")
		backend, _ := h.acceptRequest()
		backend.Send(answer)
		got := client.ReadUntil("\r\n\r\n", patience)
		resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader(got)), &http.Request{Method: method})
		if err != nil || resp.StatusCode != status || resp.Header.Get("Content-Length") != length {
			t.Errorf("%s answered with %q: the client reads %q, %v", method, answer, got, err)
		}
		// The connection is where the next answer begins.
		client.Send(get("/next"))
		if request := backend.ReadUntil("\r\n\r\n", patience); !strings.HasPrefix(request, "GET /next ") {
			t.Errorf("%s answered with %q: the backend's connection goes on with %q", method, answer, request)
		}
		backend.Send(head("HTTP/1.1 200 OK", "Content-Length: 4") + "next")
		resp = client.ReadResponse(patience)
		if body, _ := io.ReadAll(resp.Body); string(body) != "next" {
			t.Errorf("%s answered with %q: the next answer is %q", method, answer, body)
		}
		backend.Close()
		client.Close()
	}
	f("HEAD", head("HTTP/1.1 200 OK", "Content-Length: 12345"), 200, "12345")
	f("HEAD", head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked"), 200, "")
	f("HEAD", head("HTTP/1.1 404 Not Found", "Content-Length: 9"), 404, "9")
	f("GET", head("HTTP/1.1 204 No Content"), 204, "")
	f("GET", head("HTTP/1.1 304 Not Modified", `ETag: "x"`), 304, "")
	f("GET", head("HTTP/1.1 304 Not Modified", "Content-Length: 777"), 304, "777")
	f("GET", head("HTTP/1.1 200 OK", "Content-Length: 0"), 200, "0")
	f("DELETE", head("HTTP/1.1 200 OK", "Content-Length: 0"), 200, "0")
}

// Server-sent events reach the client when they are produced: each is awaited
// before the next is sent.
func TestServerSentEvents(t *testing.T) {
	t.Parallel()
	next := make(chan struct{})
	addr := startServer(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.WriteHeader(http.StatusOK)
		flush := http.NewResponseController(w).Flush
		_ = flush()
		for i := 0; ; i++ {
			if _, more := <-next; !more {
				return
			}
			fmt.Fprintf(w, "data: %d\n\n", i)
			_ = flush()
		}
	})
	p := start(t, setup{rest: siteOf([]string{addr})})
	resp, err := newClient(t).Get("http://" + p.web)
	if err != nil { // the header comes before the first event
		t.Fatal(err)
	}
	defer resp.Body.Close()
	events := bufio.NewReader(resp.Body)
	for i := range 10 {
		next <- struct{}{}
		line, err := events.ReadString('\n')
		if want := fmt.Sprintf("data: %d\n", i); err != nil || line != want {
			t.Fatalf("read %q, %v; want %q", line, err, want)
		}
		_, _ = events.ReadString('\n')
	}
	close(next)
	if rest, err := io.ReadAll(events); err != nil || len(rest) != 0 {
		t.Errorf("the stream ends with %q, %v", rest, err)
	}
}

// Chunks travel when they are sent, both ways at once, with their trailers.
func TestChunksBothWays(t *testing.T) {
	t.Parallel()
	addr := startServer(t, func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		_ = control.EnableFullDuplex()
		w.Header().Set("Trailer", "X-Sum")
		w.WriteHeader(http.StatusOK)
		_ = control.Flush()
		lines := bufio.NewScanner(r.Body)
		n := 0
		for ; lines.Scan(); n++ {
			fmt.Fprintf(w, "%s!\n", lines.Text())
			_ = control.Flush()
		}
		w.Header().Set("X-Sum", fmt.Sprintf("%d %s", n, r.Trailer.Get("X-Check")))
	})
	p := start(t, setup{rest: siteOf([]string{addr})})
	body, feed := io.Pipe()
	req := request(t, "POST", "http://"+p.web, body)
	req.Trailer = http.Header{"X-Check": nil}
	resp, err := newClient(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answers := bufio.NewReader(resp.Body)
	for i := range 10 {
		fmt.Fprintf(feed, "line %d\n", i)
		line, err := answers.ReadString('\n')
		if want := fmt.Sprintf("line %d!\n", i); err != nil || line != want {
			t.Fatalf("read %q, %v; want %q", line, err, want)
		}
	}
	req.Trailer.Set("X-Check", "fine")
	feed.Close()
	if rest, err := io.ReadAll(answers); err != nil || len(rest) != 0 {
		t.Errorf("the answer ends with %q, %v", rest, err)
	}
	if got := resp.Trailer.Get("X-Sum"); got != "10 fine" {
		t.Errorf("the trailer is %q, want \"10 fine\"", got)
	}
}

// A client that waits for 100 Continue gets it before its body is asked for,
// and the backend gets the body.
func TestContinue(t *testing.T) {
	t.Parallel()
	addr := startServer(t, func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n)
	})
	p := start(t, setup{rest: siteOf([]string{addr})})
	var continued atomic.Int32
	trace := &httptrace.ClientTrace{
		Got100Continue: func() { continued.Add(1) },
		Got1xxResponse: func(int, textproto.MIMEHeader) error { return nil },
	}
	transport := &http.Transport{ExpectContinueTimeout: patience}
	defer transport.CloseIdleConnections()
	for _, size := range []int{10, 1 << 20} {
		req := request(t, "PUT", "http://"+p.web, strings.NewReader(strings.Repeat("x", size)), "Expect: 100-continue")
		resp, body := fetch(t, &http.Client{Transport: transport}, req.WithContext(httptrace.WithClientTrace(req.Context(), trace)))
		if resp.StatusCode != http.StatusOK || body != fmt.Sprint(size) {
			t.Errorf("%d bytes: status %d, %q", size, resp.StatusCode, body)
		}
	}
	if n := continued.Load(); n != 2 {
		t.Errorf("100 Continue came %d times, want 2", n)
	}
}

// An answer that breaks off is not made to look whole.
func TestAnswerBreaksOff(t *testing.T) {
	t.Parallel()
	p, h := startLinked(t, "timeouts: {body: 1s}")
	f := func(answer string, hangup bool) {
		t.Helper()
		client := testkit.DialTCP(t, p.web)
		client.Send(get("/"))
		backend, _ := h.acceptRequest()
		backend.Send(answer)
		if hangup {
			backend.Close()
		}
		resp := client.ReadResponse(patience)
		began := time.Now()
		if body, err := io.ReadAll(resp.Body); err == nil {
			t.Errorf("answer %q is read as a whole %q", answer, body)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("answer %q is given up after %v", answer, took)
		}
	}
	f(head("HTTP/1.1 200 OK", "Content-Length: 100")+"half", true)
	f(head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked")+"4\r\nhalf\r\n", true)
	f(head("HTTP/1.1 200 OK", "Content-Length: 100")+"half", false)
	f(head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked")+"4\r\nhalf\r\n", false)
	p.awaitIdle("web")
	// One whose end is the connection's is whole.
	client := testkit.DialTCP(t, p.web)
	client.Send(get("/"))
	backend, _ := h.acceptRequest()
	backend.Send(head("HTTP/1.1 200 OK") + "all of it")
	backend.Close()
	resp := client.ReadResponse(patience)
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "all of it" {
		t.Errorf("an answer up to the connection's end: %q, %v", body, err)
	}
}
