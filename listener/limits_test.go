package listener

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// One connection too many is told why, whether its client waits for that or
// sends a request first.
func TestMaxConnections(t *testing.T) {
	f := func(name string, perIP bool, status int, refusal Refusal) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			opts, meterOf := metered(hello)
			l := web()
			if perIP {
				l.Limits.MaxConnectionsPerIP = 2
			} else {
				l.Limits.MaxConnections = 2
			}
			_, address := serve(t, opts, l)
			one, two := testkit.DialTCP(t, address), testkit.DialTCP(t, address)
			get(t, one, "/1")
			get(t, two, "/2")

			silent := testkit.DialTCP(t, address)
			if resp := silent.ReadResponse(5 * time.Second); resp.StatusCode != status || !resp.Close || resp.Header.Get("Retry-After") == "" {
				t.Errorf("silent client: status %d, close %v, header %v; want %d", resp.StatusCode, resp.Close, resp.Header, status)
			}
			silent.ReadUntil("\n", 5*time.Second)
			silent.ExpectClosed(5 * time.Second)
			client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
			resp, err := client.Get("http://" + address + "/")
			tries := int64(1)
			for ; err != nil && tries < 3; tries++ { // which is what it says if the machine has it wait to send
				resp, err = client.Get("http://" + address + "/")
			}
			if err != nil {
				t.Fatalf("net/http client: %v", err)
			}
			body, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode != status || len(body) == 0 {
				t.Errorf("net/http client: status %d, body %q, want %d", resp.StatusCode, body, status)
			}
			if at, err := http.ParseTime(resp.Header.Get("Date")); err != nil || time.Since(at).Abs() > time.Minute {
				t.Errorf("Date %q", resp.Header.Get("Date"))
			}

			get(t, one, "/1")
			m := meterOf("web")
			if n := m.refused[refusal].Load(); n != 1+tries {
				t.Errorf("%d refused, want %d", n, 1+tries)
			}
			if n := m.accepted.Load(); n != 3+tries {
				t.Errorf("%d accepted, want %d", n, 3+tries)
			}
			if n := m.opened(); n != 2 {
				t.Errorf("%d open, want 2", n)
			}
			two.Close()
			testkit.Eventually(t, 10*time.Second, func() bool { return m.opened() == 1 }, "the closed connection leaves room")
			get(t, testkit.DialTCP(t, address), "/3")
		})
	}
	f("in all", false, 503, RefusedMaxConnections)
	f("per address", true, 429, RefusedMaxConnectionsPerIP)
}

