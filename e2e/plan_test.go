package e2e

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// The plan tells what a reload would do, and does nothing; then the reload does
// that.
func TestPlan(t *testing.T) {
	t.Parallel()
	backends := startArenas(t, 4)
	addr := func(i int) string { return backends[i].Addr }
	const keys = "sticky: {by: query, name: room, ttl: 5m}"
	p := start(t, setup{rest: siteOf([]string{addr(0), addr(1), addr(2)}, "balance: least_conn", keys)})
	const rooms = 30
	home := map[int]int{} // room to backend
	for room := range rooms {
		before := p.sockets("web")
		openPeers(t, p.web, fmt.Sprintf("/?room=r%d", room), 1)
		for i, n := range p.sockets("web") {
			if n > before[i] {
				home[room] = i
			}
		}
	}
	gone := 0 // rooms on the first backend
	for _, i := range home {
		if i == 0 {
			gone++
		}
	}
	if len(home) != rooms || gone == 0 || gone == rooms {
		t.Fatalf("rooms are at %v", home)
	}

	next := siteOf([]string{addr(1), addr(2), addr(3)}, "balance: least_conn", keys)
	plan := p.path("new.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(plan, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(p.text(next))
	out, errs, status := p.holdfast("plan", "--config", plan)
	for _, want := range []string{
		"retire ", " add ", " change ",
		fmt.Sprintf("%d on backends that stay, %d on backends that leave", rooms-gone, gone),
		fmt.Sprintf("%d of %d move", gone, rooms),
	} {
		if status != 0 || !strings.Contains(out, want) {
			t.Errorf("plan: status %d, no %q in\n%s%s", status, want, out, errs)
		}
	}
	p.says(1, fmt.Sprintf("%d sticky keys would move, --max-moved allows %d", gone, gone-1), "plan", "--config", plan, "--max-moved", fmt.Sprint(gone-1))
	p.says(0, "move", "plan", "--config", plan, "--max-moved", fmt.Sprint(gone))
	if n := len(p.backends("web")); n != 3 {
		t.Errorf("after the plan there are %d backends, want 3", n)
	}

	p.says(1, p.dir+": is not a regular file, name one that is", "plan", "--config", p.dir)
	write(strings.Repeat("#", 4<<20+1))
	p.says(1, "has 4194305 bytes, use 4194304 at most", "plan", "--config", plan)

	// What the pool says of removed backends is told.
	write(p.text(siteOf([]string{addr(1), addr(2), addr(3)}, "balance: least_conn", keys, "drain: {when_removed: drain}")))
	p.says(0, "are drained", "plan", "--config", plan)

	// Mistakes are those that a reload would find.
	write(p.text("routes: [{pool: nowhere}]\npools: {web: {backends: [{url: 'http://a'}]}}"))
	p.says(1, `new.yaml: routes[0].pool: there is no pool "nowhere"`, "plan", "--config", plan)

	write(strings.Replace(p.text(next), "listeners: [", `listeners: [{name: tls, address: "127.0.0.1:1", tls: {certificates: [{cert: gone.pem, key: gone.pem}]}}, `, 1))
	p.says(1, "listeners[0].tls.certificates[0].cert: "+p.path("gone.pem")+": cannot be read", "plan", "--config", plan)

	// Now it happens, and is what was said.
	p.write(next)
	p.says(0, "reloaded", "reload")
	moved := 0
	for room := range rooms {
		before := p.sockets("web")
		openPeers(t, p.web, fmt.Sprintf("/?room=r%d", room), 1)
		for i, n := range p.sockets("web") {
			if n > before[i] && i+1 != home[room] { // the second is the first now
				moved++
			}
		}
	}
	if moved != gone {
		t.Errorf("%d rooms have moved, %d were to", moved, gone)
	}
}

// Clients that hold their keys themselves are known by their sockets.
func TestPlanCountsCookies(t *testing.T) {
	t.Parallel()
	backends := startArenas(t, 2)
	const keys = "sticky: {by: cookie, name: seat}"
	p := start(t, setup{rest: siteOf([]string{backends[0].Addr, backends[1].Addr}, "balance: round_robin", keys)})
	openPeers(t, p.web, "/", 4)
	plan := p.path("new.yaml")
	f := func(status int, want, rest string, args ...string) {
		t.Helper()
		if err := os.WriteFile(plan, []byte(p.text(rest)), 0o600); err != nil {
			t.Fatal(err)
		}
		p.says(status, want, append([]string{"plan", "--config", plan}, args...)...)
	}
	f(0, "Sticky keys: 2 of 4 move.\nClients of web hold their keys themselves", siteOf([]string{backends[1].Addr}, keys))
	f(1, "2 sticky keys would move, --max-moved allows 1", siteOf([]string{backends[1].Addr}, keys), "--max-moved", "1")
	f(1, "4 sticky keys would move, --max-moved allows 0", siteOf([]string{backends[1].Addr, backends[0].Addr}, "sticky: {by: cookie, name: chair}"), "--max-moved", "0")
	f(0, "0 of 4 move", siteOf([]string{backends[1].Addr, backends[0].Addr}, keys), "--max-moved", "0")
}

// A plan that hangs, because a file that it names does, is all that hangs:
// reloads and orders go on, another plan is told why it has to wait, and a
// second signal ends the process.
func TestPlanThatHangs(t *testing.T) {
	t.Parallel()
	const file = "/proc/kmsg" // says it is a regular file, and has no end
	if err := readsForever(file); err != nil {
		t.Skipf("no file whose reading does not end: %v", err)
	}
	backends := startArenas(t, 1)
	rest := siteOf([]string{backends[0].Addr})
	p := start(t, setup{rest: rest})
	plan := p.path("new.yaml")
	tls := fmt.Sprintf(`listeners: [{name: tls, address: "127.0.0.1:1", tls: {certificates: [{cert: %s, key: %[1]s}]}}, `, file)
	if err := os.WriteFile(plan, []byte(strings.Replace(p.text(rest), "listeners: [", tls, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	hangs := make(chan int)
	go func() {
		_, _, status := p.holdfast("plan", "--config", plan)
		hangs <- status
	}()
	testkit.Eventually(t, patience, func() bool { return slices.Contains(p.open(t), file) }, "a plan reads the file")
	p.says(1, "another plan is being made", "plan", "--config", p.file)
	p.write(rest + "\n# changed\n")
	p.reload()
	p.says(0, "drain", "drain", "web")
	// It stands still meanwhile, so that the first has not ended it before the
	// second one comes.
	for _, s := range []syscall.Signal{syscall.SIGSTOP, stopSignal, syscall.SIGINT, syscall.SIGCONT} {
		p.signal(s)
	}
	if code := p.wait(patience); code != 130 {
		t.Errorf("exit code %d, want 130", code)
	}
	if status := <-hangs; status == 0 {
		t.Error("the plan that hangs was answered")
	}
}

// readsForever reads what the file has to say, and tells why reading on would end.
func readsForever(file string) error {
	fd, err := unix.Open(file, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", file, err)
	}
	defer func() { _ = unix.Close(fd) }()
	buf := make([]byte, 1<<16)
	for {
		switch n, err := unix.Read(fd, buf); {
		case errors.Is(err, unix.EAGAIN):
			return nil
		case err != nil:
			return fmt.Errorf("read %s: %w", file, err)
		case n == 0:
			return fmt.Errorf("%s ends", file)
		}
	}
}
