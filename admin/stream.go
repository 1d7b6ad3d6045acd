package admin

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/internal/spelling"
)

const (
	// maxStreams is how many callers may follow events at a time: each holds
	// one of maxConns.
	maxStreams = 64
	// heartbeat is how often a silent stream says something, so that a reader
	// that has gone is noticed.
	heartbeat = 15 * time.Second
)

// events answers with what has happened: as server-sent events that go on
// until somebody ends them, from the one after Last-Event-ID if that is given;
// or, to those that accept JSON only, as the list of what is remembered.
func (s *Server) events(ctx *fasthttp.RequestCtx, _ params) {
	es := s.opts.Events
	if es == nil {
		errUnavailable.send(ctx)
		return
	}
	at := es.after(string(ctx.Request.Header.Peek("Last-Event-ID")))
	if string(ctx.Request.Header.Peek("Accept")) == "application/json" {
		list, _, _, _ := es.since(at)
		if list == nil {
			list = []Event{}
		}
		sendJSON(ctx, fasthttp.StatusOK, struct {
			Events []Event `json:"events"`
		}{list})
		return
	}
	if s.streams.Add(1) > maxStreams {
		s.streams.Add(-1)
		ctx.Response.Header.Set("Retry-After", "10")
		(&Problem{fasthttp.StatusServiceUnavailable, fmt.Sprintf("%d callers follow the events already", maxStreams), "too_many_streams",
			"close some, or ask with \"Accept: application/json\""}).send(ctx)
		return
	}
	ctx.SetContentType("text/event-stream")
	ctx.Response.Header.Set("X-Accel-Buffering", "no")
	if ctx.IsHead() {
		s.streams.Add(-1)
		return
	}
	conn, shown := ctx.Conn(), s.token.Load()
	ctx.SetBodyStreamWriter(func(w *bufio.Writer) {
		defer s.streams.Add(-1)
		s.follow(conn, w, at, shown)
	})
}

// follow writes events from number at on until the reader has gone, takes
// nothing for writeTimeout, another token than that which was shown is asked
// for, or the server is closed.
func (s *Server) follow(conn net.Conn, w *bufio.Writer, at uint64, shown *token) {
	beat := time.NewTicker(s.heartbeat)
	defer beat.Stop()
	_, _ = w.WriteString(": events follow\n\n")
	for {
		list, lost, next, wake := s.opts.Events.since(at)
		if !shown.equals(s.token.Load()) {
			return
		}
		at = next
		if lost > 0 {
			writeEvent(w, &Event{Time: time.Now(), Kind: "lost", Level: Warn,
				Message: spelling.Count(lost, "earlier event") + ", not remembered any more"})
		}
		for i := range list {
			writeEvent(w, &list[i])
		}
		// fasthttp sets a deadline for a whole answer, and this one has no end.
		conn.SetWriteDeadline(time.Now().Add(writeTimeout))
		if w.Flush() != nil {
			return
		}
		select {
		case <-wake:
		case <-beat.C:
			_, _ = w.WriteString(":\n\n")
		case <-s.closing:
			return
		}
	}
}

// writeEvent writes e in the form of a server-sent event. The fields of an
// Event hold no line ends once they are JSON.
func writeEvent(w *bufio.Writer, e *Event) {
	data, err := json.Marshal(e)
	if err != nil {
		return
	}
	if e.ID != "" {
		_, _ = fmt.Fprintf(w, "id: %s\n", strings.TrimSpace(e.ID))
	}
	_, _ = fmt.Fprintf(w, "data: %s\n\n", data)
}
