package wss

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"testing"
	"time"
)

// echoes answers a handshake and sends frames of up to 125 bytes back without
// their masks of zeroes.
func echoes(w http.ResponseWriter, _ *http.Request) {
	c, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer c.Close()
	_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\n\r\n")
	for r := bufio.NewReader(rw); ; {
		head := make([]byte, 6)
		if _, err := io.ReadFull(r, head); err != nil {
			return
		}
		b := make([]byte, int(head[1]&0x7f))
		if _, err := io.ReadFull(r, b); err != nil {
			return
		}
		_, _ = c.Write(append([]byte{head[0], head[1] & 0x7f}, b...))
	}
}

func TestScenarios(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("usage is read from /proc")
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(echoes))
	server.TLS = &tls.Config{}
	server.StartTLS()
	defer server.Close()
	p := Plan{Target: server.Listener.Addr().String(), Pid: os.Getpid(), Sockets: 20, Size: 64, Warmup: 10 * time.Millisecond, Duration: 200 * time.Millisecond}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	r, err := PingPong(ctx, p)
	if err != nil || r.Trips <= 0 {
		t.Errorf("ping-pong: %+v, %v", r, err)
	}
	if _, err := Idle(ctx, p); err != nil {
		t.Errorf("idle: %v", err)
	}
	p.Target = "127.0.0.1:1"
	if _, err := PingPong(ctx, p); err == nil {
		t.Error("a balancer that is not there was measured")
	}
}

func TestFrames(t *testing.T) {
	for size, head := range map[int]int{1: 2, 125: 2, 126: 4, 65535: 4} {
		message, echo := frames(size)
		if len(echo) != head+size || len(message) != len(echo)+4 || message[1] != echo[1]|0x80 {
			t.Errorf("%d bytes: a message of %d, an echo of %d", size, len(message), len(echo))
		}
	}
}
