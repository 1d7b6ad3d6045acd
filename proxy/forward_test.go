package proxy

import (
	"bufio"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// scripted serves one answer after the other, each once a request's header has
// come, and sends what it read to the channel. A nil channel drops that. The
// last answer is repeated.
func scripted(t testing.TB, seen chan<- string, answers ...string) (addr string) {
	t.Helper()
	var next atomic.Int64
	return testkit.ServeTCP(t, func(c *net.TCPConn) {
		r := bufio.NewReader(c)
		for {
			var head strings.Builder
			for !strings.HasSuffix(head.String(), "\r\n\r\n") {
				line, err := r.ReadString('\n')
				if err != nil {
					return
				}
				head.WriteString(line)
			}
			if seen != nil {
				seen <- head.String()
			}
			n := int(next.Add(1)) - 1
			if _, err := c.Write([]byte(answers[min(n, len(answers)-1)])); err != nil {
				return
			}
		}
	})
}

// unID replaces the value of X-Request-Id, which is random.
func unID(s string) string {
	before, after, found := strings.Cut(s, "X-Request-Id: ")
	if !found || len(after) < 32 {
		return s
	}
	return before + "X-Request-Id: ID" + after[32:]
}

func TestForwardsBytesAsSent(t *testing.T) {
	seen := make(chan string, 1)
	addr := scripted(t, seen, "HTTP/1.1 234 Very Fine\r\nx-LOWER: a  b\r\nContent-Length: 5\r\nDate: yesterday\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n\r\nhello")
	r := start(t, configOf(addr))
	c := testkit.DialTCP(t, r.addr)
	for range 3 { // on one connection
		c.Send("GET /a//b/%2E/%7e?q=%20+&&x HTTP/1.1\r\nhoST: Pub.Example:80\r\nuser-AGENT: me\r\nx-a: 1\r\nConnection: keep-alive, x-b\r\nX-B: 2\r\nUpgrade: h2c\r\nCookie: b=2; a=1\r\n\r\n")
		want := "GET /a//b/%2E/%7e?q=%20+&&x HTTP/1.1\r\nhoST: Pub.Example:80\r\nuser-AGENT: me\r\nx-a: 1\r\nCookie: b=2; a=1\r\n" +
			"X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: Pub.Example:80\r\nX-Request-Id: ID\r\n\r\n"
		if got := unID(<-seen); got != want {
			t.Errorf("backend got\n%q\nwant\n%q", got, want)
		}
		want = "HTTP/1.1 234 Very Fine\r\nContent-Length: 5\r\nx-LOWER: a  b\r\nDate: yesterday\r\n\r\nhello"
		if got := string(c.ReadN(len(want), patience)); got != want {
			t.Errorf("client got\n%q\nwant\n%q", got, want)
		}
	}
	r.expectIdle(t, addr)
}

func TestForwardsToBackendsAuthority(t *testing.T) {
	seen := make(chan string, 1)
	addr := scripted(t, seen, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	cfg := configOf(addr)
	cfg.Routes[0].PreserveHost = false
	cfg.Routes[0].StripPrefix = "/ws/"
	cfg.Listeners[0].TrustedProxies = []string{"127.0.0.0/8"}
	r := start(t, cfg)
	r.exchange(t, "GET http://pub.example/ws/x?y HTTP/1.1\r\nHost: ignored\r\nX-Request-Id: mine\r\nX-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Proto: https\r\nConnection: close\r\n\r\n")
	want := "GET /x?y HTTP/1.1\r\nX-Forwarded-Proto: https\r\nHost: " + addr + "\r\nX-Forwarded-For: 1.1.1.1, 127.0.0.1\r\nX-Forwarded-Host: pub.example\r\nX-Request-Id: mine\r\n\r\n"
	if got := <-seen; got != want {
		t.Errorf("backend got\n%q\nwant\n%q", got, want)
	}
}

// TestAnswerFraming gives the whole bytes a client reads for an answer.
func TestAnswerFraming(t *testing.T) {
	const (
		get  = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
		head = "HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
		old  = "GET / HTTP/1.0\r\nHost: a\r\n\r\n"
	)
	f := func(name, request, answer, want string) {
		t.Helper()
		r := start(t, configOf(testkit.ServeTCP(t, func(c *net.TCPConn) {
			if _, err := bufio.NewReader(c).ReadString('\n'); err == nil {
				_, _ = c.Write([]byte(answer))
			}
		})))
		if got := r.exchange(t, request); got != want {
			t.Errorf("%s:\n%q\nwant\n%q", name, got, want)
		}
	}
	f("known length", get, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc")
	f("length 0", get, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
	f("chunked", get, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
	f("chunked with trailers", get, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-sum\r\n\r\n1\r\na\r\n0\r\nX-sum: 1\r\nunannounced: 2\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-sum\r\nConnection: close\r\n\r\n1\r\na\r\n0\r\nX-sum: 1\r\nunannounced: 2\r\n\r\n")
	f("until the connection ends", get, "HTTP/1.1 200 OK\r\n\r\nabc", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
	f("HTTP/1.0 backend", get, "HTTP/1.0 200 OK\r\n\r\nabc", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
	f("HEAD", head, "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 99\r\nConnection: close\r\n\r\n")
	f("HEAD, chunked", head, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
	f("HEAD, nothing said", head, "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
	f("204", get, "HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
	f("304", get, "HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\nETag: x\r\n\r\n", "HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\nETag: x\r\nConnection: close\r\n\r\n")
	f("interim answers", get, "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\na")
	f("HTTP/1.0 client, known length", old, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc")
	f("HTTP/1.0 client, chunked", old, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabcde")
	f("HTTP/1.0 client, until the end", old, "HTTP/1.1 200 OK\r\n\r\nabc", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc")
	f("length too short", get, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nabc")
	f("chunks cut", get, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n")
	f("chunks malformed", get, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n\r\n0\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n")
}

// An answer of our own to a HEAD has no body, also while the request's body is
// still coming.
func TestRefusedHEADHasNoBody(t *testing.T) {
	const broken = "HTTP/1.1 broken\r\n\r\n"
	for name, rest := range map[string]string{
		"no body":           "\r\n",
		"a body that comes": "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
	} {
		r := start(t, configOf(behaving(t, says(broken))))
		got := r.exchange(t, "HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"+rest)
		head, body, _ := strings.Cut(got, "\r\n\r\n")
		if !strings.HasPrefix(head, "HTTP/1.1 502 ") || !strings.Contains(head, "\r\nContent-Length: ") || body != "" {
			t.Errorf("%s: got %q", name, got)
		}
	}
}

func TestHTTP10KeepAlive(t *testing.T) {
	r := start(t, configOf(scripted(t, nil, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nDate: today\r\n\r\na")))
	c := testkit.DialTCP(t, r.addr)
	for range 2 {
		c.Send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
		want := "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nDate: today\r\nConnection: keep-alive\r\n\r\na"
		if got := string(c.ReadN(len(want), patience)); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestPipelined(t *testing.T) {
	addr := scripted(t, nil, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nb\r\n0\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nc")
	r := start(t, configOf(addr))
	const get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	got := r.exchange(t, get+get+"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	want := "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na" +
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nb\r\n0\r\n\r\n" +
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nc"
	if got != want {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
	r.expectIdle(t, addr)
}

func TestReusesConnections(t *testing.T) {
	b := testkit.StartBackend(t, nil)
	r := start(t, configOf(b.Addr))
	for range 20 {
		if got := r.exchange(t, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"); !strings.HasSuffix(got, "\r\n\r\nok") {
			t.Fatalf("got %q", got)
		}
	}
	if n := b.Accepted(); n != 1 {
		t.Errorf("%d connections for 20 requests in a row, want 1", n)
	}
}
