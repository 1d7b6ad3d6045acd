package e2e

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// Frames in the same segment as the handshake or its answer are not lost.
func TestEarlyBytes(t *testing.T) {
	t.Parallel()
	p, h := startLinked(t, "")
	for _, size := range []int{5, 3000, 100 << 10} { // up to more than the header's buffer
		early := strings.Repeat("e", size)
		client := testkit.DialTCP(t, p.web)
		client.Send(testkit.HandshakeRequest(p.web, "/") + string(testkit.Text(early).Mask().Append(nil)) +
			string(testkit.Text("second").Mask().Append(nil)))
		backend := h.accept()
		answer := testkit.SwitchingProtocols(readRequest(t, backend))
		backend.Send(answer + string(testkit.Text(early).Append(nil)) + string(testkit.Text("second").Append(nil)))
		client.Handshaken(patience)
		for _, end := range []*testkit.TCP{client, backend} {
			for _, want := range []string{early, "second"} {
				if f := end.ReadFrame(patience); string(f.Payload) != want {
					t.Errorf("%d early bytes: a frame holds %d bytes, want %d", size, len(f.Payload), len(want))
				}
			}
		}
	}
}

// Path, query, subprotocols, extensions, cookies and fields that we do not
// know pass as they are; what belongs to a hop does not.
func TestHandshakePassesThrough(t *testing.T) {
	t.Parallel()
	p, h := startLinked(t, "")
	client := testkit.DialTCP(t, p.web)
	client.Send(testkit.HandshakeRequest("game.example.com", "/ws/room%2F7?name=a%20b&x=1&x=2",
		"Sec-WebSocket-Protocol: chat, superchat",
		"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
		"Cookie: session=abc; theme=dark",
		"Origin: https://game.example.com",
		"x-UnUsual: As-Is",
		"Keep-Alive: timeout=5",
		"X-Forwarded-For: 203.0.113.9"))
	backend, sent := h.acceptRequest()
	lines := strings.Split(strings.TrimSuffix(sent, "\r\n\r\n"), "\r\n")
	if want := "GET /ws/room%2F7?name=a%20b&x=1&x=2 HTTP/1.1"; lines[0] != want {
		t.Errorf("request line %q, want %q", lines[0], want)
	}
	has := func(want string) {
		t.Helper()
		n := 0
		for _, line := range lines[1:] {
			if line == want {
				n++
			}
		}
		if n != 1 {
			t.Errorf("the backend reads %q %d times, want once, in\n%s", want, n, sent)
		}
	}
	has("Host: game.example.com")
	has("Upgrade: websocket")
	has("Connection: Upgrade")
	has("Sec-WebSocket-Key: " + testkit.HandshakeKey)
	has("Sec-WebSocket-Version: 13")
	has("Sec-WebSocket-Protocol: chat, superchat")
	has("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits")
	has("Cookie: session=abc; theme=dark")
	has("Origin: https://game.example.com")
	has("x-UnUsual: As-Is")
	has("X-Forwarded-For: 127.0.0.1")
	has("X-Forwarded-Proto: http")
	has("X-Forwarded-Host: game.example.com")
	if strings.Contains(sent, "Keep-Alive") || strings.Contains(sent, "203.0.113.9") {
		t.Errorf("the backend reads what is not for it:\n%s", sent)
	}

	backend.Send(head("HTTP/1.1 101 Switching Protocols", "upgrade: WebSocket", "connection: upgrade, X-Hop",
		"Sec-WebSocket-Accept: "+testkit.Accept(testkit.HandshakeKey),
		"Sec-WebSocket-Protocol: superchat", "Sec-WebSocket-Extensions: permessage-deflate",
		"Set-Cookie: a=1; Path=/", "Set-Cookie: b=2", "X-Hop: secret"))
	answer := client.Handshaken(patience).Response
	for name, want := range map[string]string{
		"Sec-WebSocket-Protocol": "superchat", "Sec-WebSocket-Extensions": "permessage-deflate",
		"Set-Cookie": "a=1; Path=/|b=2", "X-Hop": "", "Upgrade": "websocket", "Connection": "Upgrade",
	} {
		if got := strings.Join(answer.Header.Values(name), "|"); got != want {
			t.Errorf("the client reads %s: %q, want %q", name, got, want)
		}
	}
}

