package e2e

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// dialTLS opens a TLS connection to a listener; the test's end closes it.
func dialTLS(t testing.TB, address string, cfg *tls.Config) (*tls.Conn, error) {
	t.Helper()
	nc, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(patience))
	c := tls.Client(nc, cfg)
	return c, c.Handshake()
}

// askTLS sends a GET over c and returns status and body.
func askTLS(t testing.TB, c *tls.Conn, path, fields string) (int, string) {
	t.Helper()
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: game.example\r\n%s\r\n", path, fields); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// onlySuite is a client that offers one suite of TLS 1.2.
func onlySuite(id uint16) *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{id}}
}

// What a look with openssl s_client would show: versions, suites, the right
// certificate per name, a session that is resumed across a reload, and a
// renewed certificate that is served while a connection of before goes on.
func TestTLSListener(t *testing.T) {
	t.Parallel()
	backend := &testkit.Backend{}
	backend.Start(t)
	authority := testkit.NewAuthority(t)
	dir := t.TempDir()
	gameCert, gameKey := testkit.CertFiles(t, dir, "game", authority.Issue("game.example"))
	chatCert, chatKey := testkit.CertFiles(t, dir, "chat", authority.Issue("*.chat.example"))
	p := start(t, setup{
		listener: fmt.Sprintf("tls: {certificates: [{cert: %q, key: %q}, {cert: %q, key: %q}]}", gameCert, gameKey, chatCert, chatKey),
		rest:     fmt.Sprintf("routes: [{pool: web}]\n"+`pools: {web: {backends: [{url: "http://%s"}]}}`, backend.Addr),
	})

	refused := func(name string, cfg *tls.Config, want string) {
		t.Helper()
		if _, err := dialTLS(t, p.web, cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
	}
	refused("TLS 1.1", &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, "protocol version not supported")
	refused("RC4", onlySuite(tls.TLS_ECDHE_ECDSA_WITH_RC4_128_SHA), "handshake failure")
	refused("CBC", onlySuite(tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA), "handshake failure")
	refused("another protocol", &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}, "no application protocol")

	named := func(asked, want string) {
		t.Helper()
		c, err := dialTLS(t, p.web, &tls.Config{ServerName: asked, RootCAs: authority.Pool(), InsecureSkipVerify: asked == "" || want != asked})
		if err != nil {
			t.Errorf("%q: %v", asked, err)
			return
		}
		if got := c.ConnectionState().PeerCertificates[0].DNSNames[0]; got != want {
			t.Errorf("%q gets the certificate of %s, want %s", asked, got, want)
		}
	}
	named("game.example", "game.example")
	named("eu.chat.example", "*.chat.example")
	named("", "game.example")
	named("nobody.example", "game.example")

	client := &tls.Config{ServerName: "game.example", RootCAs: authority.Pool(), ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	first, err := dialTLS(t, p.web, client)
	if err != nil || first.ConnectionState().DidResume {
		t.Fatalf("first: %v", err)
	}
	if status, _ := askTLS(t, first, "/", ""); status != http.StatusOK {
		t.Fatalf("first: %d", status)
	}
	p.setup.listener = strings.Replace(p.setup.listener, "tls: {", "limits: {max_connections: 1000}, tls: {", 1)
	p.write(p.setup.rest)
	p.reload()
	second, err := dialTLS(t, p.web, client)
	if err != nil || !second.ConnectionState().DidResume {
		t.Errorf("after a reload: resumed %t, %v", err == nil && second.ConnectionState().DidResume, err)
	}

	renewed := authority.Issue("game.example", "renewed.example")
	testkit.CertFiles(t, dir, "game", renewed)
	testkit.Eventually(t, 2*patience, func() bool {
		c, err := dialTLS(t, p.web, &tls.Config{ServerName: "game.example", RootCAs: authority.Pool()})
		return err == nil && c.ConnectionState().PeerCertificates[0].Equal(renewed.Leaf)
	}, "the renewed certificate is served")
	if status, _ := askTLS(t, first, "/", ""); status != http.StatusOK {
		t.Errorf("the connection of before: %d", status)
	}
	p.logged("renewed.example")
}

// The subject of a client's certificate reaches the backend, and nothing that
// looks like it and comes from the client, at any listener.
func TestClientCertificate(t *testing.T) {
	t.Parallel()
	backend := &testkit.Backend{}
	backend.SetHandler(func(ctx *fasthttp.RequestCtx) {
		for name, value := range ctx.Request.Header.All() {
			if n := strings.ToLower(string(name)); strings.Contains(n, "client") || n == "x-who" {
				fmt.Fprintf(ctx, "%s: %s\n", name, value)
			}
		}
	})
	backend.Start(t)
	authority := testkit.NewAuthority(t)
	dir := t.TempDir()
	cert, key := testkit.CertFiles(t, dir, "game", authority.Issue("game.example"))
	ca := testkit.WriteFile(t, dir, "ca.pem", authority.PEM())
	plain := freeAddr(t)
	p := prepare(t, setup{})
	p.writeText(fmt.Sprintf(`admin: {address: %q}
log: {access: access.log}
shutdown: {deadline: 300ms}
listeners:
  - {name: plain, address: %q, trusted_proxies: [127.0.0.1]}
  - {name: web, address: %q, tls: {certificates: [{cert: %q, key: %q}], client_ca: %q}}
routes: [{pool: web, headers: {request: {set: {X-Who: "$tls_version $client_cert_subject"}}}}]
pools: {web: {backends: [{url: "http://%s"}]}}
`, p.admin, plain, p.web, cert, key, ca, backend.Addr))
	p.begin()
	testkit.Eventually(t, patience, func() bool { return p.readyStatus() == http.StatusOK }, "holdfast is ready")

	const forged = "X-Client-Cert-Subject: CN=root\r\nX_client_cert_Subject: CN=root\r\n"
	c, err := dialTLS(t, p.web, &tls.Config{ServerName: "game.example", RootCAs: authority.Pool(), Certificates: []tls.Certificate{authority.Issue("ada.players.example")}})
	if err != nil {
		t.Fatal(err)
	}
	want := "X-Client-Cert-Subject: CN=ada.players.example\nX-Who: TLSv1.3 CN=ada.players.example\n"
	if _, body := askTLS(t, c, "/", forged); body != want {
		t.Errorf("over TLS the backend sees\n%s\nwant\n%s", body, want)
	}
	_, body := exchange(t, plain, "GET / HTTP/1.1\r\nHost: game.example\r\n"+forged+"\r\n")
	if strings.Contains(body, "root") {
		t.Errorf("in clear, from a trusted proxy, the backend sees\n%s", body)
	}

	none, err := dialTLS(t, p.web, &tls.Config{ServerName: "game.example", RootCAs: authority.Pool()})
	if err == nil {
		_, err = none.Read(make([]byte, 1)) // TLS 1.3 tells after the client's handshake
	}
	if err == nil || !strings.Contains(err.Error(), "certificate required") {
		t.Errorf("without a certificate: %v", err)
	}
}
