package listener

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// echo answers plain requests and echoes on hijacked connections.
func echo(ctx *fasthttp.RequestCtx) {
	if string(ctx.Path()) != "/ws" {
		hello(ctx)
		return
	}
	ctx.Hijack(func(c net.Conn) { io.Copy(c, c) })
	ctx.SetStatusCode(101)
}

// Fifty changes of everything that can change, every fifth one in vain, cut
// neither a keep-alive connection nor an upgraded one, nor a request under way.
func TestReloadKeepsConnections(t *testing.T) {
	slow := make(chan string)
	opts := Options{Handler: func(name string) fasthttp.RequestHandler {
		return func(ctx *fasthttp.RequestCtx) {
			if string(ctx.Path()) == "/slow" {
				ctx.WriteString(<-slow)
				return
			}
			echo(ctx)
		}
	}}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	l := web()
	s, address := serve(t, opts, l)
	second := web()
	second.Name = "second"
	second.Address = testkit.FreeAddr(t)

	var kept, sockets []*testkit.TCP
	for range 10 {
		c := testkit.DialTCP(t, address)
		get(t, c, "/")
		kept = append(kept, c)
		u := testkit.DialTCP(t, address)
		u.Send(upgrade)
		u.ReadUntil("\r\n\r\n", 5*time.Second)
		sockets = append(sockets, u)
	}
	waiting := testkit.DialTCP(t, address)
	waiting.Send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")

	for i := range 50 {
		l.Name = fmt.Sprintf("web-%d", i)
		l.Limits.MaxHeaderBytes = config.Bytes(4096 + i%3*4096)
		l.Limits.MaxConnections = 100 + i
		l.Timeouts.Idle = time.Duration(i+10) * time.Second
		want := []config.Listener{l}
		if i%2 == 0 {
			want = append(want, second)
		}
		if i%5 == 4 {
			bad := web()
			bad.Address = taken.Addr().String()
			if _, err := s.Prepare(append(want, bad)); err == nil {
				t.Fatal("prepared a taken port")
			}
			continue
		}
		change(t, s, want...)
		if i%2 == 0 {
			get(t, testkit.DialTCP(t, second.Address), "/second")
		}
		for _, c := range kept {
			get(t, c, fmt.Sprintf("/%d", i))
		}
		for _, u := range sockets {
			text := fmt.Sprintf("message %d", i)
			u.Send(text)
			if got := u.ReadN(len(text), 5*time.Second); string(got) != text {
				t.Fatalf("echo: %q, want %q", got, text)
			}
		}
		get(t, testkit.DialTCP(t, address), "/new")
	}
	slow <- "at last"
	body, _ := io.ReadAll(waiting.ReadResponse(5 * time.Second).Body)
	if string(body) != "at last" {
		t.Errorf("slow answer %q", body)
	}
}

// A header limit holds for new connections at once and for those that come
// back from a wait.
func TestHeaderLimitFollowsReload(t *testing.T) {
	l := web()
	s, address := serve(t, options(hello), l)
	big := "GET /big HTTP/1.1\r\nHost: x\r\nA: " + strings.Repeat("a", 2000) + "\r\n\r\n"
	l.Limits.MaxHeaderBytes = 1024
	change(t, s, l)
	c := testkit.DialTCP(t, address)
	c.Send(big)
	if resp := c.ReadResponse(5 * time.Second); resp.StatusCode != 431 {
		t.Errorf("status %d, want 431", resp.StatusCode)
	}
	l.Limits.MaxHeaderBytes = 4096
	change(t, s, l)
	c = testkit.DialTCP(t, address)
	c.Send(big)
	if resp := c.ReadResponse(5 * time.Second); resp.StatusCode != 200 {
		t.Errorf("status %d, want 200", resp.StatusCode)
	}
}

