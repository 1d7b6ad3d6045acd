//go:build linux

package accesslog

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// A named pipe is opened without waiting for a reader; while none comes, and
// it is full, lines are dropped, and the logger can still be closed.
func TestPipeWithoutReader(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := Open(path, "json")
	if err != nil {
		t.Fatal(err)
	}
	r := request()
	size := len(appendJSON(nil, r))
	for i := 0; i < 3*batchSize; i += size {
		l.Log(r)
	}
	if l.Dropped() == 0 {
		t.Error("nothing was dropped")
	}
	if err := l.Reopen(); err != nil {
		t.Errorf("reopen: %v", err)
	}

	// A reader that comes finds whole lines.
	f, err := os.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	_ = f.SetReadDeadline(time.Now().Add(5 * time.Second))
	lines := bufio.NewScanner(f)
	for range 1000 {
		if !lines.Scan() || !json.Valid(lines.Bytes()) {
			t.Fatalf("read %q, %v", lines.Text(), lines.Err())
		}
	}
	began := time.Now()
	_ = l.Close()
	if took := time.Since(began); took > 4*closeWait {
		t.Errorf("close took %v", took)
	}
}

// A full disk costs lines and nothing else.
func TestFullDisk(t *testing.T) {
	l, err := Open("/dev/full", "combined")
	if err != nil {
		t.Fatal(err)
	}
	const lines = 100
	for range lines {
		l.Log(request())
	}
	testkit.Eventually(t, 5*time.Second, func() bool { return l.Dropped() == lines }, "all lines are counted")
	if err := l.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}
