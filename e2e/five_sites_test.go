package e2e

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/fasthttp/websocket"
	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

const fiveSites = "../examples/five-sites/holdfast.yaml"

// The example that has a whole guide's site is at most 40 lines, is what check
// wants, and serves: five sockets with their prefixes taken away, and the
// application at /.
func TestFiveSites(t *testing.T) {
	t.Parallel()
	text := mustRead(t, fiveSites)
	if n := strings.Count(text, "\n"); n > 40 {
		t.Errorf("it has %d lines", n)
	}
	secure := strings.Contains(text, "tls:")
	p := launchFiveSites(t, text, secure)
	scheme := "ws"
	if secure {
		scheme = "wss"
	}
	dialer := websocket.Dialer{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, HandshakeTimeout: patience}
	for i, site := range []string{"chat", "data", "game", "iot", "notify"} {
		c, resp, err := dialer.Dial(fmt.Sprintf("%s://%s/%s/room", scheme, p.web, site), nil)
		if err != nil {
			t.Errorf("%s: %v", site, err)
			continue
		}
		if got, want := resp.Header.Get("X-Path"), fmt.Sprintf("%d /room", i); got != want {
			t.Errorf("%s: server and path are %q, want %q", site, got, want)
		}
		if err := c.WriteMessage(websocket.TextMessage, []byte(site)); err != nil {
			t.Errorf("%s: %v", site, err)
		}
		if _, got, err := c.ReadMessage(); err != nil || string(got) != site {
			t.Errorf("%s: echo %q, %v", site, got, err)
		}
		_ = c.Close()
	}
	client := newClient(t)
	client.Transport.(*http.Transport).TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	resp, body := fetch(t, client, request(t, "GET", strings.Replace(scheme, "ws", "http", 1)+"://"+p.web+"/chats", nil))
	if resp.StatusCode != 200 || body != "application /chats" {
		t.Errorf("the application answers %d %q", resp.StatusCode, body)
	}
}

// launchFiveSites runs the example with backends and addresses of this test.
func launchFiveSites(t *testing.T, text string, secure bool) *process {
	t.Helper()
	replace := []string{}
	for i := range 5 {
		echo := testkit.Echo()
		b := testkit.StartBackend(t, func(ctx *fasthttp.RequestCtx) {
			ctx.Response.Header.Set("X-Path", fmt.Sprintf("%d %s", i, ctx.Path()))
			echo(ctx)
		})
		replace = append(replace, fmt.Sprintf("127.0.0.1:808%d", i+1), b.Addr)
	}
	app := testkit.StartBackend(t, func(ctx *fasthttp.RequestCtx) { fmt.Fprintf(ctx, "application %s", ctx.Path()) })
	p := prepare(t, setup{})
	replace = append(replace, "127.0.0.1:3000", app.Addr)
	if secure {
		_, port, _ := net.SplitHostPort(p.web)
		cert, key := testkit.CertFiles(t, p.dir, "site", testkit.NewAuthority(t).Issue("game.example"))
		replace = append(replace, `":80"`, `"`+freeAddr(t)+`"`, `":443"`, `"`+p.web+`"`, "redirect_https: 443", "redirect_https: "+port, "site.crt", cert, "site.key", key)
	} else {
		replace = append(replace, `":80"`, `"`+p.web+`"`)
	}
	p.writeText(strings.NewReplacer(replace...).Replace(text) + fmt.Sprintf("admin: {address: %q}\nlog: {access: access.log}\nshutdown: {deadline: 300ms}\n", p.admin))
	p.begin()
	testkit.Eventually(t, patience, func() bool {
		status, body, _ := p.adminGet("/readyz")
		return status == http.StatusOK && !strings.Contains(string(body), "pools_down")
	}, "all pools are up")
	return p
}
