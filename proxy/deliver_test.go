package proxy

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// A backend that refuses a handshake and never comes to the end of its reason
// does not hold up the end of the process, nor does a client that reads nothing
// of one.
func TestCloseCutsRefusalsWithoutEnd(t *testing.T) {
	t.Parallel()
	f := func(name string, goOn func(c *net.TCPConn) error) {
		t.Helper()
		addr := testkit.ServeTCP(t, func(c *net.TCPConn) {
			if _, err := c.Read(make([]byte, 4096)); err != nil {
				return
			}
			_, err := io.WriteString(c, "HTTP/1.1 403 Forbidden\r\n\r\n"+strings.Repeat("x", 64<<10))
			for err == nil {
				err = goOn(c)
			}
		})
		r, _ := startSockets(t, configOf(addr), nil)
		client := testkit.DialTCP(t, r.addr)
		client.Send(testkit.HandshakeRequest(r.addr, "/"))
		client.ReadN(100, patience)
		closed := make(chan struct{})
		go func() {
			r.proxy.Close()
			close(closed)
		}()
		select {
		case <-closed:
		case <-time.After(owedTime + patience):
			t.Errorf("%s: Close still waits", name)
		}
		client.Close()
		r.expectIdle(t, addr)
	}
	f("a drip", func(c *net.TCPConn) error {
		time.Sleep(20 * time.Millisecond)
		_, err := c.Write([]byte("x"))
		return err
	})
	f("more than the client reads", func(c *net.TCPConn) error {
		_, err := c.Write(make([]byte, 64<<10))
		return err
	})
}
