//go:build linux && (amd64 || arm64)

package e2e

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// The successor of a process that has ended becomes a child of this one, which
// can wait for it then.
func init() {
	const setChildSubreaper = 36 // PR_SET_CHILD_SUBREAPER
	if _, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, setChildSubreaper, 1, 0); errno != 0 {
		panic(errno)
	}
}

// successor is the process of that id, which has taken over from p. The test's
// end stops it.
func (p *process) successor(pid int) *process {
	p.t.Helper()
	next := &process{
		t: p.t, setup: p.setup, cmd: new(exec.Cmd), client: p.client, token: p.token,
		dir: p.dir, file: p.file, web: p.web, admin: p.admin, exited: make(chan struct{}),
	}
	next.cmd.Process, _ = os.FindProcess(pid) // always succeeds
	go func() {
		defer close(next.exited)
		for {
			state, err := next.cmd.Process.Wait()
			if err == nil {
				next.state = state
				return
			}
			time.Sleep(5 * time.Millisecond) // until the predecessor has ended
		}
	}()
	p.t.Cleanup(next.finish)
	return next
}

var upgradedTo = regexp.MustCompile(`upgraded: process (\d+) serves, .*\nsockets carried: (\d+), told to connect again: (\d+)\n`)

// upgrade has p upgraded, and returns its successor and how many sockets were
// carried and left.
func (p *process) upgrade() (next *process, carried, left int) {
	p.t.Helper()
	var out, errs string
	testkit.Eventually(p.t, patience, func() bool {
		var status int
		out, errs, status = p.holdfast("upgrade")
		return status == 0 || !strings.Contains(errs, "not over") // the upgrade before it
	}, "an upgrade is begun")
	m := upgradedTo.FindStringSubmatch(out)
	if m == nil {
		p.t.Fatalf("holdfast upgrade says %q and %q", out, errs)
	}
	pid, _ := strconv.Atoi(m[1])
	carried, _ = strconv.Atoi(m[2])
	left, _ = strconv.Atoi(m[3])
	if pid == p.cmd.Process.Pid {
		p.t.Fatal("the successor has the predecessor's id")
	}
	return p.successor(pid), carried, left
}

// ends fails the test unless the predecessor ends with 0.
func (p *process) ends() {
	p.t.Helper()
	if code := p.wait(patience); code != 0 {
		p.t.Errorf("the predecessor ends with %d", code)
	}
}

// steady echoes numbered messages on a socket until stop is closed. Its longest
// wait for one is left in gap, in nanoseconds.
func steady(c *peer, who int, stop <-chan struct{}, gap *atomic.Int64) error {
	for n := 0; ; n++ {
		select {
		case <-stop:
			return nil
		default:
		}
		began := time.Now()
		if err := c.echo(fmt.Sprintf("%d of %d", n, who)); err != nil {
			return fmt.Errorf("socket %d, message %d: %w", who, n, err)
		}
		if took := int64(time.Since(began)); took > gap.Load() {
			gap.Store(took)
		}
		time.Sleep(10 * time.Millisecond) // so many sockets as players, not as a flood
	}
}

// Three upgrades in a row under new requests, new handshakes and open sockets:
// nobody is refused or reset, no message is lost or doubled, the sockets keep
// their ids, and each predecessor ends with 0.
func TestUpgradeUnderLoad(t *testing.T) {
	t.Parallel()
	backends := startArenas(t, 2)
	pidFile := filepath.Join(t.TempDir(), "pid")
	p := start(t, setup{rest: site(backends, quickHealth), args: []string{"--pid-file", pidFile}})
	peers := openPeers(t, p.web, "/", scale(200, 100, 40))
	ids := p.socketIDs()
	if len(ids) != len(peers) {
		t.Fatalf("%d sockets are listed, %d are open", len(ids), len(peers))
	}

	stop := make(chan struct{})
	var all sync.WaitGroup
	var gap, requests, handshakes atomic.Int64
	for i, c := range peers {
		all.Go(func() {
			if err := steady(c, i, stop, &gap); err != nil {
				t.Error(err)
			}
		})
	}
	again := func(what string, count *atomic.Int64, f func() error) {
		all.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := f(); err != nil {
					t.Errorf("%s %d: %v", what, count.Load(), err)
					return
				}
				count.Add(1)
			}
		})
	}
	web := p.web
	once := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	again("request", &requests, func() error {
		resp, err := once.Get("http://" + web + "/")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				err = fmt.Errorf("status %d", resp.StatusCode)
			}
		}
		return err
	})
	again("handshake", &handshakes, func() error {
		c, err := openPeer(web, "/")
		if err == nil {
			err = c.echo("hello")
			c.Close()
		}
		return err
	})
	for round := range 3 {
		next, carried, left := p.upgrade()
		if carried < len(peers) || left > 1 {
			t.Errorf("upgrade %d: %d sockets carried, %d left; %d are open", round, carried, left, len(peers))
		}
		p.ends()
		if got := strings.TrimSpace(mustRead(t, pidFile)); got != strconv.Itoa(next.cmd.Process.Pid) {
			t.Errorf("the pid file has %s", got)
		}
		now := next.socketIDs()
		for id := range ids {
			if !now[id] {
				t.Errorf("socket %s is not listed after upgrade %d", id, round)
			}
		}
		before := requests.Load() + handshakes.Load()
		testkit.Eventually(t, patience, func() bool { return requests.Load()+handshakes.Load() > before+10 }, "traffic goes on")
		p = next
	}
	close(stop)
	all.Wait()
	t.Logf("%d requests and %d handshakes beside %d sockets, of which none waited longer than %s",
		requests.Load(), handshakes.Load(), len(peers), time.Duration(gap.Load()))
	if gap := time.Duration(gap.Load()); gap > 5*time.Second {
		t.Errorf("a message waited %s", gap)
	}
	closePeers(peers)
	testkit.Eventually(t, patience, func() bool { return len(p.socketIDs()) == 0 }, "no socket is listed")
	p.signal(stopSignal)
	p.ends()
	if exists(pidFile) {
		t.Error("the last process leaves its pid file")
	}
}

