package health

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"time"

	"github.com/fasthttp/websocket"

	"github.com/holdfast-lb/holdfast/internal/cause"
)

// closePatience bounds how long a probe that has passed waits for the backend
// to answer its Close, so that the backend sees an orderly end.
const closePatience = 250 * time.Millisecond

// maxHandshake is how much a probe reads before it is connected, in bytes: the
// backend's certificates and its answer. A longer one fails the probe.
const maxHandshake = 256 << 10

// webSocketChecker passes when a backend completes a handshake and answers a
// Ping with the Pong that belongs to it, RFC 6455 sections 4.1 and 5.5.
type webSocketChecker struct {
	url  string
	dial dialFunc
	tls  *tls.Config // nil for ws
}

func newWebSocketChecker(t Target) webSocketChecker {
	scheme := "ws://"
	if t.Trust != nil {
		scheme = "wss://"
	}
	return webSocketChecker{url: scheme + t.Address + t.Spec.Path, dial: dialOf(t), tls: tlsOf(t)}
}

func (c webSocketChecker) check(ctx context.Context) answer {
	// The library heeds ctx's deadline but not its cancellation once it is
	// connected, so a cancelled ctx closes the socket under it.
	release := func() bool { return true }
	var bounded *boundedConn
	d := websocket.Dialer{
		NetDialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := c.dial(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			release = context.AfterFunc(ctx, func() { conn.Close() })
			bounded = &boundedConn{Conn: conn, left: maxHandshake}
			return bounded, nil
		},
		TLSClientConfig: c.tls,
		ReadBufferSize:  1024,
		WriteBufferSize: 1024,
	}
	ws, resp, err := d.DialContext(ctx, c.url, http.Header{"User-Agent": {userAgent}})
	defer func() { release() }()
	if err != nil {
		return failed(handshakeError(resp, endOf(ctx, err))).of(resp)
	}
	defer ws.Close()
	bounded.left = math.MaxInt // frames are passed over as they come
	if err := ping(ctx, ws); err != nil {
		return failed(endOf(ctx, err)).of(resp)
	}
	a := passed("pong received").of(resp)
	sayGoodbye(ctx, ws)
	return a
}

// boundedConn is a connection of which left bytes may be read. The library
// itself keeps whatever header a backend sends.
type boundedConn struct {
	net.Conn
	left int
}

func (c *boundedConn) Read(b []byte) (int, error) {
	if c.left <= 0 {
		return 0, finding("handshake invalid: answer too long")
	}
	n, err := c.Conn.Read(b[:min(len(b), c.left)])
	c.left -= n
	return n, err
}

// endOf prefers the context's own error to that of a socket which was closed
// because the context had ended.
func endOf(ctx context.Context, err error) error {
	if errors.Is(err, net.ErrClosed) && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// handshakeError says how far the handshake came: an answer that refuses, an
// answer that lies, or none.
func handshakeError(resp *http.Response, err error) error {
	switch {
	case resp != nil && resp.StatusCode != http.StatusSwitchingProtocols:
		return finding(fmt.Sprintf("handshake refused: status %d", resp.StatusCode))
	case resp != nil:
		return finding("handshake invalid: wrong Upgrade, Connection, Accept or extension")
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return err
	}
	if cause.Timeout(err) {
		return overdue("handshake unanswered")
	}
	return err
}

// errPonged ends the read loop; the library hands it through.
var errPonged = errors.New("pong received")

// ping sends a Ping that nobody can guess and reads until its Pong. Messages
// that the backend sends unasked are skipped, and so are Pongs with another
// payload, which are legal, RFC 6455 section 5.5.3.
func ping(ctx context.Context, ws *websocket.Conn) error {
	deadline, _ := ctx.Deadline()
	payload := rand.Text()
	ws.SetPongHandler(func(got string) error {
		if got == payload {
			return errPonged
		}
		return nil
	})
	if err := ws.SetReadDeadline(deadline); err != nil {
		return err
	}
	if err := ws.WriteControl(websocket.PingMessage, []byte(payload), deadline); err != nil {
		return err
	}
	for {
		_, _, err := ws.NextReader()
		if err == nil {
			continue
		}
		closed, ok := errors.AsType[*websocket.CloseError](err)
		switch {
		case err == errPonged:
			return nil
		case ok && closed.Code == websocket.CloseAbnormalClosure: // the library's name for no Close at all
			return finding("connection closed before the pong")
		case ok:
			return finding(fmt.Sprintf("closed with %d before the pong", closed.Code))
		case cause.Timeout(endOf(ctx, err)):
			return overdue("pong missing")
		}
		return err
	}
}

// sayGoodbye sends a Close 1000 and gives the backend a moment to answer it and
// to close first, RFC 6455 section 7.1.1. How that goes changes no verdict.
func sayGoodbye(ctx context.Context, ws *websocket.Conn) {
	deadline := time.Now().Add(closePatience)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	message := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	if ws.WriteControl(websocket.CloseMessage, message, deadline) != nil {
		return
	}
	conn := ws.NetConn()
	if conn.SetReadDeadline(deadline) == nil {
		_, _ = io.Copy(io.Discard, conn)
	}
}
