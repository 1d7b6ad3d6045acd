package accesslog

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// request is a record of a usual request.
func request() *Record {
	return &Record{
		Time:     time.Date(2026, 2, 3, 4, 5, 6, 7000, time.FixedZone("", 3600)),
		Duration: 12345678 * time.Nanosecond,
		Listener: "web", Route: "rest", Backend: "web-1", RequestID: "0123456789abcdef",
		Client: netip.MustParseAddr("192.0.2.7"),
		Method: "GET", Host: "game.example.com", URI: "/a?b=c", Proto: "HTTP/1.1",
		Referer: "https://game.example.com/", UserAgent: "Mozilla/5.0 (X11; Linux x86_64)",
		Status: 200, BytesIn: 10, BytesOut: 2048,
	}
}

// sink is a writer that can be made to hang or fail.
type sink struct {
	mu    sync.Mutex
	bytes bytes.Buffer
	limit int           // bytes per Write from which on it fails; 0: none
	hang  chan struct{} // not nil: Write waits until it is closed
}

func (s *sink) Write(p []byte) (int, error) {
	s.mu.Lock()
	hang, limit := s.hang, s.limit
	s.mu.Unlock()
	if hang != nil {
		<-hang
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if limit > 0 && len(p) > limit {
		s.bytes.Write(p[:limit])
		return limit, errors.New("no space left on device")
	}
	return s.bytes.Write(p)
}

func (s *sink) set(limit int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limit = limit
}

func (s *sink) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bytes.String()
}

func open(t *testing.T, w io.Writer) *Logger {
	t.Helper()
	l, err := New(w, "json")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// What was logged before Close is written by then, from however many
// goroutines it came, and each line whole.
func TestCloseFlushes(t *testing.T) {
	var out sink
	l := open(t, &out)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 200 {
				l.Log(request())
			}
		})
	}
	wg.Wait()
	if err := l.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
	lines := strings.SplitAfter(out.text(), "\n")
	if len(lines) != 1601 || lines[1600] != "" {
		t.Errorf("%d lines, want 1600", len(lines)-1)
	}
	for _, line := range lines[:len(lines)-1] {
		if !json.Valid([]byte(line)) {
			t.Fatalf("line %q is not JSON", line)
		}
	}
	l.Log(request())
	if n := l.Dropped(); n != 1 {
		t.Errorf("%d dropped after close, want 1", n)
	}
}

func TestLinesComeSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out sink
		l := open(t, &out)
		defer l.Close()
		for i := range 3 {
			l.Log(request())
			time.Sleep(flushEvery)
			synctest.Wait()
			if n := strings.Count(out.text(), "\n"); n != i+1 {
				t.Errorf("%d lines after %v, want %d", n, flushEvery, i+1)
			}
		}
		// A batch that fills does not wait.
		start := time.Now()
		for range batchSize / 2 / 300 * 4 {
			l.Log(request())
			synctest.Wait()
		}
		if n := l.Dropped(); n != 0 || time.Since(start) != 0 {
			t.Errorf("%d dropped in a burst, %v passed", n, time.Since(start))
		}
	})
}

// While nothing can be written, callers do not wait, memory is bounded, and
// what is lost is counted.
func TestStuckWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := sink{hang: make(chan struct{})}
		l := open(t, &out)
		const n = 100_000
		start := time.Now()
		for range n {
			l.Log(request())
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("callers waited %v", d)
		}
		synctest.Wait()
		if l.Dropped() == 0 {
			t.Error("nothing dropped")
		}
		close(out.hang)
		if err := l.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		written := strings.Count(out.text(), "\n")
		if uint64(written)+l.Dropped() != n || len(out.text()) > 2*batchSize {
			t.Errorf("%d written (%d bytes) and %d dropped of %d", written, len(out.text()), l.Dropped(), n)
		}
	})
}

func TestCloseStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := sink{hang: make(chan struct{})}
		l := open(t, &out)
		l.Log(request())
		start := time.Now()
		if err := l.Close(); err == nil {
			t.Error("close of a stuck log reports no error")
		}
		if d := time.Since(start); d != closeWait {
			t.Errorf("close took %v, want %v", d, closeWait)
		}
		close(out.hang)
		<-l.done
	})
}

// After a failure within a line, the next line begins on its own.
func TestTornLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out sink
		l := open(t, &out)
		write := func() {
			l.Log(request())
			time.Sleep(2 * flushEvery)
			synctest.Wait()
		}
		write()
		out.set(10)
		write()
		out.set(0)
		write()
		l.Close()
		lines := strings.Split(out.text(), "\n")
		if len(lines) != 4 || lines[1] != lines[0][:10] || lines[2] != lines[0] {
			t.Errorf("lines %q", lines)
		}
		if n := l.Dropped(); n != 1 {
			t.Errorf("%d dropped, want 1", n)
		}
	})
}

// Rotation: the old file is complete and closed, the new one goes on.
func TestReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	l, err := Open(path, "combined")
	if err != nil {
		t.Fatal(err)
	}
	lines := func(path string) int {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Count(b, []byte("\n"))
	}
	l.Log(request())
	testkit.Eventually(t, 5*time.Second, func() bool { return lines(path) == 1 }, "the line is written")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if err := l.Reopen(); err != nil {
		t.Errorf("reopen: %v", err)
	}
	l.Log(request())
	l.Log(request())
	// A second Reopen before the first took effect must not leak.
	if err := l.Reopen(); err != nil {
		t.Errorf("reopen: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if a, b := lines(path+".1"), lines(path); a != 1 || b != 2 {
		t.Errorf("%d and %d lines, want 1 and 2", a, b)
	}
	if err := l.Reopen(); err != nil {
		t.Errorf("reopen after close: %v", err)
	}
}

// A Reopen that fails leaves the log as it was.
func TestReopenError(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "access.log")
	l, err := Open(path, "json")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir, dir+".1"); err != nil {
		t.Fatal(err)
	}
	if err := l.Reopen(); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("reopen: %v, want one that names %s", err, path)
	}
	l.Log(request())
	if err := l.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if b, err := os.ReadFile(filepath.Join(dir+".1", "access.log")); err != nil || !json.Valid(b) {
		t.Errorf("file holds %q, %v", b, err)
	}
}

func TestOff(t *testing.T) {
	var l *Logger
	l.Log(request())
	if l.Dropped() != 0 || l.Reopen() != nil || l.Close() != nil {
		t.Error("a nil Logger does something")
	}
}

func TestOpenErrors(t *testing.T) {
	f := func(target, format, want string) {
		t.Helper()
		l, err := Open(target, format)
		if err == nil {
			l.Close()
			t.Errorf("open %s as %s: no error", target, format)
			return
		}
		if !strings.Contains(err.Error(), want) {
			t.Errorf("open %s as %s: %v, want %q", target, format, err, want)
		}
	}
	path := filepath.Join(t.TempDir(), "no", "such")
	f(path, "json", path)
	f(t.TempDir(), "json", "is a directory")
	f(path, "xml", `format "xml" is neither json nor combined`)
}