// Each rule of RFC 6455, section 4.2.1, is checked here, and no backend hears
// of a handshake that breaks one.
func TestHandshakeRules(t *testing.T) {
	t.Parallel()
	b := testkit.StartBackend(t, testkit.Echo())
	p := start(t, setup{rest: siteOf([]string{b.Addr})})
	// f sends the lines of a valid handshake with one replaced, or removed if
	// with is empty.
	f := func(status int, line, with string) *http.Response {
		t.Helper()
		lines := []string{
			"GET / HTTP/1.1", "Host: game.example.com", "Upgrade: websocket", "Connection: Upgrade",
			"Sec-WebSocket-Key: " + testkit.HandshakeKey, "Sec-WebSocket-Version: 13",
		}
		for i := range lines {
			if strings.HasPrefix(lines[i], line) {
				lines[i] = with
			}
		}
		var sent []string
		for _, line := range lines {
			if line != "" {
				sent = append(sent, line)
			}
		}
		before := b.Requests()
		c := testkit.DialTCP(t, p.web)
		c.Send(head(sent...))
		resp := c.ReadResponse(patience)
		if resp.StatusCode != status {
			t.Errorf("%q for %q: status %d, want %d", with, line, resp.StatusCode, status)
		}
		if status >= 400 && b.Requests() != before {
			t.Errorf("%q for %q: the backend is asked", with, line)
		}
		c.Close()
		return resp
	}
	const (
		get = "GET "
		key = "Sec-WebSocket-Key"
		ver = "Sec-WebSocket-Version"
	)
	// 1. an HTTP/1.1 or higher GET
	f(400, get, "GET / HTTP/1.0")
	// 2. a Host
	f(400, "Host", "")
	// 3. Upgrade: websocket, in any case, among others; see also
	// TestOtherUpgradesAreStripped
	f(101, "Upgrade", "upgrade: WebSocket")
	f(101, "Upgrade", "Upgrade: h2c, websocket")
	// 4. Connection: Upgrade, in any case, among others
	f(101, "Connection", "connection: keep-alive, UPGRADE")
	f(400, "Connection", "Connection: keep-alive")
	f(400, "Connection", "")
	// 5. a key of 16 bytes in base64
	f(400, key, "")
	f(400, key, key+":")
	f(400, key, key+": "+testkit.HandshakeKey[:20])
	f(400, key, key+": "+testkit.HandshakeKey+"AAAA")
	f(400, key, key+": !!!!IHNhbXBsZSBub25jZQ==")
	f(400, key, key+": "+testkit.HandshakeKey+"\r\n"+key+": "+testkit.HandshakeKey)
	f(101, key, "sec-websocket-key:   "+testkit.HandshakeKey+"  ")
	// 6. version 13, or 426 with the versions that are spoken (section 4.2.2)
	for _, version := range []string{"", ver + ": 12", ver + ": 8", ver + ": 013", ver + ": 130", ver + ": thirteen", ver + ": 13\r\n" + ver + ": 8"} {
		resp := f(426, ver, version)
		if got := resp.Header.Get(ver); got != "13" {
			t.Errorf("%q: the answer has %s %q, want 13", version, ver, got)
		}
	}
	// and no body
	f(400, ver, ver+": 13\r\nContent-Length: 5\r\n\r\nhello")
	f(400, ver, ver+": 13\r\nTransfer-Encoding: chunked\r\n\r\n0")

	testkit.Eventually(t, patience, func() bool { return p.metric("holdfast_handshakes_total", `result="invalid"`) >= 15 },
		"15 handshakes or more are counted as invalid")
	p.awaitIdle("web")
}

