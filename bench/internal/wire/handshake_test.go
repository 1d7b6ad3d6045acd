package wire

import (
	"strings"
	"testing"
)

func TestCheckAnswer(t *testing.T) {
	const good = "HTTP/1.1 101 Switching Protocols\r\nsec-websocket-accept: " + Accept + "\r\n\r\n"
	f := func(in string, wantSize int, wantErr string) {
		t.Helper()
		size, err := CheckAnswer([]byte(in))
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
