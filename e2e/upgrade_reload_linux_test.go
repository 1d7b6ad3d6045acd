//go:build linux && (amd64 || arm64)

package e2e

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// An upgrade is a reload too: listeners, the admin address and pools may come and
// go with it. Sockets of what is gone stay with the predecessor, which tells them.
// The service manager hears who serves.
func TestUpgradeIsAReload(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "holdfast") // short, for a Unix socket's name
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	at := func(name string) string { return filepath.Join(dir, name) }
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: at("notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	hears := func(words ...string) {
		t.Helper()
		heard := map[string]bool{}
		for range words {
			b := make([]byte, 100)
			_ = manager.SetReadDeadline(time.Now().Add(patience))
			n, err := manager.Read(b)
			if err != nil {
				t.Fatal(err)
			}
			heard[string(b[:n])] = true
		}
		for _, w := range words {
			if !heard[w] {
				t.Errorf("the service manager hears %v, want %q", heard, words)
			}
		}
	}
	web, other := onePool("web", []string{startArena(t, "stays").Addr}), onePool("other", []string{startArena(t, "goes").Addr})
	text := func(p *process, unix, routes, pools string) string {
		return strings.Replace(p.text("routes: ["+routes+"]\npools:\n"+pools), "listeners: [", fmt.Sprintf("listeners: [{name: unix, address: \"unix:%s\"}, ", at(unix)), 1)
	}
	p := prepare(t, setup{env: []string{"NOTIFY_SOCKET=" + at("notify")}})
	p.writeText(text(p, "was", "{name: all, path: /, pool: web}, {name: other, path: /other, pool: other}", web+other))
	p.begin()
	hears("READY=1")
	kept, left := openPeers(t, p.web, "/", 1)[0], openPeers(t, p.web, "/other", 1)[0]

	was, now := p.admin, freeAddr(t)
	p.admin = now
	p.writeText(text(p, "is", "{name: all, path: /, pool: web}", web))
	p.admin = was
	next, carried, told := p.upgrade()
	next.admin = now
	if carried != 1 || told != 1 {
		t.Errorf("%d sockets carried, %d told; want one each", carried, told)
	}
	hears("READY=1", fmt.Sprintf("MAINPID=%d", next.cmd.Process.Pid))
	if f, err := testkit.ReadFrame(left.r); err != nil || f.CloseCode() != 1012 {
		t.Errorf("a client whose pool is gone reads %+v, %v, want Close 1012", f, err)
	}
	_, _ = left.Write(testkit.Close(1012, "").Mask().Append(nil))
	_ = left.Close()
	p.ends()
	if err := kept.echo("after"); err != nil {
		t.Error(err)
	}
	if code := next.readyStatus(); code != http.StatusOK {
		t.Errorf("/readyz at the new admin address: %d", code)
	}
	if c, err := net.Dial("tcp", was); err == nil {
		c.Close()
		t.Error("somebody listens on the old admin address")
	}
	if c, err := net.Dial("unix", at("is")); err != nil {
		t.Error(err)
	} else {
		c.Close()
	}
	if exists(at("was")) {
		t.Error("the file of a listener that is gone is there")
	}
	next.signal(stopSignal)
	hears("STOPPING=1")
	next.ends()
	if exists(at("is")) {
		t.Error("the last process leaves the file of its listener")
	}
}
