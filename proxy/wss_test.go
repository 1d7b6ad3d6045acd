//go:build unix

package proxy

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fasthttp/websocket"
	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/balancer"
	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/internal/explain"
	"github.com/holdfast-lb/holdfast/internal/testkit"
	front "github.com/holdfast-lb/holdfast/listener"
	"github.com/holdfast-lb/holdfast/metrics"
	"github.com/holdfast-lb/holdfast/relay"
)

// startSockets runs a proxy with a relay behind a real listener until the test
// ends; cfg ends the clients' TLS, nil: they speak none.
func startSockets(t *testing.T, of *config.Config, cfg *tls.Config) (r *rig, rl *relay.Relay) {
	t.Helper()
	rl, err := relay.New(relay.Options{Loops: 2})
	if err != nil {
		t.Fatal(err)
	}
	m := metrics.New()
	log := slog.New(slog.DiscardHandler)
	reports := explain.NewReporter(log, time.Hour)
	var set *front.Set
	r = &rig{metrics: m, registry: balancer.NewRegistry()}
	r.proxy = New(Options{
		Metrics: m, Relay: rl, Log: log, Reports: reports,
		Adopt: r.registry.Adopt,
		Place: func(listener string, key uint64) Place { return set.Place(listener, key) },
	})
	r.swap(t, of)
	set = front.New(front.Options{
		Handler: r.proxy.Handler, Log: log, Reports: reports,
		TLS: func(config.Listener) *tls.Config { return cfg },
	})
	l := of.Listeners[0]
	l.Address = "127.0.0.1:0"
	l.Timeouts.Header = patience
	change, err := set.Prepare([]config.Listener{l})
	if err != nil {
		t.Fatal(err)
	}
	change.Commit()
	r.addr = set.Addr(l.Name).String()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := set.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		rl.Close()
		r.proxy.Close()
		reports.Close()
	})
	return r, rl
}

// eachTLS runs a test with TLS on no, either and both sides of the balancer.
func eachTLS(t *testing.T, f func(t *testing.T, s *sides)) {
	t.Helper()
	for _, name := range []string{"ws to ws", "wss to ws", "ws to wss", "wss to wss"} {
		t.Run(name, func(t *testing.T) {
			client, backend, _ := strings.Cut(name, " to ")
			f(t, &sides{authority: testkit.NewAuthority(t), client: client == "wss", backend: backend == "wss"})
		})
	}
}

// sides says which sides of the balancer speak TLS.
type sides struct {
	authority       *testkit.Authority
	client, backend bool
}

func (s *sides) start(t *testing.T, h fasthttp.RequestHandler) *testkit.Backend {
	t.Helper()
	if s.backend {
		return startTLSBackend(t, serverTLS(s.authority), h)
	}
	return testkit.StartBackend(t, h)
}

func (s *sides) proxy(t *testing.T, backends ...string) (*rig, *relay.Relay) {
	t.Helper()
	cfg := configOf(backends...)
	if s.backend {
		cfg = tlsConfigOf(t, s.authority, backends...)
	}
	var ends *tls.Config
	if s.client {
		ends = serverTLS(s.authority)
	}
	return startSockets(t, cfg, ends)
}

// dial opens a WebSocket.
func (s *sides) dial(addr string) (*websocket.Conn, *http.Response, error) {
	d := websocket.Dialer{HandshakeTimeout: patience, TLSClientConfig: &tls.Config{RootCAs: s.authority.Pool()}}
	url := "ws://" + addr + "/ws"
	if s.client {
		url = "wss://" + addr + "/ws"
	}
	return d.Dial(url, nil)
}

// Messages of every size, both ways at once, and a Close that is answered.
func TestSocketsOverTLS(t *testing.T) {
	eachTLS(t, func(t *testing.T, s *sides) {
		b := s.start(t, testkit.Echo())
		r, _ := s.proxy(t, b.Addr)
		c, _, err := s.dial(r.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		sizes := []int{0, 1, 125, 126, 16383, 16384, 16385, 65536, 1 << 20}
		var sender sync.WaitGroup
		sender.Go(func() {
			for _, size := range sizes {
				if err := c.WriteMessage(websocket.BinaryMessage, bytes.Repeat([]byte{byte(size)}, size)); err != nil {
					t.Error(err)
					return
				}
			}
			_ = c.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(4000, "done"))
		})
		for _, size := range sizes {
			_ = c.SetReadDeadline(time.Now().Add(patience))
			_, got, err := c.ReadMessage()
			if err != nil || !bytes.Equal(got, bytes.Repeat([]byte{byte(size)}, size)) {
				t.Fatalf("a message of %d bytes came back with %d (%v)", size, len(got), err)
			}
		}
		if _, _, err := c.ReadMessage(); !websocket.IsCloseError(err, 4000) {
			t.Errorf("the end was %v, want a Close 4000", err)
		}
		sender.Wait()
		_ = c.Close()
		r.expectIdle(t, b.Addr)
	})
}

