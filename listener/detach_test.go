//go:build unix

package listener

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
	"weak"

	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/internal/sys"
	"github.com/holdfast-lb/holdfast/internal/testkit"
	"github.com/holdfast-lb/holdfast/internal/tlsconn"
)

// detached is what a handler got from Detach.
type detached struct {
	early string
	err   error // how reading the early bytes ended
	fd    int
	place Place
	tls   *tlsconn.Conn
}

// detacher hijacks every request without an answer, detaches, and tells.
func detacher(t testing.TB, got chan<- detached) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		c := ctx.Conn().(*Conn)
		ctx.HijackSetNoResponse(true)
		ctx.Hijack(func(hijacked net.Conn) {
			var d detached
			var err error
			if d.fd, d.place, err = c.Detach(); err != nil {
				t.Errorf("detach: %v", err)
			}
			var early []byte
			early, d.err = io.ReadAll(hijacked)
			d.early = string(early)
			got <- d
		})
	}
}

// A connection that a handler has detached has not failed, so that not even the
// log at debug level has a line of it.
func TestDetachIsNoError(t *testing.T) {
	got := make(chan detached, 1)
	opts := options(func(ctx *fasthttp.RequestCtx) {
		var d detached
		d.fd, d.place, d.err = ctx.Conn().(*Conn).Detach()
		got <- d
	})
	var log bytes.Buffer
	opts.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s, address := serve(t, opts, web())
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, upgrade)
	d := <-got
	if d.err != nil {
		t.Fatal(d.err)
	}
	sys.Close(d.fd)
	d.place.Leave()
	shutdown(t, s)
	if log.Len() > 0 {
		t.Errorf("the log has\n%s", &log)
	}
}

// What holds a socket for hours holds nothing of the connection that it was,
// but the place in the counts.
func TestDetachedIsForgotten(t *testing.T) {
	got := make(chan detached, 1)
	var was weak.Pointer[Conn]
	s, address := serve(t, options(func(ctx *fasthttp.RequestCtx) {
		c := ctx.Conn().(*Conn)
		was = weak.Make(c)
		var d detached
		d.fd, d.place, d.err = c.Detach()
		got <- d
	}), web())
	c := testkit.DialTCP(t, address)
	c.Send(upgrade)
	d := <-got
	if d.err != nil {
		t.Fatal(d.err)
	}
	defer sys.Close(d.fd)
	testkit.Eventually(t, 5*time.Second, func() bool {
		runtime.GC()
		return was.Value() == nil
	}, "the connection is forgotten")
	counted := func() (n int64) {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, sk := range s.bound {
			n += sk.ledger.open.Load()
		}
		return n
	}
	if n := counted(); n != 1 {
		t.Errorf("%d connections count, want 1", n)
	}
	d.place.Leave()
	if n := counted(); n != 0 {
		t.Errorf("%d connections count after release, want 0", n)
	}
}

const upgrade = "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"

