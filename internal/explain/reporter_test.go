package explain

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// lines runs f with a Reporter in a bubble and returns what was logged.
func lines(t *testing.T, f func(r *Reporter)) []string {
	var log bytes.Buffer
	synctest.Test(t, func(*testing.T) {
		r := NewReporter(slog.New(slog.NewTextHandler(&log, nil)), time.Minute)
		f(r)
		r.Close()
		r.Close()
		r.Report(&Event{Code: 2003}) // nobody hears it
	})
	return strings.Split(strings.TrimSuffix(log.String(), "\n"), "\n")
}

// A flood is a line with cause and remedy, and then one a minute that counts.
func TestFlood(t *testing.T) {
	got := lines(t, func(r *Reporter) {
		for i := range 100_000 {
			r.Report(&Event{Code: 2003, Route: "game", Pool: "arena", Backend: "a1", RequestID: fmt.Append(nil, "id-", i),
				Client: netip.MustParseAddr("10.0.0.1"), Err: errors.New("connection refused")})
		}
		time.Sleep(90 * time.Second)
		r.Report(&Event{Code: 2003, Route: "game", Pool: "arena", Backend: "a1"})
		time.Sleep(5 * time.Minute)
		r.Report(&Event{Code: 2003, Route: "game", Pool: "arena", Backend: "a1", RequestID: []byte("later")})
	})
	if len(got) != 4 {
		t.Fatalf("%d lines:\n%s", len(got), strings.Join(got, "\n"))
	}
	for i, wants := range [][]string{
		{"level=WARN", `msg="backend refused the connection"`, "code=HF-2003", "reason=connect_failed", "route=game", "pool=arena", "backend=a1",
			"client=10.0.0.1", "request_id=id-0", `error="connection refused"`, `cause="Nothing listens`, `remedy="Start the backend`},
		{"code=HF-2003", "backend=a1", "repeated=99999", "within=1m"},
		{"code=HF-2003", "repeated=1 ", "within=1m"},
		{"request_id=later", "cause="},
	} {
		for _, want := range wants {
			if !strings.Contains(got[i], want) {
				t.Errorf("line %d lacks %s: %s", i+1, want, got[i])
			}
		}
	}
}

// Troubles of different routes, backends and codes do not hide each other, and
// what is counted when the process ends is said.
func TestSubjects(t *testing.T) {
	got := lines(t, func(r *Reporter) {
		for range 3 {
			for _, e := range []Event{
				{Code: 2003, Route: "a", Backend: "1"}, {Code: 2003, Route: "a", Backend: "2"},
				{Code: 2003, Route: "b", Backend: "1"}, {Code: 2004, Route: "a", Backend: "1"}, {Code: 4001, Listener: "web"},
			} {
				r.Report(&e)
			}
		}
	})
	if n := strings.Count(strings.Join(got, "\n"), "repeated=2"); len(got) != 10 || n != 5 {
		t.Errorf("%d lines, %d of them count:\n%s", len(got), n, strings.Join(got, "\n"))
	}
}

// A log that takes nothing holds up nobody, and memory is bounded.
func TestBlockedLog(t *testing.T) {
	block := make(chan struct{})
	r := NewReporter(slog.New(slog.NewTextHandler(blocked(block), nil)), time.Minute)
	for i := range 3 * maxSubjects {
		r.Report(&Event{Code: 2003, Route: fmt.Sprint(i)})
	}
	if n := len(r.troubles); n != maxSubjects {
		t.Errorf("%d troubles are kept, want %d", n, maxSubjects)
	}
	close(block)
	r.Close()
}

type blocked chan struct{}

func (b blocked) Write(p []byte) (int, error) {
	<-b
	return len(p), nil
}

// What is only counted costs no memory; nil takes everything.
func TestReportAllocates(t *testing.T) {
	r := NewReporter(slog.New(slog.DiscardHandler), time.Hour)
	defer r.Close()
	e := Event{Code: 2003, Route: "a", RequestID: []byte("id")}
	r.Report(&e)
	if n := testing.AllocsPerRun(100, func() { r.Report(&e) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	(*Reporter)(nil).Report(&e)
	(*Reporter)(nil).Close()
	r.Report(&Event{Code: 999})
}
