package terminal

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/fasthttp/websocket"
	"github.com/spf13/cobra"

	"github.com/holdfast-lb/holdfast/internal/cause"
)

// trial is one run of test-socket.
type trial struct {
	url           *url.URL
	header        http.Header
	subprotocols  []string
	insecure      bool
	count         int
	message       string
	timeout       time.Duration
	backendHeader string

	out io.Writer
	// Of the connection, once it is made.
	local      net.Addr
	tcp, wrap  time.Duration // that TCP and TLS took
	encryption *tls.ConnectionState
}

func newTestSocket() *cobra.Command {
	t := &trial{header: http.Header{}}
	var headers []string
	var origin string
	cmd := &cobra.Command{
		Use:   "test-socket URL",
		Short: "Open a WebSocket, have it echo, and say what happened",
		Long: "Opens URL (ws:// or wss://), sends messages, expects each to come back, and closes with 1000.\n" +
			"Prints the handshake, the backend, the round trips and the close. If something fails, it prints\n" +
			"the answer with the explanation of its code and ends with 1.\n\n" +
			"The backend is what a header of the answer names (--backend-header, such as the route sets with\n" +
			"headers.response and $backend), or what the admin address says has a new socket.",
		Args: oneArgument,
	}
	flags := cmd.Flags()
	flags.StringArrayVarP(&headers, "header", "H", nil, "further `FIELD: VALUE` of the handshake; may be repeated")
	flags.StringVar(&origin, "origin", "", "the `ORIGIN` of the page, as browsers send it: https://game.example")
	flags.StringSliceVar(&t.subprotocols, "subprotocol", nil, "`NAME`s of subprotocols to offer, separated by commas")
	flags.BoolVar(&t.insecure, "insecure", false, "believe any certificate")
	flags.IntVar(&t.count, "count", 5, "messages to send, one after the other; 0: none")
	flags.StringVar(&t.message, "message", "holdfast", "the `TEXT` of each")
	flags.DurationVar(&t.timeout, "timeout", 5*time.Second, "the longest wait for the handshake, for each message and for the close")
	flags.StringVar(&t.backendHeader, "backend-header", "X-Backend", "`FIELD` of the answer that names the backend")
	remote(cmd, func(ctx context.Context, c *client, args []string) error {
		t.out = tamed{cmd.OutOrStdout()}
		if err := t.parse(args[0], headers, origin); err != nil {
			return err
		}
		return t.run(ctx, c)
	})
	return cmd
}

// parse takes what was written on the command line.
func (t *trial) parse(text string, headers []string, origin string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return fmt.Errorf("%q is no URL, write ws://HOST:PORT/PATH or wss://HOST/PATH", text)
	}
	switch u.Scheme {
	case "http":
		u.Scheme = "ws"
	case "https":
		u.Scheme = "wss"
	case "ws", "wss":
	default:
		return fmt.Errorf("scheme %q is none of ws and wss", u.Scheme)
	}
	if err := errors.Join(notNegative("count", t.count), positive("timeout", t.timeout)); err != nil {
		return err
	}
	t.url = u
	for _, h := range headers {
		name, value, found := strings.Cut(h, ":")
		if !found || strings.TrimSpace(name) == "" {
			return fmt.Errorf("--header %q is not FIELD: VALUE", h)
		}
		t.header.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	if origin != "" {
		t.header.Set("Origin", origin)
	}
	return nil
}

// run opens the socket, uses it and closes it.
func (t *trial) run(ctx context.Context, admin *client) error {
	before := openSockets(ctx, admin)
	began := time.Now()
	conn, resp, err := t.dialer().DialContext(ctx, t.url.String(), t.header)
	took := time.Since(began)
	if err != nil {
		if resp == nil {
			return fmt.Errorf("no handshake with %s: %w", t.url.Host, t.advise(err))
		}
		return t.refused(resp, took)
	}
	defer conn.Close()
	t.printHandshake(resp, took)
	fmt.Fprintf(t.out, "backend    %s\n", t.backend(ctx, resp, admin, before))
	conn.SetReadLimit(16 << 20)
	if err := t.echo(conn); err != nil {
		return err
	}
	return t.close(conn)
}

