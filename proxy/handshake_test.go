package proxy

import (
	"errors"
	"strings"
	"testing"
)

const sampleKey = "dGhlIHNhbXBsZSBub25jZQ==" // RFC 6455, section 1.3

func block(lines ...string) *fieldBlock {
	b := &fieldBlock{}
	b.parse([]byte(strings.Join(lines, "\r\n") + "\r\n"))
	return b
}

func TestAcceptForIsTheRFCsExample(t *testing.T) {
	if a := acceptFor([]byte(sampleKey)); string(a[:]) != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Fatalf("accept %q", a)
	}
}

// The rules of RFC 6455, section 4.2.1, one by one.
func TestCheckOpening(t *testing.T) {
	f := func(what string, want error, change func(map[string]string)) {
		t.Helper()
		h := map[string]string{
			"Host": "game", "Upgrade": "websocket", "Connection": "Upgrade",
			"Sec-WebSocket-Key": sampleKey, "Sec-WebSocket-Version": "13",
		}
		http11 := true
		if change != nil {
			change(h)
		}
		if _, ok := h["1.0"]; ok {
			delete(h, "1.0")
			http11 = false
		}
		var lines []string
		for k, v := range h {
			lines = append(lines, k+": "+v)
		}
		if _, err := checkOpening(true, http11, block(lines...)); !errors.Is(err, want) {
			t.Errorf("%s: error %v, want %v", what, err, want)
		}
	}
	set := func(k, v string) func(map[string]string) { return func(h map[string]string) { h[k] = v } }
	drop := func(k string) func(map[string]string) { return func(h map[string]string) { delete(h, k) } }

	f("complete", nil, nil)
	f("other case, other options", nil, set("Connection", "keep-alive, UPGRADE"))
	f("names in lower case", nil, func(h map[string]string) {
		for _, k := range []string{"Sec-WebSocket-Key", "Sec-WebSocket-Version"} {
			h[strings.ToLower(k)] = h[k]
			delete(h, k)
		}
	})
	f("HTTP/1.0", errHandshakeProto, set("1.0", ""))
	f("no Connection", errHandshakeConnection, drop("Connection"))
	f("Connection without Upgrade", errHandshakeConnection, set("Connection", "keep-alive"))
	f("no key", errHandshakeKey, drop("Sec-WebSocket-Key"))
	f("key too short", errHandshakeKey, set("Sec-WebSocket-Key", "c2hvcnQ="))
	f("key too long", errHandshakeKey, set("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZSBsb25nZXI="))
	f("key no base64", errHandshakeKey, set("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZ!=="))
	f("no version", errHandshakeVersion, drop("Sec-WebSocket-Version"))
	f("version 8", errHandshakeVersion, set("Sec-WebSocket-Version", "8"))
	f("version list", errHandshakeVersion, set("Sec-WebSocket-Version", "13, 8"))
	f("a body", errHandshakeBody, set("Content-Length", "5"))
	f("an empty body", nil, set("Content-Length", "0"))
	f("a chunked body", errHandshakeBody, set("Transfer-Encoding", "chunked"))

	if _, err := checkOpening(false, true, &fieldBlock{}); !errors.Is(err, errHandshakeMethod) {
		t.Errorf("another method: error %v", err)
	}
	twice := block("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
		"Sec-WebSocket-Key: "+sampleKey, "Sec-WebSocket-Key: "+sampleKey)
	if _, err := checkOpening(true, true, twice); !errors.Is(err, errHandshakeKey) {
		t.Errorf("two keys: error %v", err)
	}
}

