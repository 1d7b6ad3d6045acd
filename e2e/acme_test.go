package e2e

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// pebble is a certificate authority for tests, by Let's Encrypt's own people.
type pebble struct {
	t         *testing.T
	directory string
	ca        string // file that verifies the directory
	dir       string
	api, mgmt string
	http, tls string // addresses at which it looks for challenges
	dns       string
	stop      func()
}

// newPebble readies an authority that looks at these addresses. Without the
// program the test is skipped.
func newPebble(t *testing.T, httpAddr, tlsAddr string) *pebble {
	t.Helper()
	for _, name := range []string{"pebble", "pebble-challtestsrv"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("needs %s, which is in Debian's package pebble: %v", name, err)
		}
	}
	b := &pebble{t: t, dir: t.TempDir(), api: freeAddr(t), mgmt: freeAddr(t), http: httpAddr, tls: tlsAddr, dns: freeAddr(t)}
	authority := testkit.NewAuthority(t)
	b.directory = "https://" + b.api + "/dir"
	b.ca = testkit.WriteFile(t, b.dir, "ca.pem", authority.PEM())
	testkit.CertFiles(t, b.dir, "api", authority.Issue("127.0.0.1"))
	b.run("pebble-challtestsrv", "-http01", "", "-https01", "", "-tlsalpn01", "", "-dns01", b.dns, "-management", freeAddr(t), "-defaultIPv4", "127.0.0.1", "-defaultIPv6", "")
	return b
}

// start runs it. Certificates live for so long, and these domains are refused.
func (b *pebble) start(life time.Duration, blocked ...string) {
	b.t.Helper()
	port := func(address string) int {
		a, err := net.ResolveTCPAddr("tcp", address)
		if err != nil {
			b.t.Fatal(err)
		}
		return a.Port
	}
	text, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": b.api, "managementListenAddress": b.mgmt,
		"certificate": filepath.Join(b.dir, "api.crt"), "privateKey": filepath.Join(b.dir, "api.key"),
		"httpPort": port(b.http), "tlsPort": port(b.tls),
		"certificateValidityPeriod": int(life.Seconds()), "domainBlocklist": blocked,
	}})
	if err != nil {
		b.t.Fatal(err)
	}
	b.stop = b.run("pebble", "-config", testkit.WriteFile(b.t, b.dir, "pebble.json", text), "-dnsserver", b.dns)
	testkit.Eventually(b.t, patience, func() bool {
		c, err := net.Dial("tcp", b.api)
		if err == nil {
			c.Close()
		}
		return err == nil
	}, "pebble listens")
}

