package e2e

import (
	"bufio"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// handmade is a backend whose connections the test itself speaks for, so that
// both ends of a conversation stand in one function, line by line.
type handmade struct {
	t     testing.TB
	addr  string
	conns chan *net.TCPConn
}

// startHandmade starts a handmade backend. The test's end closes all of its
// connections.
func startHandmade(t testing.TB) *handmade {
	t.Helper()
	h := &handmade{t: t, conns: make(chan *net.TCPConn)}
	over := make(chan struct{})
	h.addr = testkit.ServeTCP(t, func(c *net.TCPConn) {
		select {
		case h.conns <- c:
			<-over
		case <-over:
		}
	})
	t.Cleanup(func() { close(over) })
	return h
}

// accept waits for the next connection.
func (h *handmade) accept() *testkit.TCP {
	h.t.Helper()
	select {
	case c := <-h.conns:
		return testkit.WrapTCP(h.t, c)
	case <-time.After(patience):
		h.t.Fatal("no connection reaches the backend")
		return nil
	}
}

// acceptRequest waits for the next connection and reads the head of its
// request, as it stands on the wire.
func (h *handmade) acceptRequest() (*testkit.TCP, string) {
	h.t.Helper()
	c := h.accept()
	return c, c.ReadUntil("\r\n\r\n", patience)
}

// acceptWebSocket waits for the next handshake and agrees to it. lines are
// further header lines of the answer.
func (h *handmade) acceptWebSocket(lines ...string) (*testkit.TCP, *http.Request) {
	h.t.Helper()
	c := h.accept()
	r := readRequest(h.t, c)
	c.Send(testkit.SwitchingProtocols(r, lines...))
	return c, r
}

// readRequest reads the header of a request.
func readRequest(t testing.TB, c *testkit.TCP) *http.Request {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(patience))
	r, err := http.ReadRequest(c.R)
	if err != nil {
		t.Fatalf("backend: read request: %v", err)
	}
	return r
}

// link opens a WebSocket through p to h and returns both ends.
func link(t testing.TB, p *process, h *handmade) (client, backend *testkit.TCP) {
	t.Helper()
	client = testkit.DialTCP(t, p.web)
	client.Send(testkit.HandshakeRequest(p.web, "/"))
	backend, _ = h.acceptWebSocket()
	client.Handshaken(patience)
	return client, backend
}

// startLinked starts a handmade backend and a process before it. keys are
// further keys of the one route, such as "timeouts: {idle: 1s}".
func startLinked(t testing.TB, keys string) (*process, *handmade) {
	t.Helper()
	h := startHandmade(t)
	if keys != "" {
		keys = ", " + keys
	}
	p := start(t, setup{rest: "routes: [{name: all, path: /, pool: web" + keys + "}]\n" + pool("web", []string{h.addr})})
	return p, h
}

// readFrames reads n frames and returns the first one that want does not
// accept as an error. It may be called from any goroutine.
func readFrames(r *bufio.Reader, n int, want func(i int, f testkit.Frame) error) error {
	for i := range n {
		f, err := testkit.ReadFrame(r)
		if err != nil {
			return err
		}
		if err := want(i, f); err != nil {
			return err
		}
	}
	return nil
}