// A refused handshake leaves a connection on which requests go on.
func TestRefusedHandshakeKeepsConnection(t *testing.T) {
	t.Parallel()
	b := testkit.StartBackend(t, testkit.Echo())
	p := start(t, setup{rest: siteOf([]string{b.Addr})})
	c := testkit.DialTCP(t, p.web)
	c.Send(strings.Replace(testkit.HandshakeRequest(p.web, "/"), "Version: 13", "Version: 8", 1))
	resp := c.ReadResponse(patience)
	_, _ = io.Copy(io.Discard, resp.Body)
	if resp.StatusCode != http.StatusUpgradeRequired {
		t.Errorf("status %d, want 426", resp.StatusCode)
	}
	c.Send(testkit.HandshakeRequest(p.web, "/"))
	c.Handshaken(patience)
	c.SendFrames(testkit.Text("hello").Mask())
	if f := c.ReadFrame(patience); string(f.Payload) != "hello" {
		t.Errorf("the socket echoes %q", f.Payload)
	}
}

// The body of a refused handshake is not taken for the next request.
func TestRefusedHandshakeSmugglesNothing(t *testing.T) {
	t.Parallel()
	b := testkit.StartBackend(t, testkit.Echo())
	p := start(t, setup{rest: siteOf([]string{b.Addr})})
	inner := get("/smuggled")
	handshake := strings.TrimSuffix(testkit.HandshakeRequest(p.web, "/"), "\r\n")
	for _, framing := range []string{
		fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(inner), inner),
		fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(inner), inner),
	} {
		c := testkit.DialTCP(t, p.web)
		c.Send(handshake + framing)
		resp := c.ReadResponse(patience)
		_, _ = io.Copy(io.Discard, resp.Body)
		if resp.StatusCode != http.StatusBadRequest {
			t.Errorf("status %d, want 400", resp.StatusCode)
		}
		// Either the connection ends or the next answer is to the next request.
		_, _ = io.WriteString(c, strings.Replace(testkit.HandshakeRequest(p.web, "/"), "Version: 13", "Version: 8", 1))
		_ = c.SetReadDeadline(time.Now().Add(patience))
		if resp, err := http.ReadResponse(c.R, nil); err == nil && resp.StatusCode != http.StatusUpgradeRequired {
			t.Errorf("the next answer is a %d", resp.StatusCode)
		}
	}
	if n := b.Requests(); n != 0 {
		t.Errorf("the backend is asked %d times", n)
	}
}

// An Upgrade to anything else is stripped: the backend sees an ordinary
// request, and a 101 that nobody asked for is no answer.
func TestOtherUpgradesAreStripped(t *testing.T) {
	t.Parallel()
	p, h := startLinked(t, "retries: 0")
	f := func(first, upgrade string) {
		t.Helper()
		client := testkit.DialTCP(t, p.web)
		client.Send(head(first, "Host: game.example.com", "Upgrade: "+upgrade, "Connection: Upgrade, HTTP2-Settings",
			"HTTP2-Settings: AAMAAABkAAQAAP__", "Sec-WebSocket-Key: "+testkit.HandshakeKey, "Sec-WebSocket-Version: 13"))
		backend, sent := h.acceptRequest()
		lower := strings.ToLower(sent)
		for _, word := range []string{"upgrade:", "http2-settings", "connection: upgrade"} {
			if strings.Contains(lower, word) {
				t.Errorf("%s with Upgrade: %s reaches the backend with %q:\n%s", first, upgrade, word, sent)
			}
		}
		backend.Send(head("HTTP/1.1 200 OK", "Content-Length: 2") + "ok")
		if resp := client.ReadResponse(patience); resp.StatusCode != http.StatusOK {
			t.Errorf("%s with Upgrade: %s: status %d, want 200", first, upgrade, resp.StatusCode)
		}
		backend.Close()
	}
	f("GET / HTTP/1.1", "h2c")
	f("GET / HTTP/1.1", "TLS/1.0")
	f("GET / HTTP/1.1", "websockets")

	client := testkit.DialTCP(t, p.web)
	client.Send(get("/", "Upgrade: h2c", "Connection: Upgrade"))
	backend, _ := h.acceptRequest()
	backend.Send(head("HTTP/1.1 101 Switching Protocols", "Upgrade: h2c", "Connection: Upgrade"))
	if resp := client.ReadResponse(patience); resp.StatusCode != http.StatusBadGateway {
		t.Errorf("a 101 that nobody asked for: status %d, want 502", resp.StatusCode)
	}
}