// All that cannot be bound is named at once, and what could be is not kept.
func TestPrepareErrors(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	s := New(options(hello))
	defer shutdown(t, s)
	free := web()
	free.Address = testkit.FreeAddr(t)
	busy, foreign := web(), web()
	busy.Name, busy.Address = "busy", taken.Addr().String()
	foreign.Name, foreign.Address = "foreign", "192.0.2.1:80"
	twice := free
	twice.Name = "twice"
	mistaken := web()
	mistaken.Name, mistaken.ProxyProtocol = "mistaken", []string{"nonsense"}

	_, err = s.Prepare([]config.Listener{free, busy, foreign, twice, mistaken})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		fmt.Sprintf(`listen on %s for listener "busy": bind: address already in use: stop the program`, busy.Address),
		`listen on 192.0.2.1:80 for listener "foreign": bind: cannot assign requested address: no interface`,
		fmt.Sprintf(`listen on %s for listener "twice": listener "web" has that address`, free.Address),
		`set up listener "mistaken": proxy_protocol: "nonsense"`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q lacks %q", err, want)
		}
	}
	if !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("error %v hides its cause", err)
	}
	if c, err := net.Dial("tcp", free.Address); err == nil {
		c.Close()
		t.Errorf("%s is bound after an error", free.Address)
	}
	if a := s.Addr("web"); a != nil {
		t.Errorf("listener has address %v after an error", a)
	}
}

func TestAbort(t *testing.T) {
	opts, meterOf := metered(hello)
	s := New(opts)
	defer shutdown(t, s)
	l := web()
	l.Address = testkit.FreeAddr(t)
	ch, err := s.Prepare([]config.Listener{l})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Prepare(nil); err == nil {
		t.Error("prepared beside a pending change")
	}
	ch.Abort()
	ch.Commit() // comes to nothing
	if c, err := net.Dial("tcp", l.Address); err == nil {
		c.Close()
		t.Error("bound after abort")
	}
	if n := meterOf("web").opened(); n != -1 {
		t.Errorf("gauge %d after abort, want none", n)
	}
	change(t, s, l)
	get(t, testkit.DialTCP(t, l.Address), "/")
}

// A removed listener takes no more connections, closes idle ones, finishes
// requests, and leaves upgraded sockets alone; its port is free at once.
func TestRemoveListener(t *testing.T) {
	slow := make(chan string)
	opts, meterOf := metered(func(ctx *fasthttp.RequestCtx) {
		if string(ctx.Path()) == "/slow" {
			ctx.WriteString(<-slow)
			return
		}
		echo(ctx)
	})
	l := web()
	l.Address = testkit.FreeAddr(t)
	s, address := serve(t, opts, l)
	idle, waiting, socket := testkit.DialTCP(t, address), testkit.DialTCP(t, address), testkit.DialTCP(t, address)
	get(t, idle, "/")
	waiting.Send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
	socket.Send(upgrade)
	socket.ReadUntil("\r\n\r\n", 5*time.Second)

	change(t, s)
	idle.ExpectClosed(5 * time.Second)
	if c, err := net.Dial("tcp", address); err == nil {
		c.Close()
		t.Error("a removed listener accepts")
	}
	socket.Send("still here")
	if got := socket.ReadN(10, 5*time.Second); string(got) != "still here" {
		t.Errorf("echo %q", got)
	}
	slow <- "at last"
	resp := waiting.ReadResponse(5 * time.Second)
	if body, _ := io.ReadAll(resp.Body); string(body) != "at last" || !resp.Close {
		t.Errorf("slow answer %q, close %v", body, resp.Close)
	}
	waiting.ExpectClosed(5 * time.Second)

	// Back again, while the old one still has a socket.
	change(t, s, l)
	get(t, testkit.DialTCP(t, address), "/back")
	socket.Close()
	change(t, s)
	m := meterOf("web")
	testkit.Eventually(t, 10*time.Second, func() bool {
		change(t, s)
		return m.opened() == -1
	}, "the gauge of a removed listener goes with its last connection")
}

