package proxy

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// announced reads a PROXY header of version 1 off each connection, sends it to
// seen, and serves the rest with f, over TLS if cfg is not nil.
func announced(t testing.TB, cfg *tls.Config, seen chan<- string, f func(r *bufio.Reader, c net.Conn)) (addr string) {
	t.Helper()
	return testkit.ServeTCP(t, func(tcp *net.TCPConn) {
		line := make([]byte, 0, 107)
		for len(line) == 0 || line[len(line)-1] != '\n' { // and no byte of what follows
			var b [1]byte
			if _, err := tcp.Read(b[:]); err != nil {
				return
			}
			line = append(line, b[0])
		}
		seen <- string(line)
		var c net.Conn = tcp
		if cfg != nil {
			c = tls.Server(tcp, cfg)
		}
		f(bufio.NewReader(c), c)
	})
}

// Each request has a connection that begins with its client's header, before
// TLS too, and no other client gets that connection.
func TestSendProxy(t *testing.T) {
	a := testkit.NewAuthority(t)
	for _, server := range []*tls.Config{nil, serverTLS(a)} {
		seen := make(chan string, 10)
		addr := announced(t, server, seen, func(r *bufio.Reader, c net.Conn) {
			for whole(r) {
				_, _ = io.WriteString(c, okAnswer)
			}
		})
		cfg := configOf(addr)
		if server != nil {
			cfg = tlsConfigOf(t, a, addr)
		}
		pool := cfg.Pools["pool"]
		pool.SendProxy = "v1"
		cfg.Pools["pool"] = pool
		cfg.Listeners[0].TrustedProxies = []string{"127.0.0.1"}
		r := start(t, cfg)
		c := testkit.DialTCP(t, r.addr)
		peer, here := c.LocalAddr().(*net.TCPAddr), c.RemoteAddr().(*net.TCPAddr)
		f := func(field, want string) {
			t.Helper()
			c.Send("GET / HTTP/1.1\r\nHost: a\r\n" + field + "\r\n")
			if got := string(c.ReadN(len(okAnswer), patience)); got != okAnswer {
				t.Errorf("%q", got)
			}
			if got := <-seen; got != want {
				t.Errorf("%q, want %q", got, want)
			}
		}
		own := "PROXY TCP4 127.0.0.1 127.0.0.1 " + portOf(peer) + " " + portOf(here) + "\r\n"
		f("", own)
		f("", own)
		f("X-Forwarded-For: 192.0.2.7\r\n", "PROXY TCP4 192.0.2.7 127.0.0.1 0 "+portOf(here)+"\r\n")
		f("X-Forwarded-For: 2001:db8::7\r\n", "PROXY TCP6 2001:db8::7 ::ffff:127.0.0.1 0 "+portOf(here)+"\r\n")
		r.expectIdle(t, addr)
	}
}

func portOf(a *net.TCPAddr) string {
	_, port, _ := net.SplitHostPort(a.String())
	return port
}

// A backend that two pools name, with and without the header, has connections
// of two kinds.
func TestSendProxyIsOfThePool(t *testing.T) {
	first := make(chan string, 10)
	addr := testkit.ServeTCP(t, func(c *net.TCPConn) {
		r := bufio.NewReader(c)
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		first <- line
		whole(r) // the rest of the head, or all of it
		_, _ = io.WriteString(c, okAnswer)
		for whole(r) {
			_, _ = io.WriteString(c, okAnswer)
		}
	})
	cfg := configOf(addr)
	told := configOf(addr).Pools["pool"]
	told.SendProxy = "v1"
	cfg.Pools["told"] = told
	route := cfg.Routes[0]
	route.Name, route.Path, route.Pool = "told", "/told", "told"
	cfg.Routes = append([]config.Route{route}, cfg.Routes...)
	r := start(t, cfg)
	for _, path := range []string{"/", "/told", "/"} {
		if got := r.exchange(t, strings.Replace(get, "/", path, 1)); !strings.HasSuffix(got, "ok") {
			t.Errorf("%s: %q", path, got)
		}
	}
	if got := <-first; !strings.HasPrefix(got, "GET ") {
		t.Errorf("the first connection begins with %q", got)
	}
	if got := <-first; !strings.HasPrefix(got, "PROXY TCP4 127.0.0.1 127.0.0.1 ") {
		t.Errorf("the second connection begins with %q", got)
	}
	if len(first) != 0 {
		t.Errorf("a third connection begins with %q", <-first)
	}
}
