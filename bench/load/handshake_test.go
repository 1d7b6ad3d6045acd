package load

import (
	"strings"
	"testing"
)

func TestCheckAnswer(t *testing.T) {
	const good = "HTTP/1.1 101 Switching Protocols\r\nsec-websocket-accept: " + accept + "\r\n\r\n"
	f := func(in string, wantSize int, wantErr string) {
		t.Helper()
		size, err := checkAnswer([]byte(in))
		if size != wantSize || (err == nil) != (wantErr == "") || (err != nil && !strings.Contains(err.Error(), wantErr)) {
			t.Errorf("%q: got %d, %v; want %d, %q", in, size, err, wantSize, wantErr)
		}
	}
	f(good, len(good), "")
	f(good+"x", len(good), "")
	f(good[:40], 0, "")
	f("HTTP/1.1 503 Service Unavailable\r\n\r\n", 0, "503")
	f("HTTP/1.1 101 Switching Protocols\r\n\r\n", 0, "Sec-WebSocket-Accept")
	f(strings.Repeat("x", maxAnswer+1), 0, "larger than 8 KiB")
}

func TestPlanValidate(t *testing.T) {
	f := func(change func(*Plan), want string) {
		t.Helper()
		p := Default()
		change(&p)
		if err := p.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got %v", want, err)
		}
	}
	f(func(*Plan) {}, "no target")
	f(func(p *Plan) { p.Scenario = "pong" }, `"pong" is none of`)
	f(func(p *Plan) { p.Sockets, p.Threads = 1, 2 }, "1 sockets for 2 threads")
	f(func(p *Plan) { p.Size = 0 }, "messages of 0 bytes")
	f(func(p *Plan) { p.Duration = 0 }, "duration 0s")
	f(func(p *Plan) { p.Path = "ws" }, `path "ws"`)
}