// The bytes behind a handshake reach whoever takes the connection, once, and
// the descriptor works on although Go's side is closed.
func TestDetach(t *testing.T) {
	got := make(chan detached, 1)
	opts, meterOf := metered(detacher(t, got))
	f := func(name string, l config.Listener, dial func(t *testing.T, s *Set) net.Conn, early string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			s, _ := serve(t, opts, l)
			c := dial(t, s)
			defer c.Close()
			io.WriteString(c, upgrade+early)
			d := <-got
			defer sys.Close(d.fd)
			if d.early != early || !errors.Is(d.err, ErrDetached) {
				t.Errorf("read %q, then %v, want %q, then ErrDetached", d.early, d.err, early)
			}
			// Go's side is closed when only one descriptor is left; then at the
			// latest the client would see a FIN.
			testkit.Eventually(t, 10*time.Second, func() bool { return len(sameFile(t, d.fd)) == 1 }, "Go closes its side")

			flags, err := fcntl(d.fd, syscall.F_GETFL)
			if err != nil || flags&syscall.O_NONBLOCK == 0 {
				t.Errorf("flags %#x, %v: want O_NONBLOCK", flags, err)
			}
			if flags, err := fcntl(d.fd, syscall.F_GETFD); err != nil || flags&syscall.FD_CLOEXEC == 0 {
				t.Errorf("descriptor flags %#x, %v: want FD_CLOEXEC", flags, err)
			}
			b := make([]byte, 16)
			if n, err := syscall.Read(d.fd, b); err != syscall.EAGAIN {
				t.Errorf("read of a silent client: %d, %v, want EAGAIN", n, err)
			}
			if _, err := syscall.Write(d.fd, []byte("down")); err != nil {
				t.Errorf("write: %v", err)
			}
			c.SetReadDeadline(time.Now().Add(5 * time.Second))
			if _, err := io.ReadFull(c, b[:4]); err != nil || string(b[:4]) != "down" {
				t.Errorf("client read %q, %v", b[:4], err)
			}
			c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
			if n, err := c.Read(b); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("client read %d bytes, %v; want silence", n, err)
			}
			io.WriteString(c, "up")
			testkit.Eventually(t, 10*time.Second, func() bool {
				n, err := syscall.Read(d.fd, b)
				return err == nil && string(b[:n]) == "up"
			}, "the descriptor reads what the client sends")

			m := meterOf("web")
			if n := m.opened(); n != 1 {
				t.Errorf("%d connections open before release, want 1", n)
			}
			d.place.Leave()
			d.place.Leave() // a second one must not unbalance the books
			if n := m.opened(); n != 0 {
				t.Errorf("%d connections open after release, want 0", n)
			}
		})
	}
	tcp := func(t *testing.T, s *Set) net.Conn {
		c, err := net.Dial("tcp", s.Addr("web").String())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	f("no early bytes", web(), tcp, "")
	f("early bytes in the same segment", web(), tcp, "\x81\x85\x01\x02\x03\x04abcde")
	f("as many early bytes as fit the buffer", web(), tcp, strings.Repeat("e", 16<<10-len(upgrade)))

	l := web()
	path := filepath.Join(t.TempDir(), "s")
	l.Address = "unix:" + path
	f("unix socket", l, func(t *testing.T, _ *Set) net.Conn {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}, "early")
}

// fcntl asks for the flags of fd.
func fcntl(fd, command int) (int, error) {
	flags, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), uintptr(command), 0)
	if errno != 0 {
		return 0, errno
	}
	return int(flags), nil
}

// sameFile lists this process's descriptors for the open file of fd.
func sameFile(t *testing.T, fd int) []int {
	t.Helper()
	var same []int
	var want syscall.Stat_t
	if err := syscall.Fstat(fd, &want); err != nil {
		t.Fatal(err)
	}
	for n := range 1024 {
		var st syscall.Stat_t
		if syscall.Fstat(n, &st) == nil && st.Ino == want.Ino && st.Dev == want.Dev {
			same = append(same, n)
		}
	}
	return same
}

// Detach without a descriptor to duplicate changes nothing.
func TestDetachError(t *testing.T) {
	result := make(chan error, 2)
	_, address := serve(t, options(func(ctx *fasthttp.RequestCtx) {
		c := ctx.Conn().(*Conn)
		raw := c.raw
		c.raw = noDescriptor{raw}
		_, _, err := c.Detach()
		result <- err
		c.raw = raw
		fd, place, err := c.Detach()
		if err == nil {
			_, _, second := c.Detach()
			result <- second
			sys.Close(fd)
			place.Leave()
		} else {
			result <- err
		}
	}), web())
	testkit.DialTCP(t, address).Send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if err := <-result; !errors.Is(err, syscall.EMFILE) {
		t.Errorf("detach: %v, want EMFILE", err)
	}
	if err := <-result; !errors.Is(err, ErrDetached) {
		t.Errorf("second detach: %v, want ErrDetached", err)
	}
}

// noDescriptor is a connection that cannot be duplicated.
type noDescriptor struct{ net.Conn }

func (noDescriptor) SyscallConn() (syscall.RawConn, error) { return nil, syscall.EMFILE }

// A hijacker that keeps Go's connection can write, read and set deadlines.
func TestHijackWithoutDetach(t *testing.T) {
	opts, meterOf := metered(func(ctx *fasthttp.RequestCtx) {
		ctx.HijackSetNoResponse(true)
		ctx.Hijack(func(c net.Conn) {
			c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
			b, err := io.ReadAll(c)
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("read: %v, want a timeout", err)
			}
			io.WriteString(c, "read "+string(b))
		})
	})
	_, address := serve(t, opts, web())
	c := testkit.DialTCP(t, address)
	c.Send(upgrade + "early")
	if got := c.ReadAll(5 * time.Second); got != "read early" {
		t.Errorf("got %q", got)
	}
	testkit.Eventually(t, 10*time.Second, func() bool { return meterOf("web").opened() == 0 }, "the connection leaves the books")
}