func TestAppendSwitching(t *testing.T) {
	accept := acceptFor([]byte(sampleKey))
	f := func(answer, tie, want string, wantErr error) {
		t.Helper()
		got, err := appendSwitching(nil, []byte(answer), &accept, []byte(tie), nil, nil, &fieldBlock{})
		if !errors.Is(err, wantErr) {
			t.Errorf("answer %q: error %v, want %v", answer, err, wantErr)
		}
		if err == nil && string(got) != want {
			t.Errorf("answer %q: got\n%q, want\n%q", answer, got, want)
		}
	}
	const head = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
	const ours = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
	f("HTTP/1.1 101 Web Socket Protocol Handshake\r\nupgrade: WebSocket\r\nconnection: upgrade\r\n"+ours+"\r\n", "", head+ours+"\r\n", nil)
	f("HTTP/1.1 101\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+ours+"\r\n", "", head+ours+"\r\n", nil)
	// What belongs to the conversation passes, what belongs to the hop does not.
	f(head+ours+"Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Extensions: permessage-deflate\r\nSet-Cookie: a=b\r\nKeep-Alive: 5\r\nX-Game: 1\r\n\r\n", "",
		head+ours+"Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Extensions: permessage-deflate\r\nSet-Cookie: a=b\r\nX-Game: 1\r\n\r\n", nil)
	f(head+"Connection: X-Hop\r\nX-Hop: 1\r\n"+ours+"\r\n", "", head+ours+"\r\n", nil)
	f(head+ours+"\r\n", "Set-Cookie: hf=abc; Path=/\r\n", head+ours+"Set-Cookie: hf=abc; Path=/\r\n\r\n", nil)

	f("HTTP/1.1 200 OK\r\n\r\n", "", "", errNot101)
	f("HTTP/1.1 403 Forbidden\r\n"+ours+"\r\n", "", "", errNot101)
	f("HTTP/1.1 1010 What\r\n\r\n", "", "", errAnswerBroken)
	f("ICY 200 OK\r\n\r\n", "", "", errAnswerBroken)
	f("\r\n\r\n", "", "", errAnswerBroken)
	f(head+"\r\n", "", "", errAnswerAccept)
	f(head+ours+ours+"\r\n", "", "", errAnswerAccept)
	f(head+"Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n", "", "", errAnswerAccept)
	f("HTTP/1.1 101 x\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n"+ours+"\r\n", "", "", errAnswerUpgrade)
	f("HTTP/1.1 101 x\r\nUpgrade: websocket\r\n"+ours+"\r\n", "", "", errAnswerUpgrade)
}

func TestReplaceHost(t *testing.T) {
	const head = "GET / HTTP/1.1\r\nX-Host: a:1\r\nHost: a:1\r\nX: y\r\n\r\n"
	got := replaceField([]byte(head), "Host", []byte("a:1"), []byte("bb:22"))
	if want := "GET / HTTP/1.1\r\nX-Host: a:1\r\nHost: bb:22\r\nX: y\r\n\r\n"; string(got) != want {
		t.Fatalf("got %q, want %q", got, want)
	}
}

// Whatever a backend says, the client reads one complete 101 that is ours, or
// nothing.
func FuzzAppendSwitching(f *testing.F) {
	const ours = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
	f.Add([]byte("HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" + ours + "\r\n"))
	f.Add([]byte("HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" + ours + "X: y\r\n folded\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 101 x\nUpgrade: websocket\nConnection: Upgrade\n" + ours + "\n\n"))
	accept := acceptFor([]byte(sampleKey))
	f.Fuzz(func(t *testing.T, answer []byte) {
		out, err := appendSwitching(nil, answer, &accept, nil, nil, nil, &fieldBlock{})
		if err != nil {
			return
		}
		s := string(out)
		if !strings.HasPrefix(s, "HTTP/1.1 101 Switching Protocols\r\n") || !strings.HasSuffix(s, "\r\n\r\n") {
			t.Fatalf("answer %q became %q", answer, s)
		}
		if strings.Count(s, "\r\n\r\n") != 1 {
			t.Fatalf("answer %q became more than one header: %q", answer, s)
		}
		if strings.Count(s, "\n") != strings.Count(s, "\r\n") {
			t.Fatalf("answer %q left a bare line feed: %q", answer, s)
		}
	})
}
