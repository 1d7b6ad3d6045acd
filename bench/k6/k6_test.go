//go:build linux

package k6

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/bench/backend"
	"github.com/holdfast-lb/holdfast/bench/peers"
	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// failed is the exit status of k6 when a threshold is crossed.
const failed = 99

// Each script passes with Holdfast, and fails when what it guards is broken.
func TestScripts(t *testing.T) {
	if testing.Short() {
		t.Skip("k6 takes a minute")
	}
	k6, err := exec.LookPath("k6")
	if err != nil {
		t.Skip("there is no program k6: go install go.k6.io/k6@v1.8.1")
	}
	b, err := backend.Start(3, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}()
	good := startHoldfast(t, b.Addresses())
	f := func(script, target string, status int, env ...string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
		defer cancel()
		args := []string{"run", "--quiet", "--no-usage-report"}
		for _, e := range append(env, "TARGET=ws://"+target) {
			args = append(args, "-e", e)
		}
		out, err := exec.CommandContext(ctx, k6, append(args, script)...).CombinedOutput()
		got := 0
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			got = exit.ExitCode()
		} else if err != nil {
			t.Fatal(err)
		}
		if got != status {
			t.Errorf("%s against %s: exit status %d, want %d\n%s", script, target, got, status, out)
		}
	}
	thousandth := startBroken(t, func(n int64) string {
		if n%1000 == 999 {
			return ""
		}
		return b.Addresses()[n%3]
	})
	first := startBroken(t, func(int64) string { return b.Addresses()[0] })

	churn := []string{"VUS=10", "DURATION=8s"}
	f("churn.js", good+"/", 0, churn...)
	f("churn.js", thousandth+"/", failed, churn...)

	day := []string{"PLAYERS=80", "SESSION=500", "RAMP=1s", "PLAY=8s", "P99=2000"}
	f("day.js", good+"/", 0, day...)
	f("day.js", thousandth+"/", failed, day...)

	storm := []string{"SOCKETS=300", "BACK_WITHIN=10000", "KILL=http://" + b.Addresses()[0] + "/die"}
	f("storm.js", good+"/hello", 0, storm...)
	f("storm.js", first+"/hello", failed, storm...)
	// A storm that does not come shows nothing.
	f("storm.js", good+"/hello", failed, "SOCKETS=30", "BACK_WITHIN=1000", "KILL=http://"+b.Addresses()[0]+"/")
}

// startHoldfast builds Holdfast, starts it before the backends and returns its
// address.
func startHoldfast(t *testing.T, backends []string) string {
	t.Helper()
	program := testkit.Build(t, "cmd/holdfast")
	listen, err := peers.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	p, err := peers.Start(context.Background(), peers.Holdfast, program, peers.Setup{
		Dir: t.TempDir(), Listen: listen, Backends: backends, Threads: 2, Files: 20000,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
	return listen
}

// startBroken starts a balancer of which the n-th socket goes where choose
// says; "" cuts it off in the middle of its first message. It returns its
// address.
func startBroken(t *testing.T, choose func(n int64) string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	t.Cleanup(func() {
		_ = l.Close()
		all.Wait()
	})
	var count atomic.Int64
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { carry(c, choose(count.Add(1)-1)) })
		}
	})
	return l.Addr().String()
}

// carry joins a client and a backend until one ends.
func carry(c net.Conn, to string) {
	defer func() { _ = c.Close() }()
	if to == "" {
		_, _ = c.Read(make([]byte, 1))
		return
	}
	b, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer func() { _ = b.Close() }()
	up := make(chan struct{})
	go func() {
		defer close(up)
		_, _ = io.Copy(b, c)
		_ = b.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(c, b)
	_ = c.Close()
	<-up
}

// Every script says in its head how it is run, and has thresholds.
func TestScriptsSayHow(t *testing.T) {
	scripts, err := filepath.Glob("*.js")
	if err != nil || len(scripts) != 6 {
		t.Fatalf("scripts %v, %v; want six", scripts, err)
	}
	for _, script := range scripts {
		data, err := os.ReadFile(script)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"bench/k6/" + script, "thresholds: {", "TARGET"} {
			if !strings.Contains(string(data), want) {
				t.Errorf("%s has no %q", script, want)
			}
		}
	}
}
