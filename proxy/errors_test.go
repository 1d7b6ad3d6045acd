package proxy

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/balancer"
)

func TestAnswersAreComplete(t *testing.T) {
	names := map[string]class{}
	for c := ok + 1; c < classes; c++ {
		a := answers[c]
		if a.status < 400 || a.status > 599 || a.name == "" || a.reason == "" {
			t.Errorf("class %d: %+v", c, a)
		}
		// One row in internal/explain gives it a code.
		page := c.code().Page()
		if page == nil || page.Name != a.name || page.Status != a.status && c != clientGone {
			t.Errorf("class %s has no row, or one with another status, in the tables of internal/explain", a.name)
		}
		if other, twice := names[a.name]; twice {
			t.Errorf("classes %d and %d are both %q", other, c, a.name)
		}
		names[a.name] = c
	}
}

func TestClassWrite(t *testing.T) {
	id, _ := keepRequestID([]byte("req-1"))
	f := func(c class, status int, body, retry string) {
		t.Helper()
		var resp fasthttp.Response
		resp.Header.Set("X-Left-Over", "from a failed attempt")
		c.write(&resp, &id)
		if resp.StatusCode() != status || string(resp.Body()) != body || string(resp.Header.Peek("Retry-After")) != retry {
			t.Errorf("%s: %d %q Retry-After %q", c, resp.StatusCode(), resp.Body(), resp.Header.Peek("Retry-After"))
		}
		if resp.Header.Peek("X-Left-Over") != nil {
			t.Errorf("%s keeps a field of the failed attempt", c)
		}
		if strings.Count(body, "\n") != 1 {
			t.Errorf("%s: %q is not one line", c, body)
		}
	}
	f(refused, 502, "HF-2003 backend refused the connection (connect_failed, request req-1)\n", "")
	f(broken, 502, "HF-2005 backend closed the connection before answering (backend_broken, request req-1)\n", "")
	f(noBackend, 503, "HF-2001 no backend is available (no_backend, request req-1)\n", "1")
	f(allFull, 503, "HF-2002 all backends are busy (backends_full, request req-1)\n", "1")
	f(late, 504, "HF-2007 backend did not answer in time (answer_timeout, request req-1)\n", "")
	f(bodyTooLarge, 413, "HF-1009 request body too large (body_too_large, request req-1)\n", "")
	f(noRoute, 404, "HF-1013 no route for this host and path (no_route, request req-1)\n", "")
	f(bodyTimeout, 408, "HF-1010 request body came too slowly (body_timeout, request req-1)\n", "")
}

func TestClassOf(t *testing.T) {
	f := func(what string, got, want class) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	timeout := &net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}
	f("full", classOfPick(fmt.Errorf("x: %w", balancer.ErrAllFull)), allFull)
	f("none", classOfPick(balancer.ErrNoneUsable), noBackend)
	f("dial timeout", classOfDial(timeout), connectTimeout)
	f("dial refused", classOfDial(errors.New("connection refused")), refused)
	f("body timeout", classOfBody(timeout), bodyTimeout)
	f("body cut", classOfBody(io.ErrUnexpectedEOF), clientGone)
	f("body reset", classOfBody(&net.OpError{Op: "read", Err: errors.New("reset")}), clientGone)
	f("chunk", classOfBody(fasthttp.ErrBrokenChunk{}), bodyBroken)
}
