package certs

import (
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// watched is a Store with one listener, in a bubble of fake time.
type watched struct {
	t             *testing.T
	store         *Store
	cfg           *tls.Config
	log           testkit.Log
	good, bad     int // written by the watching goroutine, read between looks
	cert, key, ca string
}

func newWatched(t *testing.T, c tls.Certificate, ca []byte) *watched {
	t.Helper()
	dir := t.TempDir()
	w := &watched{t: t}
	w.cert, w.key = testkit.CertFiles(t, dir, "game", c)
	spec := config.TLS{MinVersion: "1.2", Certificates: []config.KeyPair{{Cert: w.cert, Key: w.key}}}
	if ca != nil {
		w.ca = testkit.WriteFile(t, dir, "ca.pem", ca)
		spec.ClientCA = w.ca
	}
	w.store = New(Options{Log: slog.New(slog.NewTextHandler(&w.log, nil)), Loaded: func(ok bool) {
		if ok {
			w.good++
		} else {
			w.bad++
		}
	}})
	w.cfg = inForce(t, w.store, spec)
	return w
}

// replace writes a certificate, a key or both in the place of those before.
func (w *watched) replace(cert, key []byte) {
	w.t.Helper()
	for file, data := range map[string][]byte{w.cert: cert, w.key: key} {
		if data != nil {
			w.write(file, data)
		}
	}
}

// write replaces a file. Its time is another one in any case, although the
// bubble's clock and the file system's differ.
func (w *watched) write(file string, data []byte) {
	w.t.Helper()
	before, err := os.Stat(file)
	if err == nil {
		err = os.WriteFile(file, data, 0o600)
	}
	if err == nil {
		err = os.Chtimes(file, time.Time{}, before.ModTime().Add(time.Second))
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// looks lets n looks pass and returns what was logged since the last call.
func (w *watched) looks(n int) string {
	time.Sleep(time.Duration(n)*lookEvery + time.Millisecond)
	synctest.Wait()
	return w.log.Take()
}

func (w *watched) served() *x509.Certificate {
	w.t.Helper()
	hello := &tls.ClientHelloInfo{ServerName: "game.example"}
	cfg, err := w.cfg.GetConfigForClient(hello)
	if err != nil {
		w.t.Fatal(err)
	}
	cert, err := cfg.GetCertificate(hello)
	if err != nil {
		w.t.Fatal(err)
	}
	return cert.Leaf
}

// files are a certificate and its key as they stand in files.
func files(t *testing.T, c tls.Certificate) (cert, key []byte) {
	t.Helper()
	certFile, keyFile := testkit.CertFiles(t, t.TempDir(), "x", c)
	cert, err := os.ReadFile(certFile)
	if err != nil {
		t.Fatal(err)
	}
	if key, err = os.ReadFile(keyFile); err != nil {
		t.Fatal(err)
	}
	return cert, key
}

// A changed pair is taken by itself once both files are there; until then the
// one before it is served, and the log says so once.
func TestChangedFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := selfSigned(t, newECDSA(t), "game.example"), selfSigned(t, newECDSA(t), "game.example", "eu.example")
		w := newWatched(t, first, nil)
		defer w.store.Close()
		serves := func(when string, c tls.Certificate) {
			t.Helper()
			if !w.served().Equal(c.Leaf) {
				t.Errorf("%s: another certificate is served", when)
			}
		}
		if log := w.looks(3); strings.Count(log, "\n") != 1 || !strings.Contains(log, "certificate loaded") || !strings.Contains(log, "names=[game.example]") {
			t.Errorf("at the start: %s", log)
		}

		cert, key := files(t, second)
		w.replace(cert, nil)
		if log := w.looks(1); log != "" {
			t.Errorf("at the first sight of half a pair: %s", log)
		}
		log := w.looks(4)
		if strings.Count(log, "\n") != 1 || !strings.Contains(log, "code=HF-5101") || !strings.Contains(log, "does not match the certificate") || w.bad != 1 {
			t.Errorf("with half a pair, failures %d: %s", w.bad, log)
		}
		serves("with half a pair", first)

		w.replace(nil, key)
		if log := w.looks(3); strings.Count(log, "\n") != 1 || !strings.Contains(log, `names="[game.example eu.example]"`) {
			t.Errorf("with the whole pair: %s", log)
		}
		serves("with the whole pair", second)
		if w.good != 2 || w.bad != 1 {
			t.Errorf("%d loaded, %d failed", w.good, w.bad)
		}

		w.replace(cert, key) // the same again
		if log := w.looks(3); log != "" {
			t.Errorf("with the same content: %s", log)
		}
		if err := os.Remove(w.key); err != nil {
			t.Fatal(err)
		}
		if log := w.looks(5); strings.Count(log, "\n") != 1 || !strings.Contains(log, "cannot be read") {
			t.Errorf("without a key: %s", log)
		}
		serves("without a key", second)
		if list := w.store.List(); len(list) != 1 || list[0].Name != "game.example" || list[0].Key != "ecdsa" || !list[0].Expires.Equal(second.Leaf.NotAfter) {
			t.Errorf("the list is %+v", list)
		}
	})
}

// Other authorities of clients are taken by themselves too.
func TestChangedAuthorities(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := testkit.NewAuthority(t), testkit.NewAuthority(t)
		w := newWatched(t, selfSigned(t, newECDSA(t), "game.example"), first.PEM())
		defer w.store.Close()
		trusts := func(a *testkit.Authority) bool {
			cfg, err := w.cfg.GetConfigForClient(nil)
			return err == nil && cfg.ClientAuth == tls.RequireAndVerifyClientCert && cfg.ClientCAs.Equal(a.Pool())
		}
		if !trusts(first) {
			t.Error("the first authority is not trusted")
		}
		w.write(w.ca, nil)
		w.looks(3)
		if !trusts(first) || w.bad != 1 {
			t.Error("an empty file has taken the authority away")
		}
		w.write(w.ca, second.PEM())
		if log := w.looks(3); !trusts(second) || !strings.Contains(log, "authorities of clients loaded") {
			t.Errorf("the second authority is not trusted: %s", log)
		}
		if len(w.store.tickets.groups) != 1 {
			t.Errorf("%d groups of tickets", len(w.store.tickets.groups))
		}
	})
}

// That a certificate ends is said at once, and then every day.
func TestEndIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := testkit.NewAuthority(t).IssueUntil(time.Now().Add(time.Hour), "game.example") // of two hours
		w := newWatched(t, c, nil)
		defer w.store.Close()
		count := func(when, code string, want int) {
			t.Helper()
			if log := w.looks(1); strings.Count(log, code) != want {
				t.Errorf("%s: %s", when, log)
			}
		}
		count("with an hour left", "HF-510", 0)
		time.Sleep(30 * time.Minute)
		count("with half an hour left", "HF-5102", 1)
		time.Sleep(20 * time.Minute)
		count("later", "HF-510", 0)
		time.Sleep(20 * time.Minute)
		count("expired", "HF-5103", 1)
		time.Sleep(23 * time.Hour)
		count("within the day", "HF-510", 0)
		time.Sleep(time.Hour)
		count("a day later", "HF-5103", 1)
		if w.served() == nil {
			t.Error("an expired certificate is not served")
		}
	})
}