// What a client sends right behind its handshake, in the same record, is not
// lost on the way out of HTTP.
func TestEarlyFramesOverTLS(t *testing.T) {
	a := testkit.NewAuthority(t)
	b := testkit.StartBackend(t, testkit.Echo())
	r, _ := startSockets(t, configOf(b.Addr), serverTLS(a))
	c, err := tls.Dial("tcp", r.addr, &tls.Config{RootCAs: a.Pool()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	early := testkit.Text("early bird").Mask().Append(nil)
	large := testkit.Binary(make([]byte, 40000)).Mask().Append(nil)
	if _, err := c.Write(append([]byte(testkit.HandshakeRequest(r.addr, "/ws")), append(early, large...)...)); err != nil {
		t.Fatal(err)
	}
	br := bufio.NewReader(c)
	resp, err := http.ReadResponse(br, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("answer %v, error %v", resp, err)
	}
	for _, size := range []int{10, 40000} {
		if f, err := testkit.ReadFrame(br); err != nil || len(f.Payload) != size {
			t.Fatalf("frame of %d bytes came back with %d (%v)", size, len(f.Payload), err)
		}
	}
}

// An answer other than 101 and a failure reach the client as answers.
func TestHandshakesThatFailOverTLS(t *testing.T) {
	eachTLS(t, func(t *testing.T, s *sides) {
		f := func(name string, h fasthttp.RequestHandler, status int, text string) {
			t.Helper()
			b := s.start(t, h)
			r, _ := s.proxy(t, b.Addr)
			c, resp, err := s.dial(r.addr)
			if err == nil {
				_ = c.Close()
				t.Fatalf("%s: a socket opened", name)
			}
			if resp == nil {
				t.Fatalf("%s: no answer: %v", name, err)
			}
			body, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != status || !strings.Contains(string(body), text) {
				t.Errorf("%s: answer %d %q, want %d and %q in it", name, resp.StatusCode, body, status, text)
			}
			r.expectIdle(t, b.Addr)
		}
		f("forbidden", testkit.Refuse(403), 403, "refused")
		f("wrong accept", testkit.WrongAccept(), 502, "bad_answer")
	})
}

// A backend that is not there, or not believed, is passed over for the next.
func TestSocketsTryAnotherBackendOverTLS(t *testing.T) {
	eachTLS(t, func(t *testing.T, s *sides) {
		b := s.start(t, testkit.Echo())
		bad := testkit.FreeAddr(t)
		if s.backend {
			stranger := startTLSBackend(t, serverTLS(testkit.NewAuthority(t)), testkit.Echo())
			bad = stranger.Addr
			r, _ := s.proxy(t, bad)
			_, resp, err := s.dial(r.addr)
			if err == nil || resp == nil || resp.StatusCode != 502 {
				t.Fatalf("a backend that is not believed: %v, %v", resp, err)
			}
			if body, _ := io.ReadAll(resp.Body); !strings.Contains(string(body), "backend_untrusted") {
				t.Errorf("the client read %q", body)
			}
		}
		r, _ := s.proxy(t, bad, b.Addr)
		c, _, err := s.dial(r.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.WriteMessage(websocket.TextMessage, []byte("hello")); err != nil {
			t.Fatal(err)
		}
		if _, got, err := c.ReadMessage(); err != nil || string(got) != "hello" {
			t.Fatalf("read %q (%v)", got, err)
		}
	})
}

// A farewell is read as a Close, within TLS.
func TestFarewellOverTLS(t *testing.T) {
	eachTLS(t, func(t *testing.T, s *sides) {
		b := s.start(t, testkit.Echo())
		r, rl := s.proxy(t, b.Addr)
		c, _, err := s.dial(r.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		testkit.Eventually(t, patience, func() bool { return rl.Stats().Pairs == 1 }, "an open pair")
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		done := make(chan error, 1)
		go func() { done <- rl.Farewell(ctx, 1001, "going away") }()
		_ = c.SetReadDeadline(time.Now().Add(patience))
		if _, _, err := c.ReadMessage(); !websocket.IsCloseError(err, 1001) {
			t.Errorf("the client read %v, want a Close 1001", err)
		}
		_ = c.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// Requests over TLS are https to backends.
func TestRequestsOverTLS(t *testing.T) {
	a := testkit.NewAuthority(t)
	b := testkit.StartBackend(t, func(ctx *fasthttp.RequestCtx) {
		ctx.Write(ctx.Request.Header.Peek("X-Forwarded-Proto"))
	})
	r, _ := startSockets(t, configOf(b.Addr), serverTLS(a))
	client := http.Client{Timeout: patience, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: a.Pool()}}}
	defer client.CloseIdleConnections()
	resp, err := client.Get("https://" + r.addr + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != 200 || string(body) != "https" {
		t.Errorf("answer %d %q, want 200 and https", resp.StatusCode, body)
	}
}
