package e2e

import (
	"net/http"
	"strings"
	"testing"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// Rules for headers, rewritten paths and public addresses hold for a handshake
// and its 101 as for any request, also when another backend is asked second.
func TestHandshakeIsShaped(t *testing.T) {
	t.Parallel()
	h := startHandmade(t)
	p := start(t, setup{rest: `routes:
  - name: ws
    path: /ws/
    pool: web
    strip_prefix: /ws
    rewrite: {pattern: "^/room/(.*)$", replacement: "/r/$1"}
    rewrite_redirects: true
    forwarded: true
    headers:
      request: {set: {X-Backend: "$backend", X-Who: $client_ip, Host: inner.example}, remove: [Sec-WebSocket-Extensions, X-Debug]}
      response: {set: {X-Frame-Options: DENY}, add: {X-Served-By: $backend}, remove: [X-Powered-By]}
  - {name: gone, path: /gone, redirect: {status: 308, to: "https://$host/ws/"}}
pools: {web: {balance: first, backends: [{name: dead, url: "http://` + testkit.FreeAddr(t) + `"}, {name: alive, url: "http://` + h.addr + `"}]}}
`})
	client := testkit.DialTCP(t, p.web)
	client.Send(testkit.HandshakeRequest("game.example.com", "/ws/room/7?a=b", "X-Debug: 1", "X-Backend: forged",
		"Sec-WebSocket-Extensions: permessage-deflate"))
	backend, sent := h.acceptRequest()
	if !strings.HasPrefix(sent, "GET /r/7?a=b HTTP/1.1\r\n") {
		t.Errorf("the backend reads %q", sent)
	}
	for _, want := range []string{"Host: inner.example", "X-Backend: alive", "X-Who: 127.0.0.1",
		"Forwarded: for=127.0.0.1;host=game.example.com;proto=http", "X-Forwarded-Host: game.example.com"} {
		if strings.Count(sent, "\r\n"+want+"\r\n") != 1 {
			t.Errorf("the backend reads %q without one %q", sent, want)
		}
	}
	for _, name := range []string{"X-Debug", "permessage-deflate", "forged", "dead"} {
		if strings.Contains(sent, name) {
			t.Errorf("the backend reads %s in %q", name, sent)
		}
	}
	r := &http.Request{Header: http.Header{"Sec-Websocket-Key": {testkit.HandshakeKey}}}
	backend.Send(testkit.SwitchingProtocols(r, "X-Powered-By: PHP", "Set-Cookie: a=1; Path=/", "X-Frame-Options: none"))
	answer := client.ReadUntil("\r\n\r\n", patience)
	for _, want := range []string{"X-Frame-Options: DENY", "X-Served-By: alive", "Set-Cookie: a=1; Path=/ws"} {
		if strings.Count(answer, "\r\n"+want+"\r\n") != 1 {
			t.Errorf("the client reads %q without one %q", answer, want)
		}
	}
	if strings.Contains(answer, "PHP") || strings.Contains(answer, "none") {
		t.Errorf("the client reads %q", answer)
	}

	// The backend's refusal is an ordinary answer, and so is our own.
	client = testkit.DialTCP(t, p.web)
	client.Send(testkit.HandshakeRequest("game.example.com", "/ws/x"))
	backend, _ = h.acceptRequest()
	backend.Send("HTTP/1.1 302 Found\r\nLocation: http://" + h.addr + "/login\r\nContent-Length: 0\r\n\r\n")
	answer = client.ReadUntil("\r\n\r\n", patience)
	if !strings.Contains(answer, "\r\nLocation: http://game.example.com/ws/login\r\n") || !strings.Contains(answer, "\r\nX-Frame-Options: DENY\r\n") {
		t.Errorf("a refused client reads %q", answer)
	}
	client = testkit.DialTCP(t, p.web)
	client.Send(testkit.HandshakeRequest("game.example.com", "/ws/x"))
	backend, _ = h.acceptRequest()
	backend.Send("nonsense\r\n\r\n")
	answer = client.ReadUntil("\r\n\r\n", patience)
	if !strings.HasPrefix(answer, "HTTP/1.1 502 ") || !strings.Contains(answer, "\r\nX-Served-By: alive\r\n") {
		t.Errorf("a client whose backend is broken reads %q", answer)
	}

	client = testkit.DialTCP(t, p.web)
	client.Send(testkit.HandshakeRequest("game.example.com", "/gone"))
	if answer = client.ReadUntil("\r\n\r\n", patience); !strings.Contains(answer, "\r\nLocation: https://game.example.com/ws/\r\n") {
		t.Errorf("a redirected client reads %q", answer)
	}
}
