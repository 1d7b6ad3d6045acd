package listener

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-lb/holdfast/internal/explain"
)

func TestBackoff(t *testing.T) {
	var b backoff
	for i, want := range []int{5, 10, 20, 40, 80, 160, 320, 640, 1000, 1000} {
		if got := b.next(); got != time.Duration(want)*time.Millisecond {
			t.Errorf("failure %d: %v, want %d ms", i+1, got, want)
		}
	}
	b.reset()
	if got := b.next(); got != firstPause {
		t.Errorf("after a success: %v, want %v", got, firstPause)
	}
}

// Failures to accept slow the loop down and are reported; they never end it.
func TestAcceptFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		opts, meterOf := metered(hello)
		opts.Reports = explain.NewReporter(slog.New(slog.NewTextHandler(&log, nil)), time.Minute)
		ln, _, end := servePipes(t, opts, web())
		start := time.Now()
		for _, errno := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ECONNABORTED, syscall.EPERM} {
			for range 20 {
				ln.errs <- &net.OpError{Op: "accept", Err: errno}
			}
		}
		// 1.275 s of growing pauses, then a second each but for the last,
		// which is still under way.
		if took, want := time.Since(start), 92275*time.Millisecond; took != want {
			t.Errorf("100 failures in a row took %v, want %v", took, want)
		}
		c := ln.dial()
		io.WriteString(c, "GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
		expect(t, c, "hello /a")
		c.Close()
		if n := meterOf("web").errors.Load(); n != 100 {
			t.Errorf("%d failures counted, want 100", n)
		}
		// Stopping does not wait for a pause to end.
		ln.errs <- syscall.EMFILE
		synctest.Wait()
		start = time.Now()
		end()
		if took := time.Since(start); took != 0 {
			t.Errorf("stop took %v", took)
		}
		opts.Reports.Close()
		lines := strings.SplitAfter(log.String(), "\n")
		if len(lines) != 4 || !strings.Contains(lines[0], "code=HF-4005") || !strings.Contains(lines[0], "remedy=") ||
			!strings.Contains(lines[1], " repeated=") || !strings.Contains(lines[2], " repeated=") {
			t.Errorf("101 failures in 93 s are these lines, want one, and two that count:\n%s", log.String())
		}
	})
}
