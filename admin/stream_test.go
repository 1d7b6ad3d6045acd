package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

const patience = 10 * time.Second

// follower reads a stream of events.
type follower struct {
	t    *testing.T
	resp *http.Response
	r    *bufio.Scanner
}

func follow(t *testing.T, base, last string) *follower {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, "GET", base+"/api/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	resp, err := (&http.Transport{}).RoundTrip(req)
	if err != nil {
		t.Fatalf("follow events: %v", err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	if ct := resp.Header.Get("Content-Type"); resp.StatusCode != 200 || ct != "text/event-stream" {
		t.Fatalf("status %d, type %q", resp.StatusCode, ct)
	}
	return &follower{t, resp, bufio.NewScanner(resp.Body)}
}

// next returns the next event.
func (f *follower) next() Event {
	f.t.Helper()
	for f.r.Scan() {
		if data, ok := strings.CutPrefix(f.r.Text(), "data: "); ok {
			var e Event
			if err := json.Unmarshal([]byte(data), &e); err != nil {
				f.t.Fatalf("event %s: %v", data, err)
			}
			return e
		}
	}
	f.t.Fatalf("the stream has ended: %v", f.r.Err())
	return Event{}
}

func TestEventsAreFollowed(t *testing.T) {
	es := NewEvents("run", 8)
	es.Publish(Event{Kind: "reload", Level: Info, Message: "first"})
	base := serving(t, Options{Events: es})
	f := follow(t, base, "")
	first := f.next()
	if first.Message != "first" || first.ID == "" || first.Time.IsZero() {
		t.Errorf("first event %+v", first)
	}
	es.Publish(Event{Kind: "health", Level: Warn, Pool: "arena", Backend: "a", Message: "line\nend"})
	second := f.next()
	if second.Message != "line\nend" || second.Pool != "arena" {
		t.Errorf("second event %+v", second)
	}

	// Who comes back goes on behind the last one that he has seen.
	es.Publish(Event{Kind: "mode", Message: "third"})
	if got := follow(t, base, second.ID).next(); got.Message != "third" {
		t.Errorf("after %s comes %+v", second.ID, got)
	}
	// An id of another process means nothing here.
	if got := follow(t, base, "ffffffff-1").next(); got.ID != first.ID {
		t.Errorf("after a strange id comes %+v", got)
	}

	resp, body := do(t, "GET", base+"/api/v1/events", func(r *http.Request) { r.Header.Set("Accept", "application/json") })
	var list struct{ Events []Event }
	if err := json.Unmarshal([]byte(body), &list); err != nil || resp.StatusCode != 200 || len(list.Events) != 3 {
		t.Errorf("as a list: %d %s", resp.StatusCode, body)
	}
}

func TestLostEventsAreSaid(t *testing.T) {
	es := NewEvents("run", 4)
	for n := range 10 {
		es.Publish(Event{Message: fmt.Sprint(n)})
	}
	f := follow(t, serving(t, Options{Events: es}), "")
	if got := f.next(); got.Kind != "lost" || !strings.HasPrefix(got.Message, "6 earlier events") || got.ID != "" {
		t.Errorf("first of a ring that has turned: %+v", got)
	}
	for n := 6; n < 10; n++ {
		if got := f.next(); got.Message != fmt.Sprint(n) {
			t.Errorf("event %d: %+v", n, got)
		}
	}
}

// A reader that takes nothing holds up neither who publishes nor who reads.
func TestSlowReaderHoldsUpNobody(t *testing.T) {
	es := NewEvents("run", 100)
	base := serving(t, Options{Events: es})
	conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.(*net.TCPConn).SetReadBuffer(4096)
	fmt.Fprintf(conn, "GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
	quick := follow(t, base, "")

	const events = 50_000
	long := strings.Repeat("x", 1000)
	began := time.Now()
	for n := range events {
		es.Publish(Event{Kind: "mode", Message: long, Level: fmt.Sprint(n)})
	}
	if took := time.Since(began); took > patience {
		t.Errorf("publishing took %v", took)
	}
	// The quick reader may have missed some, and comes to the last one.
	for {
		if e := quick.next(); e.Level == fmt.Sprint(events-1) {
			break
		}
	}
}

func TestStreamsAreBounded(t *testing.T) {
	base := serving(t, Options{Events: NewEvents("run", 1)})
	for range maxStreams {
		follow(t, base, "")
	}
	resp, body := do(t, "GET", base+"/api/v1/events", nil)
	if resp.StatusCode != 503 || !strings.Contains(body, "too_many_streams") || resp.Header.Get("Retry-After") == "" {
		t.Errorf("one more: %d %s", resp.StatusCode, body)
	}
}

// A reader that has gone is noticed, and its place is free again.
func TestGoneReaderIsNoticed(t *testing.T) {
	s := New(Options{Listener: listen(t), Events: NewEvents("run", 1)})
	s.heartbeat = 5 * time.Millisecond
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	f := follow(t, "http://"+s.Addr().String(), "")
	testkit.Eventually(t, patience, func() bool { return s.streams.Load() == 1 }, "the stream is counted")
	f.resp.Body.Close()
	testkit.Eventually(t, patience, func() bool { return s.streams.Load() == 0 }, "the stream has ended")
	if err := s.Close(t.Context()); err != nil {
		t.Errorf("Close: %v", err)
	}
	<-served
}

// Who followed with a token that was changed reads nothing more.
func TestChangedTokenEndsStreams(t *testing.T) {
	es := NewEvents("run", 8)
	server := New(Options{Listener: listen(t), Events: es})
	f := follow(t, runs(t, server), "")
	server.SetToken("")
	es.Publish(Event{Kind: "reload", Level: Info, Message: "same"})
	if e := f.next(); e.Message != "same" {
		t.Errorf("got %+v", e)
	}
	server.SetToken("new")
	es.Publish(Event{Kind: "reload", Level: Info, Message: "secret"})
	for f.r.Scan() {
		if strings.Contains(f.r.Text(), "secret") {
			t.Errorf("got %s", f.r.Text())
		}
	}
	if err := f.r.Err(); err != nil {
		t.Errorf("the stream goes on: %v", err)
	}
}
