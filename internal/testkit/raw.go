package testkit

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// HandshakeKey is the Sec-WebSocket-Key that [HandshakeRequest] sends: 16 bytes
// in base64, RFC 6455 section 4.1.
const HandshakeKey = "dGhlIHNhbXBsZSBub25jZQ=="

// Raw is a WebSocket client that sends exactly the frames and bytes that it is
// told to, legal or not.
type Raw struct {
	*TCP
	Response *http.Response // of the handshake; its body is not for reading
}

// HandshakeRequest is the text of a valid handshake. lines are further header
// lines without their CRLF, such as "Cookie: a=b".
func HandshakeRequest(host, path string, lines ...string) string {
	lines = append([]string{
		"GET " + path + " HTTP/1.1",
		"Host: " + host,
		"Upgrade: websocket",
		"Connection: Upgrade",
		"Sec-WebSocket-Key: " + HandshakeKey,
		"Sec-WebSocket-Version: 13",
	}, lines...)
	return strings.Join(lines, "\r\n") + "\r\n\r\n"
}

// DialRaw opens a WebSocket at addr and path, checks status and
// Sec-WebSocket-Accept and leaves whatever came after the handshake in R.
func DialRaw(t testing.TB, addr, path string, lines ...string) *Raw {
	t.Helper()
	c := DialTCP(t, addr)
	c.Send(HandshakeRequest(addr, path, lines...))
	return c.Handshaken(ioPatience)
}

// Handshaken reads the answer to a handshake that was sent as
// [HandshakeRequest] makes it, perhaps with frames behind it in the same write.
func (c *TCP) Handshaken(within time.Duration) *Raw {
	c.t.Helper()
	resp := c.ReadResponse(within)
	if resp.StatusCode != http.StatusSwitchingProtocols {
		c.t.Fatalf("handshake: status %d, want 101", resp.StatusCode)
	}
	if got, want := resp.Header.Get("Sec-WebSocket-Accept"), Accept(HandshakeKey); got != want {
		c.t.Fatalf("handshake: Sec-WebSocket-Accept %q, want %q", got, want)
	}
	return &Raw{TCP: c, Response: resp}
}

// ReadResponse reads the header of an HTTP response. The caller reads the body,
// to its end if more follows on the connection.
func (c *TCP) ReadResponse(within time.Duration) *http.Response {
	c.t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(within))
	resp, err := http.ReadResponse(c.R, nil)
	if err != nil {
		c.t.Fatalf("read response: %v", err)
	}
	return resp
}

// SendFrames writes the frames, as they are, in one call.
func (c *TCP) SendFrames(frames ...Frame) {
	c.t.Helper()
	var b []byte
	for _, f := range frames {
		b = f.Append(b)
	}
	c.Send(string(b))
}

// ReadFrame reads one frame.
func (c *TCP) ReadFrame(within time.Duration) Frame {
	c.t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(within))
	f, err := ReadFrame(c.R)
	if err != nil {
		c.t.Fatalf("read frame: %v", err)
	}
	return f
}

// SwitchingProtocols is the text of a valid answer to the handshake r, for
// [ServeTCP] backends that answer by hand. lines are further header lines without their CRLF.
func SwitchingProtocols(r *http.Request, lines ...string) string {
	lines = append([]string{
		"HTTP/1.1 101 Switching Protocols",
		"Upgrade: websocket",
		"Connection: Upgrade",
		"Sec-WebSocket-Accept: " + Accept(r.Header.Get("Sec-WebSocket-Key")),
	}, lines...)
	return strings.Join(lines, "\r\n") + "\r\n\r\n"
}
