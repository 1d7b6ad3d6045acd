package listener

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// A Unix socket's file lives from commit to removal, reloads included.
func TestUnixSocket(t *testing.T) {
	opts, meterOf := metered(hello)
	l := web()
	path := filepath.Join(t.TempDir(), "s")
	l.Address = "unix:" + path
	l.Limits.MaxConnectionsPerIP = 1
	s, _ := serve(t, opts, l)
	dial := func() net.Conn {
		t.Helper()
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	one, two := dial(), dial()
	for i := range 3 {
		for _, c := range []net.Conn{one, two, dial()} {
			c.SetDeadline(time.Now().Add(5 * time.Second))
			c.Write([]byte("GET /u HTTP/1.1\r\nHost: x\r\n\r\n"))
			expect(t, c, "hello /u")
		}
		l.Limits.MaxConnections = 100 + i
		change(t, s, l)
	}
	if n := meterOf("web").opened(); n < 2 {
		t.Errorf("%d open, want 2 and more: clients of Unix sockets have no limit per address", n)
	}
	change(t, s)
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("file after removal: %v, want none", err)
	}
}

// What stands in the way of a Unix socket is removed only if it is a socket
// that nobody listens on.
func TestUnixLeftovers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l := web()
	l.Address = "unix:" + path
	s := New(options(hello))
	defer shutdown(t, s)
	fails := func(want string) {
		t.Helper()
		_, err := s.Prepare([]config.Listener{l})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), l.Address) {
			t.Errorf("error %v, want %q", err, want)
		}
	}

	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	fails("is not a socket")
	if b, err := os.ReadFile(path); err != nil || string(b) != "precious" {
		t.Errorf("file is %q, %v", b, err)
	}
	os.Remove(path)

	live, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	live.SetUnlinkOnClose(false)
	fails("address already in use")
	live.Close() // leaves its file behind, as a killed process does
	change(t, s, l)
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()

	gone := l
	gone.Address = "unix:" + filepath.Join(t.TempDir(), "no", "s")
	if _, err := s.Prepare([]config.Listener{l, gone}); err == nil || !strings.Contains(err.Error(), "make the directory") {
		t.Errorf("error %v, want a hint at the directory", err)
	}
}

// An earlier process's lingering connections do not hinder a bind.
func TestReuseAddr(t *testing.T) {
	l := web()
	l.Address = testkit.FreeAddr(t)
	for range 3 {
		s := New(options(hello))
		change(t, s, l)
		c := testkit.DialTCP(t, l.Address)
		get(t, c, "/")
		// The server closes first and keeps the TIME_WAIT.
		shutdown(t, s)
		c.ExpectClosed(5 * time.Second)
	}
}