// Two listeners that swap their names keep their sockets, and each name its
// gauge.
func TestSwapNames(t *testing.T) {
	opts, meterOf := metered(hello)
	opts.Handler = func(name string) fasthttp.RequestHandler {
		return func(ctx *fasthttp.RequestCtx) { ctx.WriteString(name) }
	}
	a, b := web(), web()
	a.Name, a.Address = "a", testkit.FreeAddr(t)
	b.Name, b.Address = "b", testkit.FreeAddr(t)
	s := New(opts)
	defer shutdown(t, s)
	change(t, s, a, b)
	c := testkit.DialTCP(t, a.Address)
	ask := func(want string) {
		t.Helper()
		c.Send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		if body, _ := io.ReadAll(c.ReadResponse(5 * time.Second).Body); string(body) != want {
			t.Errorf("answered by %q, want %q", body, want)
		}
	}
	ask("a")
	a.Name, b.Name = "b", "a"
	change(t, s, a, b)
	ask("b")
	if n, m := meterOf("a").opened(), meterOf("b").opened(); n != 0 || m != 1 {
		t.Errorf("a has %d, b has %d open, want 0 and 1", n, m)
	}
}

// Shutdown closes what is idle at once, finishes what is not, and says so.
func TestShutdown(t *testing.T) {
	slow := make(chan string)
	s, address := serve(t, options(func(ctx *fasthttp.RequestCtx) {
		if string(ctx.Path()) == "/slow" {
			ctx.WriteString(<-slow)
			return
		}
		echo(ctx)
	}), web())
	idle, fresh, waiting, socket := testkit.DialTCP(t, address), testkit.DialTCP(t, address), testkit.DialTCP(t, address), testkit.DialTCP(t, address)
	get(t, idle, "/")
	waiting.Send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
	socket.Send(upgrade)
	socket.ReadUntil("\r\n\r\n", 5*time.Second)

	done := make(chan error)
	go func() { done <- s.Shutdown(context.Background()) }()
	idle.ExpectClosed(5 * time.Second)
	// A connection whose first request was on its way is served.
	fresh.Send("GET /fresh HTTP/1.1\r\nHost: x\r\n\r\n")
	if resp := fresh.ReadResponse(time.Second); resp.StatusCode != 200 || !resp.Close {
		t.Errorf("fresh connection: status %d, close %v", resp.StatusCode, resp.Close)
	}
	select {
	case err := <-done:
		t.Fatalf("shutdown returned %v with a request under way", err)
	default:
	}
	slow <- "at last"
	if resp := waiting.ReadResponse(time.Second); resp.StatusCode != 200 || !resp.Close {
		t.Errorf("slow request: status %d, close %v", resp.StatusCode, resp.Close)
	}
	if err := <-done; err != nil {
		t.Errorf("shutdown: %v", err)
	}
	socket.Send("still here")
	if got := socket.ReadN(10, time.Second); string(got) != "still here" {
		t.Errorf("echo %q", got)
	}
	socket.Close()
	if _, err := s.Prepare(nil); err == nil {
		t.Error("prepared after shutdown")
	}
}

// A shutdown that runs out of time cuts the rest and counts it.
func TestShutdownDeadline(t *testing.T) {
	release := make(chan struct{})
	s, address := serve(t, options(func(ctx *fasthttp.RequestCtx) { <-release }), web())
	c := testkit.DialTCP(t, address)
	c.Send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	testkit.Eventually(t, 10*time.Second, func() bool {
		n := 0
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, sk := range s.bound {
			sk.ledger.each(func(c *Conn) {
				if c.phaseNow() == phaseBody {
					n++
				}
			})
		}
		return n == 1
	}, "the request is under way")
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	err := s.Shutdown(ctx)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "connections cut: 1") {
		t.Errorf("shutdown: %v", err)
	}
	c.ExpectClosed(5 * time.Second)
	close(release)
}

// A change that is pending at shutdown comes to nothing.
func TestCommitAfterShutdown(t *testing.T) {
	s := New(options(hello))
	l := web()
	l.Address = testkit.FreeAddr(t)
	ch, err := s.Prepare([]config.Listener{l})
	if err != nil {
		t.Fatal(err)
	}
	shutdown(t, s)
	ch.Commit()
	if c, err := net.Dial("tcp", l.Address); err == nil {
		c.Close()
		t.Error("bound after shutdown")
	}
}
