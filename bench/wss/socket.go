package wss

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/holdfast-lb/holdfast/bench/internal/wire"
	"github.com/holdfast-lb/holdfast/bench/load"
)

// config is what a client offers. A worker that resumes sessions needs one of
// its own.
func config(p load.Plan) *tls.Config {
	c := &tls.Config{
		InsecureSkipVerify:          true, // #nosec G402 -- what is measured is ours
		CurvePreferences:            []tls.CurveID{tls.X25519},
		DynamicRecordSizingDisabled: true,
	}
	if p.TLS == load.TLSResume {
		c.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	}
	return c
}

// socket is one WebSocket over TLS, with the frames that it sends and expects
// and room for what comes.
type socket struct {
	*tls.Conn
	message, want []byte
	got           []byte
}

// dial opens the i-th socket, from one of p.Sources addresses on the loopback.
func dial(ctx context.Context, p load.Plan, i int, c *tls.Config) (*socket, error) {
	target := p.Targets[i%len(p.Targets)]
	var d net.Dialer
	if p.Sources > 0 && target.Addr().IsLoopback() {
		from := netip.AddrFrom4([4]byte{127, 0, 0, byte(2 + i%p.Sources)})
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
	}
	tcp, err := d.DialContext(ctx, "tcp", target.String())
	if err != nil {
		return nil, fmt.Errorf("open socket %d: %w", i, err)
	}
	s := &socket{Conn: tls.Client(tcp, c)}
	s.message, s.want = wire.Message(p.Size)
	s.got = make([]byte, max(len(s.want), 512))
	defer s.endWith(ctx)()
	err = s.Handshake()
	if err == nil {
		err = s.same()
	}
	if err == nil {
		err = s.upgrade(target.String(), p.Path)
	}
	if err != nil {
		_ = tcp.Close()
		return nil, fmt.Errorf("open socket %d: %w", i, err)
	}
	return s, nil
}

// same is an error when the connection is not what all balancers are to give.
func (s *socket) same() error {
	state := s.ConnectionState()
	if state.Version != tls.VersionTLS13 || state.CipherSuite != tls.TLS_AES_128_GCM_SHA256 {
		return fmt.Errorf("agreed on %s with %s; balancers compare with TLS 1.3 and TLS_AES_128_GCM_SHA256",
			tls.VersionName(state.Version), tls.CipherSuiteName(state.CipherSuite))
	}
	return nil
}

// upgrade does the WebSocket handshake.
func (s *socket) upgrade(host, path string) error {
	if _, err := s.Write(wire.Handshake(host, path)); err != nil {
		return err
	}
	for n := 0; n < len(s.got); {
		more, err := s.Read(s.got[n:])
		n += more
		if size, bad := wire.CheckAnswer(s.got[:n]); bad != nil || size > 0 {
			if bad == nil && size < n {
				bad = fmt.Errorf("read handshake answer: %d bytes follow it, though nothing was sent", n-size)
			}
			return bad
		}
		if err != nil {
			return fmt.Errorf("read handshake answer: %w", err)
		}
	}
	return fmt.Errorf("read handshake answer: its header is larger than %d bytes", len(s.got))
}

// trip sends the message and compares the echo.
func (s *socket) trip() error { return s.exchange(s.message, s.want) }

// bye sends a Close frame and waits for the answer to it and the end of the
// stream. Some servers end it without TLS's close_notify; all the frames have
// come by then.
func (s *socket) bye() error {
	sent, echoed := wire.Farewell()
	if err := s.exchange(sent, echoed); err != nil {
		return err
	}
	n, err := s.Read(s.got)
	switch {
	case n > 0:
		return errors.New("read from socket: bytes after the Close frame")
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return nil
	}
	return fmt.Errorf("read end of stream: %w", err)
}

// exchange writes a frame and compares what comes back.
func (s *socket) exchange(frame, want []byte) error {
	if _, err := s.Write(frame); err != nil {
		return fmt.Errorf("write to socket: %w", err)
	}
	if _, err := io.ReadFull(s, s.got[:len(want)]); err != nil {
		return fmt.Errorf("read echo: %w", err)
	}
	if !bytes.Equal(s.got[:len(want)], want) {
		return errors.New("read echo: other bytes came back")
	}
	return nil
}

// endWith has reads and writes end when ctx does; the caller calls the returned
// function once.
func (s *socket) endWith(ctx context.Context) func() bool {
	return context.AfterFunc(ctx, func() { _ = s.SetDeadline(time.Unix(1, 0)) })
}

func closeAll(sockets []*socket) {
	for _, s := range sockets {
		_ = s.NetConn().Close()
	}
}
