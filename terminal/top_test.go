package terminal

import (
	"bytes"
	"context"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/holdfast-lb/holdfast/admin"
)

var escapes = regexp.MustCompile(`\x1b\[[0-9;?]*[a-zA-Z]`)

// screen is what t shows, without colours, as lines.
func screen(t top) []string {
	return strings.Split(escapes.ReplaceAllString(t.text(), ""), "\n")
}

// watching is a top that has seen two samples, a second apart.
func watching(t *testing.T, pools ...admin.Pool) top {
	t.Helper()
	c, err := newClient("127.0.0.1:9090", "")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	return top{client: c, ctx: t.Context(), interval: time.Second, width: 100, height: 12}.with(sight{
		status: admin.Status{Ready: true, Now: now, Began: now.Add(-5 * time.Hour)},
		pools:  pools,
		samples: []admin.Sample{
			{At: 1000, Active: admin.Active{Sockets: 50}, ClientToBackend: admin.Flow{Frames: 100, Bytes: 1000}},
			{At: 2000, Active: admin.Active{Sockets: 100, Requests: 7}, ClientToBackend: admin.Flow{Frames: 350, Bytes: 3048}},
		},
	})
}

func press(t top, keys ...string) top {
	for _, k := range keys {
		m, _ := t.Update(tea.KeyPressMsg(tea.Key{Code: []rune(k)[0], Text: k}))
		t = m.(top)
	}
	return t
}

func TestTopShowsWhatThereIs(t *testing.T) {
	down := backend("a-2", 0)
	down.State, down.Usable, down.Why = admin.Down, false, "connection refused"
	top := watching(t, pool("arena", backend("a-1", 60), down, draining("a-3", 80, 40, 0)))
	lines := screen(top)
	f := func(i int, want ...string) {
		t.Helper()
		for _, w := range want {
			if !strings.Contains(lines[i], w) {
				t.Errorf("line %d lacks %q: %q", i, w, lines[i])
			}
		}
	}

	f(0, "holdfast 127.0.0.1:9090", "up 5h", "1 of 3 backends down")
	f(1, "100 sockets", "7 requests", "250 in", "2.0KiB/s in")
	f(2, "▅█")
	f(4, "POOL", "BACKEND", "STATE", "SOCKETS", "LOAD", "WHY")
	f(5, "arena a-1", "up", "60", strings.Repeat("█", 12), "1h, 200")
	f(6, "arena a-2", "down", "0", "connection refused")
	f(7, "arena a-3", "draining", "40", "40 of 80 left")
	f(len(lines)-1, "Sorted by configuration")
	if len(lines) != top.height {
		t.Errorf("%d lines on a screen of %d", len(lines), top.height)
	}
	for i, line := range lines {
		if n := len([]rune(line)); n > top.width {
			t.Errorf("line %d has %d columns of %d: %q", i, n, top.width, line)
		}
	}
}

func TestTopSortsAndScrolls(t *testing.T) {
	var many []admin.Backend
	for i := range 30 {
		many = append(many, backend("b"+string(rune('a'+i%26))+string(rune('0'+i/26)), int64(i)))
	}
	top := watching(t, pool("arena", many...))
	firstRow := func(want string, keys ...string) {
		t.Helper()
		if got := screen(press(top, keys...))[above]; !strings.HasPrefix(got, "arena "+want) {
			t.Errorf("after %q the first row is %q, want %s", keys, got, want)
		}
	}

	firstRow("ba0")
	firstRow("bb0", "j")
	firstRow("ba0", "j", "k", "k")
	firstRow("ba0", "j", "j", "g")
	firstRow("bd1", "s")                // by sockets: the last has the most
	firstRow("ba0", "s", "s")           // by requests: all equal, as configured
	firstRow("ba0", "s", "s", "s")      // by name
	firstRow("ba0", "s", "s", "s", "s") // as configured
	end := press(top, strings.Split(strings.Repeat("j", 99), "")...)
	if lines := screen(end); !strings.HasPrefix(lines[above+end.rows()-1], "arena bd1") || !strings.Contains(lines[len(lines)-1], "26 to 30 of 30 backends") {
		t.Errorf("the end is\n%s", strings.Join(lines, "\n"))
	}
	if _, cmd := top.Update(tea.KeyPressMsg(tea.Key{Code: 'q', Text: "q"})); cmd == nil || cmd() != tea.Quit() {
		t.Error("q does not end it")
	}
}

// Without an answer, what was seen last stays, with the reason above it.
func TestTopKeepsWhatItHasSeen(t *testing.T) {
	was := watching(t, pool("arena", backend("a-1", 60)))
	m, cmd := was.Update(failure{errors.New("connection refused")})
	lines := screen(m.(top))
	if !strings.Contains(lines[0], "connection refused") || !strings.Contains(lines[above], "a-1") || cmd == nil {
		t.Errorf("shown:\n%s", strings.Join(lines, "\n"))
	}
	m, _ = m.(top).Update(sight{pools: was.pools, status: was.status, samples: []admin.Sample{{At: 3000, Active: admin.Active{Sockets: 200}}}})
	// A new process counts from 0.
	if lines := screen(m.(top)); !strings.Contains(lines[0], "healthy") || !strings.Contains(lines[1], "200 sockets") || !strings.Contains(lines[1], "frames/s 0 in") {
		t.Errorf("shown:\n%s", strings.Join(lines, "\n"))
	}
}

// The program itself, on pipes: it draws, looks again, and ends with q.
func TestTopRuns(t *testing.T) {
	f := &fake{pools: [][]admin.Pool{{pool("arena", backend("a-1", 60))}}}
	f.also = map[string]any{"GET /api/v1/history": map[string]any{"samples": []admin.Sample{{At: 1}}}}
	r, w := io.Pipe()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var out bytes.Buffer
	start := watching(t, pool("arena", backend("a-1", 60)))
	start.ctx, start.interval = ctx, time.Millisecond
	server := f.serve(t)
	start.client = server
	done := make(chan error, 1)
	go func() { done <- runTop(ctx, start, r, &out, tea.WithWindowSize(100, 20)) }()
	for len(f.requests()) < 60 && ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	if _, err := io.WriteString(w, "q"); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil || ctx.Err() != nil {
		t.Errorf("ended with %v, %v", err, ctx.Err())
	}
	w.Close()
	if text := out.String(); !strings.Contains(text, "holdfast") || !strings.Contains(text, "a-1") {
		t.Errorf("drawn: %q", text)
	}
}

func TestSparkline(t *testing.T) {
	f := func(n int, want string, values ...float64) {
		t.Helper()
		if got := sparkline(values, n); got != want {
			t.Errorf("%v in %d: %q, want %q", values, n, got, want)
		}
	}

	f(4, "    ")
	f(4, "   ▁", 0)
	f(4, "  ▁█", 0, 100)
	f(4, "▁▃▅█", 0, 30, 60, 100)
	f(2, "▃█", 0, 30, 60, 100) // the most of each two
	f(2, "▁█", 0, 5, 100)      // the newest column is whole
}
