package e2e

import (
	"bufio"
	"net/http"
	"os/exec"
	"runtime"
	"syscall"
	"testing"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// startCramped starts the program with 256 descriptors, before one backend with
// these keys of its pool.
func startCramped(t *testing.T, keys ...string) *process {
	t.Helper()
	p := prepare(t, setup{listener: "timeouts: {header: 10m, idle: 10m}"}) // nobody goes by himself
	p.write(site([]*arena{startArena(t, "b1")}, keys...))
	p.cmd = exec.Command("sh", "-c", `ulimit -n 256 && exec "$0" "$@"`, program, "serve", "--config", p.file)
	p.run(p.path("stderr.log"))
	testkit.Eventually(t, patience, func() bool { return p.readyStatus() == http.StatusOK }, "holdfast is ready")
	return p
}

// Connections that are made before a client needs one leave half of the
// descriptors to clients, however many the configuration asks for.
func TestSparesLeaveDescriptors(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("which descriptor is next is Linux's")
	}
	t.Parallel()
	p := startCramped(t, "warm: 1000")
	spares := func() float64 { return p.metric("holdfast_warm_connections", `pool="web"`) }
	testkit.Eventually(t, patience, func() bool { return spares() >= 64 }, "there are spare connections")
	openPeers(t, p.web, "/", 40)
	if n := spares(); n > 128 {
		t.Errorf("%v of 256 descriptors are spare connections", n)
	}
	if n := p.metric("holdfast_listener_refused_total", `reason="descriptors"`); n != 0 {
		t.Errorf("%v clients are refused", n)
	}
}

// Clients that take every descriptor they can get leave open sockets, the admin
// address and reloads alone; when they go, new clients come in.
func TestDescriptorsRunOut(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the reserve of descriptors is Linux's")
	}
	t.Parallel()
	p := startCramped(t)
	good := startCrowd(t, p.web, 20)

	flood := make([]*testkit.TCP, 400)
	refused := 0
	for i := range flood {
		flood[i] = testkit.DialTCP(t, p.web)
	}
	for _, c := range flood {
		c.Send(get("/"))
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			continue // reset behind a refusal
		}
		switch resp.StatusCode {
		case http.StatusServiceUnavailable:
			refused++
		case http.StatusOK:
		default:
			t.Errorf("status %d", resp.StatusCode)
		}
		_ = resp.Body.Close()
	}
	if refused < 100 {
		t.Errorf("%d of 400 connections are refused by the reserve", refused)
	}
	testkit.Eventually(t, patience, func() bool {
		return p.metric("holdfast_listener_refused_total", `reason="descriptors"`) >= float64(refused)
	}, "they are counted")
	if n := p.descriptors(t); n > 256-32 {
		t.Errorf("%d descriptors of 256 are taken", n)
	}
	p.reload()
	p.signal(syscall.SIGUSR1)
	p99, n := good.report(t, "all descriptors taken")
	t.Logf("p99 %v of %d messages, %d refused, %d descriptors of 256", p99, n, refused, p.descriptors(t))
	p.logged("HF-4004")
	for _, c := range flood {
		c.Close()
	}
	testkit.Eventually(t, patience, func() bool {
		peer, err := openPeer(p.web, "/")
		if err != nil {
			return false
		}
		defer peer.Close()
		return peer.echo("back") == nil
	}, "new clients come in again")
}