// A backend that answers a handshake with another status than 101 has that
// delivered, header and body.
func TestRefusalIsDelivered(t *testing.T) {
	t.Parallel()
	p, h := startLinked(t, "")
	f := func(answer string, status int, body string, fields map[string]string) {
		t.Helper()
		client := testkit.DialTCP(t, p.web)
		client.Send(testkit.HandshakeRequest(p.web, "/"))
		backend, _ := h.acceptRequest()
		backend.Send(answer)
		resp := client.ReadResponse(patience)
		got, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != status || string(got) != body {
			t.Errorf("status %d with %d bytes, %v; want %d with %d bytes", resp.StatusCode, len(got), err, status, len(body))
		}
		for name, want := range fields {
			if got := strings.Join(resp.Header.Values(name), "|"); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		client.ExpectClosed(patience)
	}
	f(head("HTTP/1.1 403 Forbidden", "Content-Type: text/plain", "Content-Length: 10", "X-Reason: banned", "Connection: keep-alive", "Keep-Alive: timeout=5")+"go away!!\n",
		403, "go away!!\n", map[string]string{"Content-Type": "text/plain", "X-Reason": "banned", "Keep-Alive": ""})
	f(head("HTTP/1.1 302 Found", "Location: https://game.example.com/login?next=%2Fws", "Content-Length: 0", "Set-Cookie: a=1", "Set-Cookie: b=2"),
		302, "", map[string]string{"Location": "https://game.example.com/login?next=%2Fws", "Set-Cookie": "a=1|b=2"})
	large := strings.Repeat("no", 300<<10)
	f(head("HTTP/1.1 401 Unauthorized", "WWW-Authenticate: Basic realm=\"arena\"", fmt.Sprintf("Content-Length: %d", len(large)))+large,
		401, large, map[string]string{"WWW-Authenticate": `Basic realm="arena"`})
	f(head("HTTP/1.1 429 Too Many Requests", "Transfer-Encoding: chunked", "Retry-After: 7")+"4\r\nslow\r\n5\r\n down\r\n0\r\n\r\n",
		429, "slow down", map[string]string{"Retry-After": "7"})
	f(head("HTTP/1.1 200 OK", "Content-Length: 5")+"hello", 200, "hello", nil)
	p.awaitIdle("web")
	p.counted(5, "holdfast_handshakes_total", `result="rejected"`)
}

// A refusal that breaks off does so for the client, who must not take what has
// come for all of it.
func TestRefusalThatBreaksOff(t *testing.T) {
	t.Parallel()
	p, h := startLinked(t, "")
	f := func(name, rest, want string) {
		t.Helper()
		client := testkit.DialTCP(t, p.web)
		client.Send(testkit.HandshakeRequest(p.web, "/"))
		backend, _ := h.acceptRequest()
		backend.Send("HTTP/1.1 403 Forbidden\r\n" + rest)
		backend.Close()
		resp := client.ReadResponse(patience)
		if got, err := io.ReadAll(resp.Body); err == nil || string(got) != want {
			t.Errorf("%s: %q, %v; want %q and an error", name, got, err, want)
		}
	}
	f("within the length", "Content-Length: 10\r\n\r\ngo aw", "go aw")
	f("within a chunk", "Transfer-Encoding: chunked\r\n\r\n9\r\ngo aw", "go aw")
	f("between two chunks", "Transfer-Encoding: chunked\r\n\r\n5\r\ngo aw\r\n", "go aw")
	p.awaitIdle("web")
}

// What a backend does wrong with a handshake is a 502 or 504 of our own, which
// names the class and the request, and no address.
func TestBrokenHandshakeAnswers(t *testing.T) {
	t.Parallel()
	h := startHandmade(t)
	p := start(t, setup{rest: "routes: [{name: all, path: /, pool: web, retries: 0}, {name: brief, path: /brief, pool: web, retries: 0, timeouts: {response: 1s}}]\n" +
		pool("web", []string{h.addr})})
	accept := "Sec-WebSocket-Accept: " + testkit.Accept(testkit.HandshakeKey)
	f := func(status int, class string, answer string, hangup bool) {
		t.Helper()
		path := "/"
		if status == 504 {
			path = "/brief"
		}
		client := testkit.DialTCP(t, p.web)
		client.Send(testkit.HandshakeRequest(p.web, path))
		backend, _ := h.acceptRequest()
		backend.Send(answer)
		if hangup {
			backend.Close()
		}
		resp := client.ReadResponse(patience)
		body, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != status {
			t.Errorf("answer %q: status %d, want %d", answer, resp.StatusCode, status)
		}
		checkErrorBody(t, string(body), class, h.addr)
		client.ExpectClosed(patience)
	}
	switching := "HTTP/1.1 101 Switching Protocols"
	wrong := "Sec-WebSocket-Accept: " + testkit.Accept("another key")
	f(502, "bad_answer", head(switching, "Upgrade: websocket", "Connection: Upgrade", wrong), false)
	f(502, "bad_answer", head(switching, "Upgrade: websocket", "Connection: Upgrade"), false)
	f(502, "bad_answer", head(switching, "Connection: Upgrade", accept), false)
	f(502, "bad_answer", head(switching, "Upgrade: h2c", "Connection: Upgrade", accept), false)
	f(502, "bad_answer", head("SSH-2.0-OpenSSH_9.2"), false)
	f(502, "bad_answer", "HTTP/1.1 101 "+strings.Repeat("long ", 20<<10), false)
	f(502, "backend_broken", "HTTP/1.1 101 Switching", true)
	f(502, "backend_broken", "", true)
	f(504, "answer_timeout", "", false)
	f(504, "answer_timeout", "HTTP/1.1 101 Switching Protocols\r\n", false)
	p.awaitIdle("web")

	refused := start(t, setup{rest: siteOf([]string{freeAddr(t)})})
	resp, body := exchange(t, refused.web, testkit.HandshakeRequest(refused.web, "/"))
	if resp.StatusCode != http.StatusBadGateway {
		t.Errorf("refused connection: status %d, want 502", resp.StatusCode)
	}
	checkErrorBody(t, body, "connect_failed", "127.0.0.1:")
}

// checkErrorBody checks an answer of Holdfast's own: one line that names the
// class of the error and the request, and nothing of what is inside.
func checkErrorBody(t testing.TB, body, class, secret string) {
	t.Helper()
	if strings.Count(body, "\n") != 1 || !strings.Contains(body, "("+class+", request ") || strings.Contains(body, secret) {
		t.Errorf("the body is %q, want one line with %s and the request's id, without %s", body, class, secret)
	}
}

// A client that is gone before its backend has agreed leaves nothing behind.
func TestClientLeavesDuringHandshake(t *testing.T) {
	t.Parallel()
	p, h := startLinked(t, "")
	client := testkit.DialTCP(t, p.web)
	client.Send(testkit.HandshakeRequest(p.web, "/"))
	backend, _ := h.acceptRequest()
	client.Close()
	backend.ExpectClosed(patience)
	p.awaitIdle("web")
	p.counted(1, "holdfast_handshakes_total", `result="client_gone"`)
}
