//go:build linux && (amd64 || arm64)

package e2e

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// saysReady is a program that says as a successor that it is ready, and no more.
const saysReady = `printf '\000\000\000\017\005\000{"version":"x"}' >&3; `

// startBroken starts a process with open sockets whose next program is that
// script.
func startBroken(t *testing.T, script string) (*process, []*peer) {
	t.Helper()
	own := filepath.Join(t.TempDir(), "holdfast")
	if err := writeScript(own+".next", script); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(program, own); err != nil {
		t.Fatal(err)
	}
	p := start(t, setup{program: own, rest: site(startArenas(t, 1), "drain: {deadline: 1s}")})
	peers := openPeers(t, p.web, "/", 3)
	if err := os.Rename(own+".next", own); err != nil {
		t.Fatal(err)
	}
	return p, peers
}

// A successor that dies in the middle of the sockets takes none along: their
// clients are told, and the predecessor ends.
func TestUpgradeWhoseSuccessorDies(t *testing.T) {
	t.Parallel()
	p, peers := startBroken(t, saysReady+"exec sleep 0.3")
	p.signal(syscall.SIGUSR2)
	for _, c := range peers {
		if f, err := testkit.ReadFrame(c.r); err != nil || f.CloseCode() != 1012 {
			t.Errorf("a client reads %+v, %v, want Close 1012", f, err)
		}
		_, _ = c.Write(testkit.Close(1012, "").Mask().Append(nil))
		_ = c.Close()
	}
	p.ends()
	p.logged(`"the successor has ended"`)
}

// A successor that hangs in the middle of the sockets may have them: they are not
// gone on with, and the predecessor still ends at SIGTERM.
func TestUpgradeWhoseSuccessorHangs(t *testing.T) {
	t.Parallel()
	p, peers := startBroken(t, saysReady+"exec sleep 5")
	p.signal(syscall.SIGUSR2)
	p.logged(`"upgraded: the successor serves"`)
	p.signal(stopSignal)
	p.ends()
	for _, c := range peers {
		_ = c.Close()
	}
}
