package certs

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/internal/testkit"
)

func TestMistakes(t *testing.T) {
	dir := t.TempDir()
	a := testkit.NewAuthority(t)
	cert, key := testkit.CertFiles(t, dir, "game", a.Issue("game.example"))
	_, otherKey := testkit.CertFiles(t, dir, "other", a.Issue("other.example"))
	write := func(name, text string) string { return testkit.WriteFile(t, dir, name, []byte(text)) }
	text := func(path string) string {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	der := func(path string) string {
		block, _ := pem.Decode([]byte(text(path)))
		return string(block.Bytes)
	}
	exchange, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	x25519, err := x509.MarshalPKCS8PrivateKey(exchange)
	if err != nil {
		t.Fatal(err)
	}

	f := func(cert, key string, want ...string) {
		t.Helper()
		_, err := loadPair("p", config.KeyPair{Cert: cert, Key: key})
		if err == nil {
			t.Errorf("%s and %s are taken, want %q", cert, key, want)
			return
		}
		if got := strings.ReplaceAll(err.Error(), dir+"/", ""); got != strings.Join(want, "\n") {
			t.Errorf("%s and %s\n got %s\nwant %s", filepath.Base(cert), filepath.Base(key), got, strings.Join(want, "\n"))
		}
	}
	f(cert, otherKey, "p.key: other.key: does not match the certificate in game.crt, write the key that the certificate was made with")
	f(write("turned.crt", string(a.PEM())+text(cert)), key,
		"p.cert: turned.crt: its first certificate is not that of the key in game.key, the one at place 2 is: put the server's own first and its chain behind it")
	f(dir+"/gone.crt", dir+"/gone.key",
		"p.cert: gone.crt: cannot be read: no such file or directory", "p.key: gone.key: cannot be read: no such file or directory")
	f(dir, key, "p.cert: "+dir+": is not a regular file, name one that is")
	f(key, cert,
		"p.cert: game.key: holds private key and no certificate, write a PEM file with -----BEGIN CERTIFICATE-----",
		"p.key: game.crt: holds certificate and no key, write a PEM file with -----BEGIN PRIVATE KEY-----")
	f(write("empty.crt", ""), write("empty.key", "\n"),
		"p.cert: empty.crt: is empty, write a PEM file with -----BEGIN CERTIFICATE-----",
		"p.key: empty.key: is empty, write a PEM file with -----BEGIN PRIVATE KEY-----")
	f(write("half.crt", text(cert)[:200]), write("half.key", text(key)[:60]),
		"p.cert: half.crt: holds no certificate, write a PEM file with -----BEGIN CERTIFICATE-----",
		"p.key: half.key: holds no key, write a PEM file with -----BEGIN PRIVATE KEY-----")
	f(write("der.crt", der(cert)), write("der.key", der(key)),
		"p.cert: der.crt: is in DER, make PEM of it with openssl x509 -inform der",
		"p.key: der.key: is in DER, make PEM of it with openssl pkey -inform der")
	const encrypted = "is encrypted, and nobody is there to be asked for the password: decrypt it with openssl pkey, and let only Holdfast's user read the result"
	f(cert, write("pkcs8.key", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"), "p.key: pkcs8.key: "+encrypted)
	f(cert, write("old.key", "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n"), "p.key: old.key: "+encrypted)
	f(write("broken.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), write("broken.key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
		"p.cert: broken.crt: its certificate 1 cannot be parsed: x509: malformed certificate",
		"p.key: broken.key: its key cannot be parsed: it is neither PKCS #8, PKCS #1 nor SEC 1")
	f(cert, write("x25519.key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: x25519}))),
		"p.key: x25519.key: its key cannot be parsed: a *ecdh.PrivateKey signs nothing, use ECDSA, RSA or Ed25519")

	if os.Getuid() != 0 {
		if err := os.Chmod(otherKey, 0); err != nil {
			t.Fatal(err)
		}
		f(cert, otherKey, "p.key: other.key: cannot be read: permission denied, let the user that Holdfast runs as read it")
	}
}

func TestKeysInAnyForm(t *testing.T) {
	dir := t.TempDir()
	f := func(key crypto.Signer, blocks ...*pem.Block) {
		t.Helper()
		var text []byte
		for _, b := range blocks {
			text = append(text, pem.EncodeToMemory(b)...)
		}
		cert, _ := testkit.CertFiles(t, dir, "game", selfSigned(t, key, "game.example"))
		c, err := loadPair("p", config.KeyPair{Cert: cert, Key: testkit.WriteFile(t, dir, "game.key", text)})
		if err != nil || !owns(key, c.Leaf) || len(c.remarks) > 0 {
			t.Errorf("%T: %v", key, err)
		}
	}
	pkcs8 := func(key crypto.Signer) *pem.Block {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return &pem.Block{Type: "PRIVATE KEY", Bytes: der}
	}
	ec := newECDSA(t)
	sec1, err := x509.MarshalECPrivateKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	f(ec, pkcs8(ec))
	f(ec, &pem.Block{Type: "EC PARAMETERS", Bytes: []byte{6, 0}}, &pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1})
	long := newRSA(t)
	f(long, pkcs8(long))
	f(long, &pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(long)})
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	f(ed, pkcs8(ed))
}

// What is legal and makes clients fail is remarked.
func TestWarnings(t *testing.T) {
	dir := t.TempDir()
	a := testkit.NewAuthority(t)
	now := time.Now()
	f := func(c tls.Certificate, want string) {
		t.Helper()
		cert, key := testkit.CertFiles(t, dir, "game", c)
		change, err := New(Options{}).Prepare([]config.Listener{{Name: "web", TLS: &config.TLS{Certificates: []config.KeyPair{{Cert: cert, Key: key}}}}})
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(change.Warnings(now), "|"); got != want && !strings.HasPrefix(got, "listeners[0].tls.certificates[0].cert: "+cert+": "+want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	until := func(d time.Duration) tls.Certificate { return a.IssueUntil(now.Add(d), "game.example") } // valid for two hours
	f(until(time.Hour), "")
	f(until(20*time.Minute), "expires on ")
	f(until(-time.Minute), "EXPIRED on "+day(now.Add(-time.Minute)))
	f(until(-72*time.Hour-time.Minute), "EXPIRED on "+day(now.Add(-72*time.Hour-time.Minute))+", 3 days ago: clients refuse it")
	f(until(3*time.Hour), "is not valid before "+day(now.Add(time.Hour)))

	nameless := selfSigned(t, newECDSA(t))
	f(nameless, "its certificate has no subject alternative name")
	unordered := until(time.Hour)
	unordered.Certificate = append(unordered.Certificate, nameless.Certificate...)
	f(unordered, "its certificate 1 is not signed by the one behind it")

	cert, key := testkit.CertFiles(t, dir, "open", until(time.Hour))
	if err := os.Chmod(key, 0o644); err != nil {
		t.Fatal(err)
	}
	if c, err := loadPair("p", config.KeyPair{Cert: cert, Key: key}); err != nil || len(c.remarks) != 1 || c.remarks[0] != "p.key: "+key+": can be read by everybody on this machine, take that from them with chmod o-r" {
		t.Errorf("%q, %v", c.remarks, err)
	}
}

// A certificate of days is warned of in days, one of hours in hours.
func TestNotice(t *testing.T) {
	f := func(life, want time.Duration) {
		t.Helper()
		now := time.Now()
		if got := notice(&x509.Certificate{NotBefore: now, NotAfter: now.Add(life)}, false); got != want {
			t.Errorf("of %s: %s, want %s", life, got, want)
		}
	}
	const days = 24 * time.Hour
	f(397*days, 14*days)
	f(90*days, 14*days)
	f(6*days, 2*days)
}

func newECDSA(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newRSA(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// selfSigned is a certificate for key and these names, valid for a year.
func selfSigned(t testing.TB, key crypto.Signer, names ...string) tls.Certificate {
	t.Helper()
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "self"}, DNSNames: names,
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(365 * 24 * time.Hour),
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key, Leaf: leaf}
}
