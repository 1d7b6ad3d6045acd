package e2e

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// hostileCase is a backend that plays for time, or plays foul below HTTP, and
// what its client gets. What is wrong with bytes alone is in answerCases.
type hostileCase struct {
	name    string
	why     string // what comes of it is right
	request string // empty: a GET
	serve   func(*net.TCPConn)
	tls     bool   // as the configuration has it
	want    string // see answerOutcome
	meets   string // the timeout that is to be met: response, connect or body; empty: none
}

const (
	hostileWait = 700 * time.Millisecond // where a timeout is to be met
	hostileStep = 60 * time.Millisecond  // between two pieces
)

// asksSocket, as a hostileCase's request, is a handshake.
const asksSocket = "socket"

// hostileCases are the cases, of which the last need TLS by that configuration.
func hostileCases(server *tls.Config) []hostileCase {
	const head = "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n"
	large := posts(fmt.Sprintf("Content-Length: %d", 16<<20)) + strings.Repeat("x", 16<<20)
	all := []hostileCase{
		{name: "an interim answer now and then", why: "timeouts.response is of the final answer", want: "504, whole", meets: "response",
			serve: replies("", "HTTP/1.1 102 x\r\n\r\n")},
		{name: "an interim answer letter by letter", why: "and of all of its header", want: "504, whole", meets: "response",
			serve: replies("", letters(strings.Repeat("HTTP/1.1 102 x\r\n\r\n", 4))...)},
		{name: "a header letter by letter", why: "as well", want: "504, whole", meets: "response",
			serve: replies("HTTP/1.1 200 OK\r\nX: ", letters(strings.Repeat("x", 100))...)},
		{name: "interim answers at once, and a header letter by letter", why: "together", want: "504, whole", meets: "response",
			serve: replies(strings.Repeat("HTTP/1.1 102 x\r\n\r\n", 9)+"HTTP/1.1 200 OK\r\nX: ", letters(strings.Repeat("x", 100))...)},
		{name: "a header letter by letter to an upload", why: "as soon as the request has ended", want: "504, whole", meets: "response", request: posts("Content-Length: 5") + "hello",
			serve: replies("HTTP/1.1 200 OK\r\nX: ", letters(strings.Repeat("x", 100))...)},
		{name: "a body letter by letter", why: "timeouts.body is of each piece: events are sent so", want: whole,
			serve: replies(head, letters(strings.Repeat("x", 20))...)},
		{name: "a body letter by letter, and then nothing", why: "timeouts.body", want: short, meets: "body",
			serve: replies(head, letters(strings.Repeat("x", 10))...)},
		{name: "an answer before the request", why: "this connection is nobody else's", want: whole,
			serve: func(c *net.TCPConn) { _, _ = io.WriteString(c, fine); stay(c) }},
		{name: "an answer before the body, which it reads", why: "RFC 9112, section 9.3: the client may stop; what it has sent is nobody's request", want: "413, whole", request: large,
			serve: replies("HTTP/1.1 413 x\r\nContent-Length: 2\r\n\r\nno")},
		{name: "an answer before the body, which it does not read", why: "the same", want: "413, whole", request: large,
			serve: func(c *net.TCPConn) {
				_, _ = c.Read(make([]byte, 1))
				_, _ = io.WriteString(c, "HTTP/1.1 413 x\r\nContent-Length: 2\r\n\r\nno")
				time.Sleep(2 * hostileWait)
			}},
		{name: "an upload that it does not read", why: "timeouts.response is of each piece", want: "504, whole", meets: "response", request: large,
			serve: func(c *net.TCPConn) { time.Sleep(5 * hostileWait) }},
		{name: "an upload that it reads byte by byte", why: "a piece is 32 KiB", want: "504, whole", meets: "response", request: large,
			serve: func(c *net.TCPConn) {
				_ = c.SetReadBuffer(4 << 10)
				for b := make([]byte, 1); ; time.Sleep(hostileStep) {
					if _, err := c.Read(b); err != nil {
						return
					}
				}
			}},
		{name: "nothing of a handshake's answer but interim ones", why: "timeouts.response", want: "504, whole", meets: "response", request: asksSocket,
			serve: replies("", "HTTP/1.1 102 x\r\n\r\n")},
		{name: "a handshake's answer letter by letter", why: "timeouts.response", want: "504, whole", meets: "response", request: asksSocket,
			serve: replies("HTTP/1.1 101 Switching Protocols\r\nX: ", letters(strings.Repeat("x", 100))...)},
		{name: "interim answers to a handshake without end", why: "32 KiB at most", want: is502, request: asksSocket,
			serve: replies("", slices.Repeat([]string{strings.Repeat("HTTP/1.1 102 x\r\n\r\n", 500)}, 20)...)},
		{name: "a refusal's body letter by letter", why: "as any body", want: "403, whole", request: asksSocket,
			serve: replies("HTTP/1.1 403 x\r\nContent-Length: 20\r\n\r\n", letters(strings.Repeat("x", 20))...)},
		{name: "a refusal's body letter by letter, and then nothing", why: "as any body", want: "403, cut short", meets: "body", request: asksSocket,
			serve: replies("HTTP/1.1 403 x\r\nContent-Length: 20\r\n\r\n", letters(strings.Repeat("x", 10))...)},
	}
	overTLS := func(name, why, want string, f func(tcp *net.TCPConn, c *tls.Conn)) {
		all = append(all, hostileCase{name: name, why: why, want: want, tls: true, serve: func(tcp *net.TCPConn) {
			if c := tls.Server(tcp, server); c.Handshake() == nil {
				_, _ = http.ReadRequest(bufio.NewReader(c))
				f(tcp, c)
			}
		}})
	}
	below := func(name, why, want, meets string, serve func(*net.TCPConn)) {
		for _, request := range []string{"", asksSocket} {
			all = append(all, hostileCase{name: name, why: why, want: want, meets: meets, tls: true, serve: serve, request: request})
		}
	}
	below("silence in place of TLS", "timeouts.connect is of TLS, too", "504, whole", "connect", stay)
	below("garbage in place of TLS", "no TLS", is502, "", replies(strings.Repeat("\x16\x03\x01\xff\xff", 4<<10)))
	below("HTTP in place of TLS", "no TLS", is502, "", replies("HTTP/1.1 400 x\r\nContent-Length: 2\r\n\r\nno"))
	below("an end in place of TLS", "no TLS", is502, "", func(c *net.TCPConn) { _, _ = c.Read(make([]byte, 1)) })
	below("a TLS record's head, and then nothing", "timeouts.connect", "504, whole", "connect", replies("\x16\x03\x03\x40\x00"))

	overTLS("a body up to the end, which TLS tells of", "it is whole", whole, func(_ *net.TCPConn, c *tls.Conn) {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\nhello")
		_ = c.Close()
	})
	overTLS("a body up to an end that TLS does not tell of", "RFC 9112, section 9.8: somebody else may have cut it off", short, func(_ *net.TCPConn, c *tls.Conn) {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\nhello")
	})
	overTLS("a body of known length, and an end that TLS does not tell of", "it is whole by its length", whole, func(_ *net.TCPConn, c *tls.Conn) {
		_, _ = io.WriteString(c, fine)
	})
	overTLS("half a record", "cut short", short, func(tcp *net.TCPConn, c *tls.Conn) {
		_, _ = io.WriteString(c, head+"0123456789")
		_, _ = io.WriteString(tcp, "\x17\x03\x03\x00\x40half")
	})
	overTLS("a forged record", "cut short", short, func(tcp *net.TCPConn, c *tls.Conn) {
		_, _ = io.WriteString(c, head+"0123456789")
		_, _ = io.WriteString(tcp, "\x17\x03\x03\x00\x20"+strings.Repeat("x", 32))
		stay(tcp)
	})
	updates := func(name, why, want string, f func(*testkit.Updater)) {
		all = append(all, hostileCase{name: name, why: why, want: want, tls: true, serve: func(tcp *net.TCPConn) {
			if u, c, err := testkit.NewUpdater(tcp, server); err == nil {
				_, _ = http.ReadRequest(bufio.NewReader(c))
				f(u)
				stay(tcp)
			}
		}})
	}
	updates("key updates without end", "16 in a row", is502, func(u *testkit.Updater) {
		for range 100_000 {
			if u.Update(1) != nil {
				return
			}
		}
	})
	updates("key updates, and an answer", "as RFC 8446 has it", whole, func(u *testkit.Updater) {
		for range 10 {
			_ = u.Update(0)
		}
		_, _ = io.WriteString(u, fine)
	})
	updates("a key update behind each byte", "there is data between them", whole, func(u *testkit.Updater) {
		_, _ = io.WriteString(u, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
		for range 1000 {
			_, _ = io.WriteString(u, "x")
			_ = u.Update(1)
		}
	})
	return all
}

// letters are the pieces of s.
func letters(s string) []string { return strings.Split(s, "") }

// replies says first as soon as a request has come, and then one piece after
// the other, without end if it is one piece; and stays.
func replies(first string, pieces ...string) func(*net.TCPConn) {
	return func(c *net.TCPConn) {
		_, err := c.Read(make([]byte, 4096))
		if err == nil {
			_, err = io.WriteString(c, first)
		}
		for i := 0; err == nil && len(pieces) > 0 && (i < len(pieces) || len(pieces) == 1); i++ {
			time.Sleep(hostileStep)
			_, err = io.WriteString(c, pieces[i%len(pieces)])
		}
		stay(c)
	}
}

// stay reads until the other side ends.
func stay(c *net.TCPConn) { _, _ = io.Copy(io.Discard, c) }

// TestHostileBackends has each backend of hostileCases answer, all at once. What
// they take is given back.
func TestHostileBackends(t *testing.T) {
	t.Parallel()
	a := testkit.NewAuthority(t)
	ca := testkit.WriteFile(t, t.TempDir(), "ca.pem", a.PEM())
	cases := hostileCases(&tls.Config{Certificates: []tls.Certificate{a.Issue("127.0.0.1")}})
	routes, pools := "routes:\n", "pools:\n"
	for i, c := range cases {
		// Where none is to be met, a busy machine has all the time that it needs.
		times := "{response: 15s, connect: 15s, body: 15s}"
		if c.meets != "" {
			times = strings.Replace(times, c.meets+": 15s", fmt.Sprintf("%s: %v", c.meets, hostileWait), 1)
		}
		routes += fmt.Sprintf("  - {path: /%d, pool: p%d, retries: 0, timeouts: %s}\n", i, i, times)
		addr := testkit.ServeTCP(t, c.serve)
		if c.tls {
			pools += fmt.Sprintf("  p%d: {backends: [{url: \"https://%s\"}], backend_tls: {ca: %q}}\n", i, addr, ca)
		} else {
			pools += fmt.Sprintf("  p%d: {backends: [{url: \"http://%s\"}]}\n", i, addr)
		}
	}
	p := start(t, setup{rest: routes + pools})
	var all sync.WaitGroup
	for i, c := range cases {
		path := fmt.Sprintf("/%d", i)
		request := get(path)
		switch {
		case c.request == asksSocket:
			request = testkit.HandshakeRequest("a", path)
		case c.request != "":
			request = strings.Replace(c.request, " / ", " "+path+" ", 1)
		}
		all.Go(func() {
			if got := answerOutcome(converse(t, p.web, request, patience), false); got != c.want {
				t.Errorf("%s: %s, want %s: %s", c.name, got, c.want, c.why)
			}
		})
	}
	all.Wait()
	testkit.Eventually(t, patience, func() bool { return p.metric("holdfast_backend_active") == 0 }, "nothing is under way")
	t.Logf("%d cases", len(cases))
}

// What a backend's 101 says of subprotocols and extensions is between it and the
// client, who alone knows what it has asked for and must fail the socket by
// itself (RFC 6455, section 4.1). What is of the connection is Holdfast's.
func TestSwitchingIsBelieved(t *testing.T) {
	t.Parallel()
	p, h := startLinked(t, "retries: 0, timeouts: {response: 15s}")
	f := func(status int, want string, lines ...string) {
		t.Helper()
		client := testkit.DialTCP(t, p.web)
		client.Send(testkit.HandshakeRequest(p.web, "/"))
		backend := h.accept()
		backend.Send(testkit.SwitchingProtocols(readRequest(t, backend), lines...))
		resp := client.ReadResponse(patience)
		if got := strings.Join(resp.Header.Values("Sec-WebSocket-Protocol"), "|") + strings.Join(resp.Header.Values("Sec-WebSocket-Extensions"), "|"); resp.StatusCode != status || got != want {
			t.Errorf("%q: %d %q, want %d %q", lines, resp.StatusCode, got, status, want)
		}
		for _, name := range []string{"Content-Length", "Transfer-Encoding", "Keep-Alive"} {
			if status == http.StatusSwitchingProtocols && resp.Header.Get(name) != "" {
				t.Errorf("%q: the client reads %s: %s", lines, name, resp.Header.Get(name))
			}
		}
		client.Close()
		backend.Close()
	}
	f(101, "chat", "Sec-WebSocket-Protocol: chat")
	f(101, "chat|game", "Sec-WebSocket-Protocol: chat", "Sec-WebSocket-Protocol: game")
	f(101, "permessage-deflate", "Sec-WebSocket-Extensions: permessage-deflate")
	f(101, "", "Content-Length: 5", "Keep-Alive: timeout=5")
	f(101, "", "Transfer-Encoding: chunked")
	f(502, "", "Content-Length: 5", "Transfer-Encoding: chunked")
	f(502, "", "Sec-WebSocket-Accept: "+testkit.Accept("another key"))
	f(502, "", "Sec-WebSocket-Accept: "+testkit.Accept(testkit.HandshakeKey))
	f(502, "", "Sec-WebSocket Protocol: chat")
}

// A backend's masked frames reach the client as they are, who must fail the
// socket (RFC 6455, section 5.1), unless the route is strict.
func TestMaskedByBackend(t *testing.T) {
	t.Parallel()
	masked := testkit.Text("hello").Mask()
	p, h := startLinked(t, "")
	client, backend := link(t, p, h)
	backend.SendFrames(masked)
	if got := client.ReadFrame(patience); !got.Masked || string(got.Payload) != "hello" {
		t.Errorf("the client read %+v", got)
	}
	p, h = startLinked(t, "websocket: {strict: true}")
	client, backend = link(t, p, h)
	backend.SendFrames(masked)
	for _, side := range []*testkit.TCP{client, backend} {
		if got := side.ReadFrame(patience); got.CloseCode() != 1002 || got.Masked != (side == backend) {
			t.Errorf("read %+v, want Close 1002", got)
		}
	}
}

// An answer without a length lasts as long as the connection for an HTTP/1.0
// client, who reads a reset in place of the end where it was broken off.
func TestCutForOldClient(t *testing.T) {
	t.Parallel()
	p, h := startLinked(t, "")
	f := func(answer string, want error) {
		t.Helper()
		client := testkit.DialTCP(t, p.web)
		client.Send("GET / HTTP/1.0\r\nHost: a\r\n\r\n")
		backend, _ := h.acceptRequest()
		backend.Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + answer)
		client.ReadUntil("ok", patience) // or the reset may overtake it
		backend.Close()
		_ = client.SetReadDeadline(time.Now().Add(patience))
		if _, err := client.R.ReadByte(); !errors.Is(err, want) {
			t.Errorf("%q: the client reads %v, want %v", answer, err, want)
		}
	}
	f("2\r\nok\r\n0\r\n\r\n", io.EOF)
	f("2\r\nok\r\n", syscall.ECONNRESET)
	p.awaitIdle("web")
}