// A flood of refused connections never holds up the accept loop.
func TestRefusalsDoNotBlock(t *testing.T) {
	opts, meterOf := metered(hello)
	l := web()
	l.Limits.MaxConnections = 1
	_, address := serve(t, opts, l)
	one := testkit.DialTCP(t, address)
	get(t, one, "/1")
	const flood = 3 * maxFarewells
	start := time.Now()
	for range flood {
		c, err := net.Dial("tcp", address) // says nothing, reads nothing
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	m := meterOf("web")
	// One after the other they would take requestWait each.
	const most = flood * requestWait / 3
	testkit.Eventually(t, most, func() bool { return m.refused[RefusedMaxConnections].Load() == flood }, "all are refused")
	if took := time.Since(start); took > most {
		t.Errorf("%d refusals took %v", flood, took)
	}
	get(t, one, "/1")
}

// The limits and the bucket are those of the configuration that is in force, on
// connections that are older too.
func TestLimitsFollowReload(t *testing.T) {
	opts, meterOf := metered(func(ctx *fasthttp.RequestCtx) {
		c := ctx.Conn().(*Conn)
		n := 0
		for c.AllowHandshake(addr("192.0.2.1")) && n < 100 {
			n++
		}
		fmt.Fprintf(ctx, "%d handshakes", n)
	})
	l := web()
	s, address := serve(t, opts, l)
	c := testkit.DialTCP(t, address)
	ask := func(want string) {
		t.Helper()
		c.Send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		body, _ := io.ReadAll(c.ReadResponse(5 * time.Second).Body)
		if string(body) != want {
			t.Errorf("got %q, want %q", body, want)
		}
	}
	ask("100 handshakes")
	l.Limits.HandshakesPerSecondPerIP = 5
	l.Limits.MaxConnectionsPerIP = 1
	change(t, s, l)
	ask("5 handshakes")
	if n := meterOf("web").refused[RefusedHandshakeRate].Load(); n != 1 {
		t.Errorf("%d handshakes counted as refused, want 1", n)
	}
	// The connection from before the limit counts.
	if resp := testkit.DialTCP(t, address).ReadResponse(5 * time.Second); resp.StatusCode != 429 {
		t.Errorf("status %d, want 429", resp.StatusCode)
	}
}

func TestMustAnnounce(t *testing.T) {
	l := web()
	l.ProxyProtocol = []string{"10.0.0.0/8", "fd00::/8", "fe80::/10"}
	st, err := New(options(hello)).compile(l)
	if err != nil {
		t.Fatal(err)
	}
	f := func(ip string, want bool) {
		t.Helper()
		if got := st.mustAnnounce(net.TCPAddrFromAddrPort(netip.AddrPortFrom(addr(ip), 1))); got != want {
			t.Errorf("mustAnnounce(%s) = %v, want %v", ip, got, want)
		}
	}
	f("10.1.2.3", true)
	f("11.1.2.3", false)
	f("fd12::1", true)
	f("fe80::1%eth0", true)
	f("2001:db8::1", false)
	if st.mustAnnounce(&net.UnixAddr{Name: "@", Net: "unix"}) {
		t.Error("a Unix socket must announce")
	}
	l.ProxyProtocol = []string{"10.0.0.0/33"}
	if _, err := New(options(hello)).compile(l); err == nil {
		t.Error("compiled an impossible prefix")
	}
}

// Keep-alive ends with the last request that a connection may carry, also if
// the connection was parked in between.
func TestMaxRequestsPerConnection(t *testing.T) {
	f := func(limit, answered int) {
		t.Helper()
		l := web()
		l.Limits.MaxRequestsPerConnection = limit
		_, address := serve(t, options(hello), l)
		c := testkit.DialTCP(t, address)
		for i := 1; i <= answered; i++ {
			c.Send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			resp := c.ReadResponse(5 * time.Second)
			_, _ = io.Copy(io.Discard, resp.Body)
			if resp.StatusCode != 200 || resp.Close != (i == limit) {
				t.Errorf("limit %d, request %d: status %d, close %t", limit, i, resp.StatusCode, resp.Close)
			}
			if i == 1 && answered > 1 {
				time.Sleep(parkAfter + parkAfter/4)
			}
		}
		if limit > 0 {
			c.ExpectEOF(5 * time.Second)
		} else {
			get(t, c, "/still")
		}
	}
	f(1, 1)
	f(3, 3)
	f(0, 5)
}

// Each request helps before it is handled, and an upload at each of its reads.
func TestRequestsHelp(t *testing.T) {
	var helps atomic.Int64
	uploading := make(chan struct{})
	opts := options(func(ctx *fasthttp.RequestCtx) {
		if n := helps.Swap(0); n != 1 {
			t.Errorf("a request was handled behind %d helps", n)
		}
		if body := ctx.RequestBodyStream(); body != nil {
			c, _ := connOf(ctx.Conn())
			c.BeginUpload(nil)
			close(uploading)
			if b, err := io.ReadAll(body); err != nil || string(b) != "first, second" {
				t.Errorf("read %q, %v", b, err)
			}
			c.EndUpload()
			if n := helps.Swap(0); n < 1 {
				t.Error("an upload did not help")
			}
		}
		hello(ctx)
	})
	opts.Help = func() { helps.Add(1) }
	_, address := serve(t, opts, web())
	c := testkit.DialTCP(t, address)
	get(t, c, "/")
	get(t, c, "/again")
	c.Send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n7\r\nfirst, \r\n")
	<-uploading
	c.Send("6\r\nsecond\r\n0\r\n\r\n")
	if resp := c.ReadResponse(5 * time.Second); resp.StatusCode != 200 {
		t.Errorf("status %d", resp.StatusCode)
	}
}

// While memory is short nobody new comes in, and who is there stays.
func TestShortOfMemory(t *testing.T) {
	var short atomic.Bool
	opts, meterOf := metered(hello)
	opts.Short = short.Load
	_, address := serve(t, opts, web())
	one := testkit.DialTCP(t, address)
	get(t, one, "/1")
	short.Store(true)
	two := testkit.DialTCP(t, address)
	if resp := two.ReadResponse(5 * time.Second); resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		t.Errorf("status %d, header %v", resp.StatusCode, resp.Header)
	}
	get(t, one, "/2")
	short.Store(false)
	get(t, testkit.DialTCP(t, address), "/3")
	if n := meterOf("web").refused[RefusedMemory].Load(); n != 1 {
		t.Errorf("%d refused, want 1", n)
	}
}
