package e2e

import (
	"io"
	"net"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// startDemo runs holdfast demo and returns when it is ready.
func startDemo(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{
		t: t, dir: t.TempDir(), web: freeAddr(t), admin: freeAddr(t),
		exited: make(chan struct{}),
		client: &http.Client{Transport: &http.Transport{}, Timeout: patience},
	}
	p.cmd = exec.Command(program, append([]string{"demo", "--listen", p.web, "--admin", p.admin}, args...)...)
	p.stdout("stdout.log")
	p.run(p.path("stderr.log"))
	testkit.Eventually(t, patience, func() bool { return strings.Contains(p.read("stdout.log"), "Ctrl-C") }, "the demo greets")
	return p
}

// The demo needs nothing but two ports. It says what to open, and that works.
func TestDemo(t *testing.T) {
	t.Parallel()
	p := startDemo(t, "--servers", "5")
	greeting := p.read("stdout.log")
	for _, want := range []string{"5 game servers", "http://" + p.web, "http://" + p.admin + "/metrics", "http://" + p.admin + "/api/v1/pools"} {
		if !strings.Contains(greeting, want) {
			t.Errorf("the greeting lacks %q:\n%s", want, greeting)
		}
	}
	resp, err := p.client.Get("http://" + p.web)
	if err != nil {
		t.Fatal(err)
	}
	page, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(page), "<canvas") {
		t.Errorf("the page: status %d, %v, %d bytes", resp.StatusCode, err, len(page))
	}
	if n := len(p.backends("arena")); n != 5 {
		t.Errorf("%d backends, want 5", n)
	}

	// The players of one room meet on one server.
	for range 3 {
		socket, err := openPeer(p.web, "/ws?room=reef&name=ann")
		if err != nil {
			t.Fatal(err)
		}
		defer socket.Close()
	}
	busy := 0
	for _, n := range p.sockets("arena") {
		if n != 0 && n != 3 {
			t.Errorf("a server has %d of the 3 players of a room", n)
		}
		busy += n
	}
	if busy != 3 {
		t.Errorf("%d players, want 3", busy)
	}

	began := time.Now()
	p.signal(syscall.SIGINT)
	if code := p.wait(patience); code != 0 {
		t.Errorf("Ctrl-C: exit code %d, want 0", code)
	}
	if took := time.Since(began); took > 10*time.Second { // one is promised, on a machine that has nothing else to do
		t.Errorf("Ctrl-C took %v, with sockets open", took)
	}
}

// A server that is stopped from the page comes back, and its players' room
// lives on meanwhile.
func TestDemoServerIsStopped(t *testing.T) {
	t.Parallel()
	p := startDemo(t)
	socket, err := openPeer(p.web, "/ws?room=reef&name=ann")
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	was := holder(p)
	resp, err := p.client.Post("http://"+p.web+"/demo/kill?room=reef", "text/plain", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode >= 300 {
		t.Fatalf("POST /demo/kill: status %d", resp.StatusCode)
	}
	_ = socket.SetReadDeadline(time.Now().Add(patience))
	for err == nil {
		_, err = testkit.ReadFrame(socket.r)
	}
	again, err := openPeer(p.web, "/ws?room=reef&name=ann")
	if err != nil {
		t.Fatalf("the player does not get in again: %v", err)
	}
	defer again.Close()
	if now := holder(p); now == was || now == "" {
		t.Errorf("the player is on %q again, which was stopped", now)
	}
}

// holder returns the one backend of the demo that has a socket.
func holder(p *process) string {
	p.t.Helper()
	name := ""
	testkit.Eventually(p.t, patience, func() bool {
		n := 0
		for _, b := range p.backends("arena") {
			if b.Active.Sockets > 0 {
				n, name = n+b.Active.Sockets, b.Name
			}
		}
		return n == 1
	}, "one server has the one socket")
	return name
}

// What the demo cannot do is said in a line, with a status of 1.
func TestDemoRefuses(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	addr := taken.Addr().String()

	f := func(want []string, args ...string) {
		t.Helper()
		cmd := exec.Command(program, append([]string{"demo"}, args...)...)
		out, err := cmd.CombinedOutput()
		if err == nil || cmd.ProcessState.ExitCode() != 1 {
			t.Errorf("demo %v: %v, want exit status 1", args, err)
		}
		for _, text := range want {
			if !strings.Contains(string(out), text) {
				t.Errorf("demo %v prints no %q:\n%s", args, text, out)
			}
		}
		if strings.Contains(string(out), "goroutine ") {
			t.Errorf("demo %v prints a stack:\n%s", args, out)
		}
	}
	f([]string{addr, "address already in use", "--listen"}, "--listen", addr, "--admin", freeAddr(t))
	f([]string{addr, "address already in use", "--admin"}, "--listen", freeAddr(t), "--admin", addr)
	f([]string{"1 to 64"}, "--servers", "0")
	f([]string{"1 to 64"}, "--servers", "65")
	f([]string{"nonsense"}, "--listen", "nonsense")
}

// serve --pid-file writes the process's id and takes the file away at the end.
func TestPIDFile(t *testing.T) {
	t.Parallel()
	backends := startArenas(t, 1)
	pidFile := t.TempDir() + "/holdfast.pid"
	p := start(t, setup{rest: site(backends), args: []string{"--pid-file", pidFile}})
	want := strconv.Itoa(p.cmd.Process.Pid) + "\n"
	if got := mustRead(t, pidFile); got != want {
		t.Errorf("the file holds %q, want %q", got, want)
	}
	p.reload()
	if got := mustRead(t, pidFile); got != want {
		t.Errorf("after a reload the file holds %q, want %q", got, want)
	}
	p.signal(stopSignal)
	if code := p.wait(patience); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	if exists(pidFile) {
		t.Error("the file is still there after the end")
	}
}

// An address that somebody has ends serve with a line that names it.
func TestServeRefusesTakenAddress(t *testing.T) {
	t.Parallel()
	backends := startArenas(t, 1)
	first := start(t, setup{rest: site(backends)})
	p := launch(t, setup{rest: site(backends), env: []string{"HOLDFAST_ADMIN_ADDRESS=" + first.admin}})
	if code := p.wait(patience); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	if log := p.log(); !strings.Contains(log, first.admin) || !strings.Contains(log, "address already in use") {
		t.Errorf("the address is not named:\n%s", log)
	}
}