// dialer connects and notes how long each layer took.
func (t *trial) dialer() *websocket.Dialer {
	connect := func(ctx context.Context, network, address string) (net.Conn, error) {
		began := time.Now()
		c, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		t.local, t.tcp = c.LocalAddr(), time.Since(began)
		return c, nil
	}
	return &websocket.Dialer{
		HandshakeTimeout: t.timeout,
		Subprotocols:     t.subprotocols,
		NetDialContext:   connect,
		NetDialTLSContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := connect(ctx, network, address)
			if err != nil {
				return nil, err
			}
			began := time.Now()
			secure := tls.Client(c, &tls.Config{
				ServerName:         t.url.Hostname(),
				NextProtos:         []string{"http/1.1"},
				InsecureSkipVerify: t.insecure, // #nosec G402 -- what --insecure asks for
			})
			if err := secure.HandshakeContext(ctx); err != nil {
				_ = c.Close()
				return nil, err
			}
			state := secure.ConnectionState()
			t.encryption, t.wrap = &state, time.Since(began)
			return secure, nil
		},
	}
}

// echo sends the messages and prints how long each was on its way.
func (t *trial) echo(conn *websocket.Conn) error {
	if t.count == 0 {
		return nil
	}
	trips := make([]time.Duration, 0, t.count)
	others := 0
	for range t.count {
		began := time.Now()
		_ = conn.SetWriteDeadline(began.Add(t.timeout))
		_ = conn.SetReadDeadline(began.Add(t.timeout))
		if err := conn.WriteMessage(websocket.TextMessage, []byte(t.message)); err != nil {
			return fmt.Errorf("send message %d: %w", len(trips)+1, err)
		}
		for {
			_, got, err := conn.ReadMessage()
			if err != nil {
				return t.noEcho(len(trips), others, err)
			}
			if string(got) == t.message {
				break
			}
			others++
		}
		trips = append(trips, time.Since(began))
	}
	slices.Sort(trips)
	fmt.Fprintf(t.out, "echo       %d of %d B: min %s, median %s, max %s\n", t.count, len(t.message),
		milliseconds(trips[0]), milliseconds(trips[len(trips)/2]), milliseconds(trips[len(trips)-1]))
	if others > 0 {
		fmt.Fprintf(t.out, "           %d other messages came between\n", others)
	}
	return nil
}

// noEcho says why there was none.
func (t *trial) noEcho(done, others int, err error) error {
	var ended *websocket.CloseError
	switch {
	case errors.As(err, &ended):
		t.printClose(ended, "before the echo")
		return fmt.Errorf("the socket ended after %d of %d echoes", done, t.count)
	case cause.Timeout(err):
		return fmt.Errorf("no echo within %s after %d of %d, %d other messages came; does the server echo? --count 0 sends nothing",
			t.timeout, done, t.count, others)
	}
	return fmt.Errorf("the socket broke off after %d of %d echoes: %w", done, t.count, err)
}

// close says Close 1000 and waits for the answer.
func (t *trial) close(conn *websocket.Conn) error {
	began := time.Now()
	_ = conn.SetReadDeadline(began.Add(t.timeout))
	bye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	if err := conn.WriteControl(websocket.CloseMessage, bye, began.Add(t.timeout)); err != nil {
		return fmt.Errorf("send Close: %w", err)
	}
	for {
		_, _, err := conn.ReadMessage()
		if err == nil {
			continue // sent before it read our Close
		}
		var ended *websocket.CloseError
		if !errors.As(err, &ended) {
			return fmt.Errorf("no Close came back: %w", err)
		}
		t.printClose(ended, "in "+milliseconds(time.Since(began)))
		if ended.Code != websocket.CloseNormalClosure {
			return fmt.Errorf("the socket ended with %d, not with 1000", ended.Code)
		}
		return nil
	}
}
