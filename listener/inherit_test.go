//go:build unix

package listener

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// inherited is what a Set hands over, as the next one takes it.
func inherited(t *testing.T, s *Set) map[string]*os.File {
	t.Helper()
	fds, err := s.Handover()
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string]*os.File)
	for address, fd := range fds {
		files[address] = os.NewFile(uintptr(fd), address)
	}
	return files
}

// heir is a Set that inherits from another and answers with another body.
func heir(t *testing.T, s *Set) *Set {
	t.Helper()
	opts := options(func(ctx *fasthttp.RequestCtx) { ctx.WriteString("heir") })
	opts.Inherited = inherited(t, s)
	next := New(opts)
	t.Cleanup(func() { shutdown(t, next) })
	return next
}

// request returns the body that a new connection gets.
func request(network, address string) (string, error) {
	c, err := net.Dial(network, address)
	if err != nil {
		return "", err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Write([]byte("GET /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")); err != nil {
		return "", err
	}
	var all strings.Builder
	b := make([]byte, 1024)
	for {
		n, err := c.Read(b)
		all.Write(b[:n])
		if err != nil {
			_, body, _ := strings.Cut(all.String(), "\r\n\r\n")
			if body == "" {
				return "", err
			}
			return body, nil
		}
	}
}

// Under a stream of new connections one Set follows another three times, at the
// same sockets, and nobody is refused or reset.
func TestInherit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	tcp, unix := web(), web()
	unix.Name, unix.Address = "unix", "unix:"+path
	s := New(options(hello))
	change(t, s, tcp, unix)
	at := s.Addr("web").String()

	stop := make(chan struct{})
	var callers sync.WaitGroup
	for _, where := range [][2]string{{"tcp", at}, {"unix", path}} {
		for range 2 {
			callers.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					if body, err := request(where[0], where[1]); err != nil || body != "hello /x" && body != "heir" {
						t.Errorf("a request to %s: %q, %v", where[0], body, err)
						return
					}
				}
			})
		}
	}
	for range 3 {
		next := heir(t, s)
		change(t, next, tcp, unix)
		s.UnlinkAtEnd(false)
		shutdown(t, s)
		if _, err := os.Lstat(path); err != nil {
			t.Fatalf("the file of the Unix socket: %v", err)
		}
		next.UnlinkAtEnd(true)
		if got := next.Addr("web").String(); got != at {
			t.Fatalf("the heir listens on %s, want %s", got, at)
		}
		if body, err := request("tcp", at); body != "heir" {
			t.Fatalf("the heir answers %q, %v", body, err)
		}
		s = next
	}
	close(stop)
	callers.Wait()
	shutdown(t, s)
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file of the Unix socket after the last one: %v", err)
	}
}

// A change that does not come about takes nothing from the one that follows, nor
// from the Set before; what nobody wants is closed.
func TestInheritIsPreparedAndAborted(t *testing.T) {
	l := web()
	s, at := serve(t, options(hello), l)
	next := heir(t, s)
	taken, _ := net.Listen("tcp", "127.0.0.1:0")
	defer taken.Close()
	other := web()
	other.Name, other.Address = "other", taken.Addr().String()
	if _, err := next.Prepare([]config.Listener{l, other}); err == nil {
		t.Fatal("an address that is taken is bound")
	}
	ch, err := next.Prepare([]config.Listener{l})
	if err != nil {
		t.Fatal(err)
	}
	ch.Abort()
	get(t, testkit.DialTCP(t, at), "/still")
	change(t, next, l)
	if len(next.opts.Inherited) > 0 {
		t.Error("inherited sockets are kept beyond the first commit")
	}

	// One that wants another address closes what it inherited.
	third := heir(t, s)
	elsewhere := web()
	elsewhere.Address = "127.0.0.2:0"
	change(t, third, elsewhere)
	if third.Addr("web").String() == at {
		t.Error("a socket is inherited by a listener of another address")
	}
}

// The file of a Unix socket that no listener wants any more goes with it, once
// this Set is the one to remove files.
func TestInheritRemovesTheFileOfAnUnusedSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	unix := web()
	unix.Address = "unix:" + path
	s := New(options(hello))
	change(t, s, unix)
	next := heir(t, s)
	change(t, next, web())
	if _, err := request("unix", path); err != nil {
		t.Errorf("the Set before, which still listens: %v", err)
	}
	s.UnlinkAtEnd(false)
	shutdown(t, s)
	next.UnlinkAtEnd(true)
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file of a socket that nobody listens on: %v", err)
	}
}

// A socket of another kind than the address says is refused.
func TestInheritRefusesAnotherKind(t *testing.T) {
	s, _ := serve(t, options(hello), web())
	files := inherited(t, s)
	opts := options(hello)
	opts.Inherited = map[string]*os.File{"unix:/s": files[web().Address]}
	next := New(opts)
	defer shutdown(t, next)
	l := web()
	l.Address = "unix:/s"
	if _, err := next.Prepare([]config.Listener{l}); err == nil || !strings.Contains(err.Error(), "inherit socket") {
		t.Errorf("a TCP socket for an address of another kind: %v", err)
	}
}

// A connection that came in elsewhere counts, whatever the limits, until it
// leaves; then it does no longer.
func TestPlace(t *testing.T) {
	l := web()
	l.Limits.MaxConnectionsPerIP = 1
	l.Limits.MaxConnections = 3
	opts, meterOf := metered(hello)
	s, at := serve(t, opts, l)
	key := uint64(keyOf(addr("127.0.0.1")))
	var places []Place
	for range 2 {
		places = append(places, s.Place("web", key))
	}
	if name, k := places[0].Origin(); name != "web" || k != key {
		t.Errorf("a place is at %q with key %x", name, k)
	}
	refused := func() bool {
		c := testkit.DialTCP(t, at)
		c.Send("GET /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		return c.ReadResponse(5*time.Second).StatusCode == fasthttp.StatusTooManyRequests
	}
	if n := meterOf("web").opened(); n != 2 || !refused() {
		t.Errorf("%d open, a third one is refused: %t; want 2 and true", n, n == 2)
	}
	for range 2 {
		for _, p := range places {
			p.Leave()
		}
	}
	testkit.Eventually(t, 5*time.Second, func() bool { return meterOf("web").opened() == 0 }, "nobody counts")
	if refused() {
		t.Error("an address without connections is refused")
	}

	gone := s.Place("gone", key)
	if name, k := gone.Origin(); name != "gone" || k != key {
		t.Errorf("a place of a listener that is gone is at %q with key %x", name, k)
	}
	gone.Leave()

	// A new name is what the next process hears.
	p := s.Place("web", key)
	l.Name = "renamed"
	change(t, s, l)
	if name, _ := p.Origin(); name != "renamed" {
		t.Errorf("after a rename it is at %q", name)
	}
	p.Leave()
}
