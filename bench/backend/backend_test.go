//go:build linux

package backend

import (
	"io"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestBackends(t *testing.T) {
	b, err := Start(2, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}()
	if len(b.Addresses()) != 2 || b.Addresses()[0] == b.Addresses()[1] {
		t.Fatalf("addresses %v; want two", b.Addresses())
	}
	f := func(address, in, want string) {
		t.Helper()
		c, err := net.DialTimeout("tcp", address, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
			t.Fatal(err)
		}
		// In two parts, so that a header cut short is met too.
		for _, part := range []string{in[:5], in[5:]} {
			if _, err := io.WriteString(c, part); err != nil {
				t.Fatal(err)
			}
		}
		out, err := io.ReadAll(c)
		if err != nil || string(out) != want {
			t.Errorf("%q: got %q, %v; want %q", in, out, err, want)
		}
	}
	for _, a := range b.Addresses() {
		f(a, "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nConnection: close\r\n\r\n", answerOK+answerLast)
		f(a, "POST / HTTP/1.1\r\n\r\n", "")
	}
}

// A client that sends 8 MiB and reads nothing meanwhile stops the backend
// from reading, and gets every byte once it does read.
func TestBackendsSlowReader(t *testing.T) {
	b, err := Start(1, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}()
	c, err := net.Dial("tcp", b.Addresses()[0])
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, len(appendUpgrade(nil, make([]byte, keyBytes))))); err != nil {
		t.Fatal(err)
	}
	in := clientFrame(0x82, [4]byte{5, 6, 7, 8}, make([]byte, 8<<20))
	sent := make(chan error, 1)
	go func() {
		_, err := c.Write(in)
		sent <- err
	}()
	got := make([]byte, len(in)-4)
	if _, err := io.ReadFull(c, got); err != nil {
		t.Fatal(err)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	for i, v := range got[10:] {
		if v != 0 {
			t.Fatalf("payload byte %d is %d; want 0", i, v)
		}
	}
}

func TestStartErrors(t *testing.T) {
	f := func(listeners, loops int) {
		t.Helper()
		if _, err := Start(listeners, loops); err == nil {
			t.Errorf("Start(%d, %d): want an error", listeners, loops)
		}
	}
	f(0, 1)
	f(1, 0)
}

// dial connects to a backend's address, sends in and returns the connection.
func dial(t *testing.T, address, in string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, in); err != nil {
		t.Fatal(err)
	}
	return c
}

// upgrade opens a WebSocket at path.
func upgrade(t *testing.T, address, path string) net.Conn {
	t.Helper()
	c := dial(t, address, "GET "+path+" HTTP/1.1\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	want(t, c, string(appendUpgrade(nil, []byte("dGhlIHNhbXBsZSBub25jZQ=="))))
	return c
}

// want reads as many bytes as text has and compares them.
func want(t *testing.T, c net.Conn, text string) {
	t.Helper()
	b := make([]byte, len(text))
	if n, err := io.ReadFull(c, b); err != nil || string(b) != text {
		t.Fatalf("read %q, %v; want %q", b[:n], err, text)
	}
}

func TestPaths(t *testing.T) {
	b, err := Start(2, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}()
	one, two := b.Addresses()[0], b.Addresses()[1]

	const size = 3 << 20 // more than socket buffers hold
	c := dial(t, one, "GET /bytes/3145728 HTTP/1.1\r\nConnection: close\r\n\r\n")
	head := "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: 3145728\r\n\r\n"
	want(t, c, head)
	if n, err := io.Copy(io.Discard, c); err != nil || n != size {
		t.Errorf("a body of %d bytes, %v; want %d", n, err, size)
	}

	c = dial(t, one, "POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nbodyGET / HTTP/1.1\r\nConnection: close\r\n\r\n")
	want(t, c, answerOK+answerLast)

	want(t, upgrade(t, one, "/hello"), "\x81\x010")
	want(t, upgrade(t, two, "/hello"), "\x81\x011")

	// What one says on either address, all hear.
	group := []net.Conn{upgrade(t, one, "/push"), upgrade(t, two, "/push"), upgrade(t, two, "/push")}
	if _, err := io.WriteString(group[1], "\x82\x82\x00\x00\x00\x00hi"); err != nil {
		t.Fatal(err)
	}
	for _, c := range group {
		want(t, c, "\x82\x02hi")
	}

	// The first address dies, the second does not.
	want(t, dial(t, one, "GET /die HTTP/1.1\r\nConnection: close\r\n\r\n"), answerLast)
	if n, err := group[0].Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("read %d bytes, %v, from an address that died", n, err)
	}
	if _, err := io.WriteString(group[2], "\x82\x82\x00\x00\x00\x00yo"); err != nil {
		t.Fatal(err)
	}
	want(t, group[1], "\x82\x02yo")
}
