package certs

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// What certmagic logs is a line of ours, with its level, and its chatter is for
// who debugs.
func TestACMELog(t *testing.T) {
	f := func(log func(*zap.Logger), want string) {
		t.Helper()
		var b testkit.Log
		handler := slog.NewTextHandler(&b, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}})
		log(zapLogger(slog.New(handler)).With(zap.String("z", "1")))
		if got := strings.TrimSpace(b.Take()); got != want {
			t.Errorf("got %s\nwant %s", got, want)
		}
	}
	f(func(l *zap.Logger) {
		l.Info("obtaining certificate", zap.String("identifier", "a.example"), zap.Duration("remaining", 3934648235))
	},
		`level=INFO msg="acme: obtaining certificate" identifier=a.example remaining=4s z=1`)
	f(func(l *zap.Logger) { l.Error("will retry", zap.Error(errors.New("no"))) }, `level=ERROR msg="acme: will retry" error=no z=1`)
	f(func(l *zap.Logger) { l.Warn("hm", zap.Strings("list", []string{"a", "b"})) }, `level=WARN msg="acme: hm" list="[a b]" z=1`)
	f(func(l *zap.Logger) { l.Info("acquiring lock") }, "")
	f(func(l *zap.Logger) { l.Debug("x") }, "")
}

func TestACMEMistakes(t *testing.T) {
	dir := t.TempDir()
	file := testkit.WriteFile(t, dir, "file", []byte("no directory, and no certificate"))
	f := func(a config.ACME, want ...string) {
		t.Helper()
		a.Domains = []string{"game.example"}
		_, err := New(Options{}).Prepare([]config.Listener{{Name: "web", TLS: &config.TLS{ACME: &a}}})
		text := ""
		if err != nil {
			text = err.Error()
		}
		for i := range want {
			want[i] = "listeners[0].tls.acme." + want[i]
		}
		if text != strings.Join(want, "\n") {
			t.Errorf("got %s\nwant %s", text, strings.Join(want, "\n"))
		}
	}
	f(config.ACME{Storage: dir})
	f(config.ACME{Storage: dir + "/new"})
	f(config.ACME{Storage: file, CA: file},
		"ca: "+file+": holds no certificate, write a PEM file with -----BEGIN CERTIFICATE-----",
		"storage: "+file+": is not a directory, write the path of one")
}

// Between exact names and wildcards of files stands what was ordered.
func TestOrderedAmongFiles(t *testing.T) {
	exact, wild := &certificate{names: []string{"a.example"}}, &certificate{names: []string{"*.example"}}
	acme, first := &tls.Certificate{}, &tls.Certificate{}
	ordered := func(name string) *tls.Certificate {
		switch name {
		case "a.example", "b.example":
			return acme
		case "":
			return first
		}
		return nil
	}
	f := func(name string, want *tls.Certificate, files ...*certificate) {
		t.Helper()
		c := newChooser(files)
		if got, err := c.choose(&tls.ClientHelloInfo{ServerName: name}, ordered); err != nil || got != want {
			t.Errorf("%q: %p, %v, want %p", name, got, err, want)
		}
	}
	f("a.example", &exact.Certificate, wild, exact)
	f("B.example.", acme, wild, exact)
	f("c.example", &wild.Certificate, exact, wild)
	f("", &exact.Certificate, exact, wild)
	f("a.example", acme)
	f("d.other", first)
	f("", first)
	none := newChooser(nil)
	if _, err := none.choose(&tls.ClientHelloInfo{}, func(string) *tls.Certificate { return nil }); !errors.Is(err, errNoCertificate) {
		t.Errorf("without any: %v", err)
	}
}

// An order that goes nowhere holds up nothing: the Store commits, serves what
// it has, and ends.
func TestOrderGoesNowhere(t *testing.T) {
	s := New(Options{})
	files := pairs(t, selfSigned(t, newECDSA(t), "file.example"))
	nobody := testkit.ServeTCP(t, func(*net.TCPConn) {}) // which ends every connection
	spec := config.TLS{MinVersion: "1.2", Certificates: files, ACME: &config.ACME{
		Domains: []string{"game.example"}, Directory: "https://" + nobody + "/dir", Storage: t.TempDir(),
	}}
	began := time.Now()
	cfg := inForce(t, s, spec)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
	state, err := handshake(t, cfg, &tls.Config{ServerName: "game.example", InsecureSkipVerify: true})
	if err != nil || state.PeerCertificates[0].DNSNames[0] != "file.example" {
		t.Errorf("%v", err)
	}
	if _, ok := s.Challenge("game.example", "/.well-known/acme-challenge/x"); ok {
		t.Error("a challenge that nobody posed is answered")
	}
	if _, ok := s.Challenge("other.example:80", "/.well-known/acme-challenge/x"); ok {
		t.Error("a challenge for another host is answered")
	}
	// A reload without the domain ends its order.
	spec.ACME = nil
	inForce(t, s, spec)
	if n := len(s.manager.Load().orders); n != 0 {
		t.Errorf("%d orders are left", n)
	}
	s.Close()
}

// A storage that takes nothing is told, and does not end an order for good:
// once there is room, it goes on to the authority.
func TestStorageTakesNothing(t *testing.T) {
	storage := testkit.WriteFile(t, t.TempDir(), "storage", []byte("in the way"))
	told := make(chan string, 100)
	m, err := newManager(zap.NewNop(), func(event string, data map[string]any) {
		if event == "cert_failed" {
			told <- fmt.Sprint(data["identifier"], ": ", data["error"])
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer m.close()
	m.pause = time.Millisecond
	nobody := testkit.ServeTCP(t, func(*net.TCPConn) {}) // which ends every connection
	m.manage([]acmeSpec{{account: account{directory: "https://" + nobody + "/dir", storage: storage}, domains: []string{"game.example"}}})
	await := func(want string) {
		t.Helper()
		for patience := time.After(20 * time.Second); ; {
			select {
			case text := <-told:
				if strings.HasPrefix(text, "game.example: ") && strings.Contains(text, want) {
					return
				}
			case <-patience:
				t.Fatalf("nobody is told of: %s", want)
			}
		}
	}
	await("storage")
	await("storage")
	if err := os.Remove(storage); err != nil {
		t.Fatal(err)
	}
	await(nobody)
}
