package proxy

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// TestLastAnswerThatNobodyReads: a client that takes nothing of an answer that
// ends with its connection has the listener's timeouts.body to do so.
func TestLastAnswerThatNobodyReads(t *testing.T) {
	ended := make(chan struct{})
	addr := testkit.ServeTCP(t, func(c *net.TCPConn) {
		if _, err := bufio.NewReader(c).ReadString('\n'); err != nil {
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n") // as long as the connection
		for piece := strings.Repeat("x", 1<<16); ; {
			if _, err := io.WriteString(c, piece); err != nil {
				close(ended)
				return
			}
		}
	})
	cfg := configOf(addr)
	cfg.Listeners[0].Timeouts.Body = 100 * time.Millisecond
	r := start(t, cfg)
	c := testkit.DialTCP(t, r.addr)
	c.Send("GET / HTTP/1.0\r\nHost: a\r\n\r\n")
	select {
	case <-ended:
	case <-time.After(patience):
		t.Fatal("the backend's answer goes on")
	}
	r.expectIdle(t, addr)
}
