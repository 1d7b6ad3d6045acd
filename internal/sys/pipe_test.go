//go:build linux && (amd64 || arm64)

package sys

import (
	"bytes"
	"io"
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// connected returns a descriptor of ours and the other end of its connection.
func connected(t *testing.T) (int, net.Conn) {
	t.Helper()
	l, addr := listen(t, "tcp4", "127.0.0.1:0")
	fd, err := DialTCP(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { Close(fd) })
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return fd, c
}

// filled moves n bytes that are on their way to fd into the pipe.
func filled(t *testing.T, p *Pipe, fd, n int) {
	t.Helper()
	for end := p.Len() + n; p.Len() < end; {
		if k, errno := p.Fill(fd, end-p.Len()); errno != 0 && errno != EAGAIN || k == 0 && errno == 0 {
			t.Fatalf("%d bytes of the socket, %v, with %d in the pipe", k, errno, p.Len())
		}
	}
}

func TestPipeMovesBytes(t *testing.T) {
	p, err := NewPipe(256 << 10)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	from, src := connected(t)
	to, dst := connected(t)
	if n, errno := p.Fill(from, 10); n != 0 || errno != EAGAIN {
		t.Fatalf("%d bytes of a silent socket, %v, want EAGAIN", n, errno)
	}
	sent := bytes.Repeat([]byte("0123456789abcdef"), 4<<10)
	if _, err := src.Write(sent); err != nil {
		t.Fatal(err)
	}
	// No more is taken than was asked for: what is behind can be read.
	const part = 50_001
	filled(t, p, from, part)
	for p.Len() > 0 {
		if _, errno := p.Drain(to); errno != 0 {
			t.Fatal(errno)
		}
	}
	got := make([]byte, part)
	if _, err := io.ReadFull(dst, got); err != nil || !bytes.Equal(got, sent[:part]) {
		t.Fatalf("what was moved is not what was sent (%v)", err)
	}
	b := make([]byte, len(sent))
	if n, errno := Recv(from, b); errno != 0 || !bytes.HasPrefix(sent[part:], b[:n]) {
		t.Fatalf("%d bytes behind it (%v) are not what was sent", n, errno)
	}
	_ = src.Close()
	for n, errno := 1, Errno(0); n > 0 || errno != 0; {
		if n, errno = Recv(from, b); errno != 0 && errno != EAGAIN {
			t.Fatal(errno)
		}
	}
	if n, errno := p.Fill(from, 10); n != 0 || errno != 0 {
		t.Fatalf("%d bytes behind the end, %v, want 0 and no error", n, errno)
	}
}

// What a socket does not take is had back, and the pipe is empty then.
func TestPipeGivesBack(t *testing.T) {
	p, err := NewPipe(256 << 10)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	from, src := connected(t)
	to, dst := connected(t)
	filler := make([]byte, 64<<10)
	full := 0
	for {
		n, errno := Send(to, filler)
		if errno == EAGAIN {
			break
		}
		full += n
	}
	sent := bytes.Repeat([]byte("0123456789abcdef"), 2<<10)
	if _, err := src.Write(sent); err != nil {
		t.Fatal(err)
	}
	filled(t, p, from, len(sent))
	if n, errno := p.Drain(to); n != 0 || errno != EAGAIN || p.Len() != len(sent) {
		t.Fatalf("a full socket took %d bytes, %v; %d are left", n, errno, p.Len())
	}
	if b := p.Empty([]byte("behind ")); string(b) != "behind "+string(sent) || p.Len() != 0 {
		t.Fatalf("%d bytes had back of %d, %d are left", len(b), len(sent), p.Len())
	}
	if b := p.Empty(nil); len(b) != 0 {
		t.Fatalf("%d bytes in an empty pipe", len(b))
	}
	_ = dst.Close()
}

// A pipe is as large as it may be, and works at any size.
func TestPipeOfAnySize(t *testing.T) {
	for _, size := range []int{-1, 0, 1, 4096, 1 << 20, 1 << 40} {
		p, err := NewPipe(size)
		if err != nil {
			t.Fatalf("size %d: %v", size, err)
		}
		if n, err := unix.FcntlInt(uintptr(p.in), unix.F_GETPIPE_SZ, 0); err != nil || n < 4096 {
			t.Errorf("size %d: %d (%v)", size, n, err)
		}
		p.Close()
	}
}