// run starts a program until stop is called or the test ends.
func (b *pebble) run(name string, args ...string) (stop func()) {
	b.t.Helper()
	log, err := os.OpenFile(filepath.Join(b.dir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		b.t.Fatal(err)
	}
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=0")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		b.t.Fatalf("start %s: %v", name, err)
	}
	log.Close()
	ended := false
	stop = func() {
		if !ended {
			ended = true
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}
	b.t.Cleanup(stop)
	return stop
}

// acmeProcess is holdfast with a listener "web" that orders certificates for
// domains, and one that speaks plain HTTP.
func acmeProcess(t *testing.T, b *pebble, web, plain string, domains string) *process {
	t.Helper()
	backend := &testkit.Backend{}
	backend.Start(t)
	p := prepare(t, setup{})
	p.web = web
	p.setup.rest = "listeners:\n  - {name: plain, address: " + plain + ", redirect_https: 443}\n" +
		"  - name: web\n    address: " + web + "\n    tls: {acme: {domains: [DOMAINS], email: ops@holdfast.example, directory: \"" + b.directory + "\", ca: " + b.ca + "}}\n" +
		"routes: [{pool: web}]\npools: {web: {backends: [{url: \"http://" + backend.Addr + "\"}]}}\n"
	p.order(domains)
	p.begin()
	testkit.Eventually(t, patience, func() bool { return p.readyStatus() == http.StatusOK }, "holdfast is ready")
	return p
}

// order writes the file with these domains.
func (p *process) order(domains string) {
	p.t.Helper()
	p.writeText(fmt.Sprintf("admin: {address: %q}\nlog: {access: access.log}\nshutdown: {deadline: 300ms}\n%s",
		p.admin, strings.Replace(p.setup.rest, "DOMAINS", domains, 1)))
}

// serial is that of the certificate that is served for a name, empty if none
// is.
func (p *process) serial(name string) string {
	p.t.Helper()
	c, err := dialTLS(p.t, p.web, &tls.Config{ServerName: name, InsecureSkipVerify: true})
	if err != nil {
		return ""
	}
	leaf := c.ConnectionState().PeerCertificates[0]
	c.Close()
	if !strings.Contains(leaf.Issuer.CommonName, "Pebble") {
		p.t.Fatalf("the certificate is by %s", leaf.Issuer)
	}
	if leaf.VerifyHostname(name) != nil {
		return "" // that of the first domain, in the place of one that is not there
	}
	return leaf.SerialNumber.String()
}

// awaitSerial waits for a certificate other than was.
func (p *process) awaitSerial(name, was string, within time.Duration) (serial string) {
	p.t.Helper()
	testkit.Eventually(p.t, within, func() bool {
		serial = p.serial(name)
		return serial != "" && serial != was
	}, "another certificate is served for "+name)
	return serial
}

// A certificate is ordered by the challenge that the authority can look for,
// kept on disk for nobody else, and served again after a restart without an
// order.
func TestACMEChallenges(t *testing.T) {
	t.Parallel()
	for _, way := range []string{"http-01", "tls-alpn-01"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			web, plain, nowhere := freeAddr(t), freeAddr(t), freeAddr(t)
			b := newPebble(t, plain, nowhere)
			if way == "tls-alpn-01" {
				b.http, b.tls = nowhere, web
			}
			b.start(time.Hour)
			p := acmeProcess(t, b, web, plain, "game.test")
			serial := p.awaitSerial("game.test", "", 4*patience)
			p.logged("certificate obtained successfully")
			p.logged(way)
			p.logged(`"acme":true`) // with names and expiry, within a look
			if _, text, err := p.adminGet("/metrics"); err != nil || !strings.Contains(string(text), `holdfast_certificate_expiry_timestamp_seconds{key="ecdsa",name="game.test"}`) {
				t.Errorf("no metric says when the certificate ends: %v", err)
			}
			// The challenge's path is not the redirect's otherwise.
			if resp, _ := exchange(t, plain, get("/.well-known/acme-challenge/none")); resp.StatusCode != http.StatusPermanentRedirect {
				t.Errorf("a token of nobody's: %d", resp.StatusCode)
			}
			files := 0
			if err := filepath.WalkDir(p.path("acme"), func(path string, d fs.DirEntry, err error) error {
				if err != nil {
					return err
				}
				info, err := d.Info()
				if err == nil && info.Mode().Perm()&0o077 != 0 {
					t.Errorf("%s has mode %s", path, info.Mode())
				}
				if !d.IsDir() {
					files++
				}
				return err
			}); err != nil || files < 3 {
				t.Errorf("%d files in storage, %v", files, err)
			}

			p.finish()
			b.stop()
			again := prepare(t, setup{})
			again.dir, again.file, again.web, again.admin = p.dir, p.file, p.web, p.admin
			again.begin()
			testkit.Eventually(t, patience, func() bool { return again.readyStatus() == http.StatusOK }, "holdfast is ready again")
			if got := again.serial("game.test"); got != serial {
				t.Errorf("after a restart the certificate is %s, want %s", got, serial)
			}
		})
	}
}

// A certificate is renewed in time while its connections go on; a domain that
// a reload adds is ordered alone; and what the authority refuses leaves in use
// what is there.
func TestACMERenewal(t *testing.T) {
	t.Parallel()
	web, plain := freeAddr(t), freeAddr(t)
	b := newPebble(t, plain, web)
	const life = 24 * time.Second
	b.start(life, "blocked.test")
	p := acmeProcess(t, b, web, plain, "game.test")
	first := p.awaitSerial("game.test", "", 4*patience)
	c, err := dialTLS(t, p.web, &tls.Config{ServerName: "game.test", InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	if status, _ := askTLS(t, c, "/", ""); status != http.StatusOK {
		t.Fatalf("over the first certificate: %d", status)
	}
	p.awaitSerial("game.test", first, 2*life+4*patience)
	if status, _ := askTLS(t, c, "/", ""); status != http.StatusOK {
		t.Errorf("the connection of before the renewal: %d", status)
	}

	p.order("game.test, chat.test, blocked.test")
	p.reload()
	p.awaitSerial("chat.test", "", 4*patience)
	p.logged("HF-5104")
	if !strings.Contains(p.log(), `"name":"blocked.test"`) {
		t.Errorf("nobody says that blocked.test is refused:\n%s", p.log())
	}
	if p.serial("blocked.test") != "" {
		t.Error("a refused domain has a certificate of its own")
	}

	// From now on the authority refuses what it gave.
	b.stop()
	b.start(life, "blocked.test", "game.test")
	was := p.awaitSerial("game.test", "", patience)
	testkit.Eventually(t, 2*life+4*patience, func() bool { return strings.Contains(p.log(), `"name":"game.test"`) }, "a renewal is refused")
	if got := p.serial("game.test"); got != was {
		t.Errorf("after a refusal the certificate is %q, before it was %q", got, was)
	}
	if status, _ := askTLS(t, c, "/", ""); status != http.StatusOK {
		t.Errorf("the connection of before: %d", status)
	}
}