// socketIDs are the ids of the open sockets.
func (p *process) socketIDs() map[string]bool {
	p.t.Helper()
	out, errs, status := p.holdfast("sockets", "--limit", "0")
	if status != 0 {
		p.t.Fatalf("holdfast sockets: %s", errs)
	}
	ids := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^([0-9a-f]{8}-\d+) `).FindAllStringSubmatch(out, -1) {
		ids[m[1]] = true
	}
	return ids
}

// writeScript makes a program of the shell. No process is started meanwhile that
// would have the file open, which then could not be run.
func writeScript(at, text string) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	return os.WriteFile(at, []byte("#!/bin/sh\n"+text+"\n"), 0o700)
}

// A successor that cannot come up, for whatever reason, changes nothing: the
// process goes on, its sockets too, and it says why.
func TestUpgradeThatFails(t *testing.T) {
	t.Parallel()
	own := filepath.Join(t.TempDir(), "holdfast")
	install := func(write func(at string) error) {
		t.Helper()
		next := own + ".next"
		if err := write(next); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, own); err != nil {
			t.Fatal(err)
		}
	}
	script := func(text string) func(string) error {
		return func(at string) error { return writeScript(at, text) }
	}
	install(func(at string) error { return os.Link(program, at) })
	backends := startArenas(t, 1)
	p := start(t, setup{program: own, rest: site(backends)})
	socket := openPeers(t, p.web, "/", 1)[0]
	goesOn := func(why string) {
		t.Helper()
		if err := socket.echo(why); err != nil {
			t.Fatalf("the socket after %s: %v", why, err)
		}
		c, err := openPeer(p.web, "/")
		if err != nil {
			t.Fatalf("a handshake after %s: %v", why, err)
		}
		c.Close()
	}
	fails := func(why string, args ...string) {
		t.Helper()
		p.says(1, why, append([]string{"upgrade"}, args...)...)
		goesOn(why)
	}

	good := p.text(site(backends))
	p.writeText(good + "nonsense: 1\n")
	fails("nonsense")
	p.writeText(strings.Replace(good, p.web, "192.0.2.1:80", 1))
	fails("192.0.2.1:80")
	p.writeText(good)

	install(script("exit 3"))
	fails("exit status 3")
	install(script("kill -9 $$"))
	fails("signal: killed")
	install(script("exec sleep 60"))
	fails("not ready within 300ms", "--timeout", "300ms")
	install(func(at string) error { return os.WriteFile(at, []byte("no program"), 0o700) })
	fails("start the program")
	install(func(at string) error { return os.WriteFile(at, nil, 0o600) })
	fails("permission denied")
	if err := os.Remove(own); err != nil {
		t.Fatal(err)
	}
	fails("no such file")

	p.says(1, "more than 0", "upgrade", "--timeout", "-1s")
	p.logged(`"code":"HF-6005"`)
	// And then one that succeeds.
	install(func(at string) error { return os.Link(program, at) })
	next, carried, _ := p.upgrade()
	if carried < 1 {
		t.Errorf("%d sockets carried", carried)
	}
	p.ends()
	p = next
	goesOn("success")
}

// While one upgrade is under way a second one, a reload and other orders are
// refused; SIGHUP is obeyed afterwards, and SIGTERM at once.
func TestOrdersDuringAnUpgrade(t *testing.T) {
	t.Parallel()
	own := filepath.Join(t.TempDir(), "holdfast")
	if err := writeScript(own+".slow", "exec sleep 60"); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(program, own); err != nil {
		t.Fatal(err)
	}
	backends := startArenas(t, 1)
	p := start(t, setup{program: own, rest: site(backends)})
	if err := os.Rename(own+".slow", own); err != nil {
		t.Fatal(err)
	}
	began := func(n int) {
		t.Helper()
		testkit.Eventually(t, patience, func() bool { return strings.Count(p.log(), `"upgrade begins"`) == n }, "an upgrade begins")
	}
	done := make(chan string)
	go func() {
		_, errs, _ := p.holdfast("upgrade", "--timeout", "2s")
		done <- errs
	}()
	began(1)
	p.says(1, "an upgrade is under way", "upgrade")
	p.says(1, "an upgrade is under way", "reload")
	p.says(1, "an upgrade is under way", "drain", "web/b1", "--no-wait")
	p.write(site(backends) + "\n# changed\n")
	p.signal(syscall.SIGHUP)
	if errs := <-done; !strings.Contains(errs, "not ready within 2s") {
		t.Errorf("the first upgrade ends with %q", errs)
	}
	p.logged(`"reloaded"`)

	// SIGTERM ends both.
	p.signal(syscall.SIGUSR2)
	began(2)
	pid := regexp.MustCompile(`"upgrade begins".*"pid":(\d+)`).FindAllStringSubmatch(p.log(), -1)[1][1]
	p.signal(stopSignal)
	if code := p.wait(patience); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	if _, err := os.Stat("/proc/" + pid); err == nil {
		t.Errorf("the successor %s that was not ready still runs", pid)
	}
}
