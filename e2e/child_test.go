package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

const (
	// childAddress is the environment variable that makes the test binary a
	// backend on that address instead.
	childAddress = "HOLDFAST_E2E_CHILD"
	// childTarget is another, for a child that is loud: see runLoud.
	childTarget = "HOLDFAST_E2E_TARGET"
)

func isChild() bool { return os.Getenv(childAddress) != "" }

// runChild serves as an echoing backend until its standard input ends, which
// it does at the latest when the tests' process does.
func runChild() {
	if target := os.Getenv(childTarget); target != "" {
		runLoud(os.Getenv(childAddress), target)
		return
	}
	l, err := net.Listen("tcp", os.Getenv(childAddress))
	if err != nil {
		fmt.Fprintln(os.Stderr, "child:", err)
		os.Exit(1)
	}
	echo := testkit.Echo()
	go func() {
		err := fasthttp.Serve(l, func(ctx *fasthttp.RequestCtx) {
			ctx.Response.Header.Set("X-Backend", "child")
			echo(ctx)
		})
		fmt.Fprintln(os.Stderr, "child:", err)
		os.Exit(1)
	}()
	fmt.Println("listening on", l.Addr())
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// child is a backend in a process of its own, which can die as processes do.
type child struct {
	addr string
	cmd  *exec.Cmd
}

// startChild starts a backend on addr and returns when it serves. The test's
// end kills it.
func startChild(t *testing.T, addr string) *child {
	t.Helper()
	return beginChild(t, addr, exec.Command(os.Args[0]))
}

func beginChild(t *testing.T, addr string, cmd *exec.Cmd, env ...string) *child {
	t.Helper()
	c := &child{addr: addr, cmd: cmd}
	c.cmd.Env = append(append(os.Environ(), childAddress+"="+addr), env...)
	c.cmd.Stderr = os.Stderr
	stdin, err := c.cmd.StdinPipe()
	if err != nil {
		t.Fatalf("start child: %v", err)
	}
	stdout, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatalf("start child: %v", err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatalf("start child: %v", err)
	}
	t.Cleanup(func() {
		c.kill()
		_ = stdin.Close()
	})
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil || !strings.Contains(line, addr) {
		t.Fatalf("start child on %s: %v after %q", addr, err, line)
	}
	return c
}

// kill sends SIGKILL and returns when the process is gone.
func (c *child) kill() {
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
}
