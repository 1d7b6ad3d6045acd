//go:build unix

package listener

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// over makes opts end TLS with a certificate of a's.
func over(t testing.TB, a *testkit.Authority, opts Options) Options {
	cfg := &tls.Config{Certificates: []tls.Certificate{a.Issue("127.0.0.1")}, NextProtos: []string{"http/1.1"}}
	opts.TLS = func(config.Listener) *tls.Config { return cfg }
	return opts
}

// dialTLS connects, and shakes hands before it returns.
func dialTLS(t testing.TB, a *testkit.Authority, address string) *tls.Conn {
	t.Helper()
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: 10 * time.Second}, "tcp", address, &tls.Config{RootCAs: a.Pool()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

// getTLS sends a GET and returns status and body.
func getTLS(t testing.TB, c *tls.Conn, path string) (int, string) {
	t.Helper()
	if _, err := io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// Requests over TLS, before and behind the wait that parks a connection.
func TestTLS(t *testing.T) {
	a := testkit.NewAuthority(t)
	h := func(ctx *fasthttp.RequestCtx) {
		if !ctx.IsTLS() || ctx.TLSConnectionState().Version != tls.VersionTLS13 {
			t.Errorf("the handler sees TLS: %v", ctx.IsTLS())
		}
		hello(ctx)
	}
	_, address := serve(t, over(t, a, options(h)), web())
	c := dialTLS(t, a, address)
	for range 2 {
		for _, path := range []string{"/a", "/b"} {
			if status, body := getTLS(t, c, path); status != 200 || body != "hello "+path {
				t.Fatalf("answer %d %q", status, body)
			}
		}
		time.Sleep(parkAfter + 200*time.Millisecond) // the wait itself is what is tested
	}
}

// A new certificate is for new connections; those that are open go on.
func TestTLSFollowsReload(t *testing.T) {
	first, second := testkit.NewAuthority(t), testkit.NewAuthority(t)
	var now atomic.Pointer[tls.Config]
	now.Store(over(t, first, Options{}).TLS(config.Listener{}))
	opts := options(hello)
	opts.TLS = func(config.Listener) *tls.Config { return now.Load() }
	l := web()
	s, address := serve(t, opts, l)
	c := dialTLS(t, first, address)
	getTLS(t, c, "/")
	now.Store(over(t, second, Options{}).TLS(config.Listener{}))
	change(t, s, l)
	if status, _ := getTLS(t, dialTLS(t, second, address), "/new"); status != 200 {
		t.Errorf("status %d", status)
	}
	if status, _ := getTLS(t, c, "/old"); status != 200 {
		t.Errorf("status %d", status)
	}
	// TLS can be taken away and given as well.
	now.Store(nil)
	change(t, s, l)
	get(t, testkit.DialTCP(t, address), "/plain")
	if status, _ := getTLS(t, c, "/old"); status != 200 {
		t.Errorf("status %d", status)
	}
}

// Whoever speaks HTTP to a port of TLS reads what is wrong.
func TestClearTextOnTLSPort(t *testing.T) {
	a := testkit.NewAuthority(t)
	_, address := serve(t, over(t, a, options(hello)), web())
	for _, request := range []string{
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n", upgrade, "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabcde", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		c := testkit.DialTCP(t, address)
		c.Send(request)
		resp := c.ReadResponse(5 * time.Second)
		body, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != 400 || !strings.HasPrefix(string(body), "HF-5001 ") || !strings.Contains(string(body), "wss://") {
			t.Errorf("%q is answered with %d %q", request, resp.StatusCode, body)
		}
		c.ExpectEOF(5 * time.Second)
	}
	c := testkit.DialTCP(t, address)
	c.Send("\x00\x01\x02\x03\x04 neither HTTP nor TLS")
	if got := c.ReadAll(5 * time.Second); got != "" {
		t.Errorf("noise is answered with %q", got)
	}
}

// A handshake has timeouts.header, silent or slow.
func TestTLSHandshakeTimeout(t *testing.T) {
	a := testkit.NewAuthority(t)
	l := web()
	l.Timeouts.Header = 300 * time.Millisecond
	_, address := serve(t, over(t, a, options(hello)), l)
	for _, begin := range []string{"", "\x16\x03\x01\x02\x00\x01"} {
		began := time.Now()
		c := testkit.DialTCP(t, address)
		c.Send(begin)
		c.ReadAll(10 * time.Second)
		if d := time.Since(began); d < 250*time.Millisecond {
			t.Errorf("%q: the end came after %v", begin, d)
		}
	}
	// One who has shaken hands has what is left of it for his header.
	l.Timeouts.Header = 3 * time.Second // for a busy machine to shake hands in
	_, address = serve(t, over(t, a, options(hello)), l)
	c := dialTLS(t, a, address)
	if b, err := io.ReadAll(c); err != nil || len(b) > 0 {
		t.Errorf("a silent connection reads %q (%v)", b, err)
	}
}

// Too many connections are refused in TLS.
func TestRefusalOverTLS(t *testing.T) {
	a := testkit.NewAuthority(t)
	l := web()
	l.Limits.MaxConnections = 1
	_, address := serve(t, over(t, a, options(hello)), l)
	getTLS(t, dialTLS(t, a, address), "/")
	if status, body := getTLS(t, dialTLS(t, a, address), "/"); status != 503 || !strings.Contains(body, "max_connections") {
		t.Errorf("answer %d %q", status, body)
	}
}

// Clients that begin a handshake and go no further keep nobody out.
func TestHandshakeFlood(t *testing.T) {
	a := testkit.NewAuthority(t)
	_, address := serve(t, over(t, a, options(hello)), web())
	open := dialTLS(t, a, address)
	getTLS(t, open, "/")
	for range 100 {
		testkit.DialTCP(t, address).Send("\x16\x03\x01\x02\x00\x01")
	}
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			c, err := tls.Dial("tcp", address, &tls.Config{RootCAs: a.Pool()})
			if err != nil {
				t.Error(err)
				return
			}
			_ = c.Close()
		})
	}
	if status, _ := getTLS(t, open, "/"); status != 200 {
		t.Errorf("status %d", status)
	}
	all.Wait()
}

