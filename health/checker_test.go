package health

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// ample is a timeout for probes that answer, brief one for those that do not.
const (
	ample = 15 * time.Second
	brief = time.Second
)

// spec is a valid one for all types.
func spec(kind string, timeout time.Duration) config.Health {
	return config.Health{Type: kind, Path: "/health", Expect: "200-399", Interval: ample, Timeout: timeout, Rise: 1, Fall: 1}
}

// probe runs one check as a worker does and returns its words and its answer.
func probe(addr string, s config.Health) (string, answer) {
	ctx, cancel := context.WithTimeout(context.Background(), s.Timeout)
	defer cancel()
	a := newChecker(Target{Scheme: "http", Address: addr, Spec: s}).check(ctx)
	if a.err != nil {
		return why(a.err, s.Timeout), a
	}
	return a.what, a
}

func wantProbe(t *testing.T, addr string, s config.Health, want string) {
	t.Helper()
	begin := time.Now()
	got, a := probe(addr, s)
	if got != want {
		t.Fatalf("%s probe: %q (%v), want %q", s.Type, got, a.err, want)
	}
	if took := time.Since(begin); took > s.Timeout+ample/2 {
		t.Fatalf("%s probe took %v with a timeout of %v", s.Type, took, s.Timeout)
	}
	if a.at.Before(begin) || a.at.After(time.Now()) {
		t.Fatalf("%s probe: answer at %v, not while it ran", s.Type, a.at)
	}
}

func TestTCPChecker(t *testing.T) {
	b := testkit.StartBackend(t, nil)
	wantProbe(t, b.Addr, spec("tcp", ample), "connected")
	testkit.Eventually(t, ample, func() bool { return b.Accepted() == 1 && b.Conns() == 0 }, "the connection made and closed")
	b.Stop(t)
	wantProbe(t, b.Addr, spec("tcp", ample), "connection refused")
}

func TestCheckersResolveNames(t *testing.T) {
	b := testkit.StartBackend(t, testkit.Echo())
	_, port, _ := net.SplitHostPort(b.Addr)
	f := func(kind, want string) {
		t.Helper()
		wantProbe(t, "localhost:"+port, spec(kind, ample), want)
	}
	f("tcp", "connected")
	f("http", "status 200")
	f("websocket", "pong received")
}

func TestInvalidSpecFailsAndSaysWhy(t *testing.T) {
	f := func(change func(*config.Health), want string) {
		t.Helper()
		s := spec("http", ample)
		change(&s)
		wantProbe(t, "127.0.0.1:1", s, want)
	}
	f(func(s *config.Health) { s.Type = "grpc" }, `health type "grpc" is none of http, tcp, websocket`)
	f(func(s *config.Health) { s.Expect = "2xx" }, `health expect: "2xx" is not a status or a range of them, write it as 200-399 or 200,204`)
}

// A check that is cancelled returns at once, however long its timeout is.
func TestCheckersHeedCancel(t *testing.T) {
	f := func(kind string, backend *testkit.Backend) {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
		defer cancel()
		ended := make(chan error, 1)
		c := newChecker(Target{Scheme: "http", Address: backend.Addr, Spec: spec(kind, time.Hour)})
		before := backend.Requests()
		go func() { ended <- c.check(ctx).err }()
		testkit.Eventually(t, ample, func() bool { return backend.Requests() > before }, "the probe's request")
		cancel()
		select {
		case err := <-ended:
			if err == nil {
				t.Fatalf("%s probe passed", kind)
			}
		case <-time.After(ample):
			t.Fatalf("%s probe goes on after cancel", kind)
		}
	}
	f("http", testkit.StartBackend(t, hangOnAll))
	f("websocket", testkit.StartBackend(t, testkit.HangOnUpgrade()))
	f("websocket", testkit.StartBackend(t, testkit.Silent()))
	f("websocket", testkit.StartBackend(t, testkit.Stalled()))
}