// What was read ahead, by fasthttp and by TLS, goes with the descriptor.
func TestDetachTLS(t *testing.T) {
	a := testkit.NewAuthority(t)
	got := make(chan detached, 1)
	_, address := serve(t, over(t, a, options(func(ctx *fasthttp.RequestCtx) {
		c, _ := connOf(ctx.Conn())
		ctx.HijackSetNoResponse(true)
		ctx.Hijack(func(hijacked net.Conn) {
			var d detached
			var err error
			if d.fd, d.place, err = c.Detach(); err != nil {
				t.Errorf("detach: %v", err)
			}
			var early []byte
			early, d.err = io.ReadAll(hijacked)
			d.early = string(early)
			d.tls = c.TLS()
			got <- d
		})
	})), web())
	c := dialTLS(t, a, address)
	early := strings.Repeat("0123456789abcdef", 1500) // more than fasthttp reads ahead
	if _, err := io.WriteString(c, upgrade+early); err != nil {
		t.Fatal(err)
	}
	d := <-got
	defer d.place.Leave()
	f := os.NewFile(uintptr(d.fd), "detached") // non-blocking, so it waits
	defer f.Close()
	if d.err != ErrDetached || !strings.HasPrefix(early, d.early) {
		t.Fatalf("read %d bytes ahead, error %v", len(d.early), d.err)
	}
	// The rest comes with the descriptor.
	text, b := d.early, make([]byte, 64<<10)
	for len(text) < len(early) {
		n, err := f.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		plain, _, err := d.tls.Open(nil, b[:n])
		if err != nil {
			t.Fatal(err)
		}
		text += string(plain)
	}
	if text != early {
		t.Fatal("other bytes came than were sent")
	}
	answer, err := d.tls.Seal(nil, []byte("hello from elsewhere"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(answer); err != nil {
		t.Fatal(err)
	}
	reply := make([]byte, 20)
	if _, err := io.ReadFull(c, reply); err != nil || string(reply) != "hello from elsewhere" {
		t.Fatalf("read %q (%v)", reply, err)
	}
}
