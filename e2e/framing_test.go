package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// framingGroup is a group of cases of docs/framing.md, which are alike.
type framingGroup struct {
	title string
	why   string // what Holdfast does is right
	cases []framingCase
}

// framingCase is what one side sends, and what comes of it.
type framingCase struct {
	name string
	sent string
	// want is the outcome with Holdfast; see judged.outcome and
	// answered.outcome.
	want string
}

// A short way to write the cases of which nothing reaches a backend.
const (
	is400 = "refused 400"
	is431 = "refused 431"
	is501 = "refused 501"
	is505 = "refused 505"
	once  = "forwarded"
	twice = "forwarded ×2"
)

const (
	// quiet is the silence after which nothing more is expected of a proxy.
	quiet = 40 * time.Millisecond
	// firstByte is how long the first byte of an answer may take before the
	// client ends its side.
	firstByte = 250 * time.Millisecond
)

// unwanted are fields that reach no backend, whoever sends them and where: of
// the hop, forged, or brought in by trailers. Only one X-Forwarded-For and one
// X-Request-Id are ours.
var unwanted = regexp.MustCompile(`(?im)^(Connection|Keep-Alive|Proxy|Proxy-Connection|Upgrade|HTTP2-Settings|Expect|Transfer_Encoding|Content_Length|X-Forwarded_For|X Sum|X-Request-Id: 1$|X-Sum: hop).*`)

// TestFraming sends every case of framingCases as a client to a process with
// one backend, which takes down what it reads, and compares what came of it.
func TestFraming(t *testing.T) {
	t.Parallel()
	r := testkit.StartRecorder(t)
	p := start(t, setup{rest: "routes:\n  - {path: /, pool: game}\n  - {path: /admin, pool: game}\npools:\n  game:\n    backends: [{url: \"http://" + r.Addr + "\"}]"})
	count := 0
	for _, g := range framingCases() {
		for _, c := range g.cases {
			count++
			got := ask(t, p.web, r, c.sent)
			if got != c.want {
				t.Errorf("%s: %s: %s, want %s\n%q", g.title, c.name, got, c.want, c.sent)
			}
			for _, s := range r.Seen() {
				if line := unwanted.FindString(s.Head); line != "" {
					t.Errorf("%s: %s: the backend sees %q", g.title, c.name, line)
				}
			}
		}
	}
	if resp, body := exchange(t, p.web, get("/")); resp.StatusCode != 200 || body != "ok" {
		t.Errorf("afterwards: %d %q", resp.StatusCode, body)
	}
	t.Logf("%d cases", count)
}

// ask sends a case and says what came of it.
func ask(t *testing.T, addr string, r *testkit.Recorder, sent string) string {
	t.Helper()
	r.Reset()
	c, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetWriteDeadline(time.Now().Add(patience))
	_, _ = io.WriteString(c, sent) // what is refused early need not be taken to its end
	var got bytes.Buffer
	ended := readQuiet(c, &got)
	if !ended {
		_ = c.(*net.TCPConn).CloseWrite()
		_ = c.SetReadDeadline(time.Now().Add(patience))
		_, _ = io.Copy(&got, c)
	}
	return outcomeOf(got.String(), r.Seen())
}

// readQuiet reads until the end, or until nothing comes for a while.
func readQuiet(c net.Conn, got *bytes.Buffer) (ended bool) {
	wait := firstByte
	buf := make([]byte, 4096)
	for {
		_ = c.SetReadDeadline(time.Now().Add(wait))
		n, err := c.Read(buf)
		got.Write(buf[:n])
		if err != nil {
			return !os.IsTimeout(err)
		}
		wait = quiet
	}
}

// outcomeOf says what came of a client's case: "refused" with the status, if
// the backend has seen nothing and the connection is closed; "forwarded" with
// how often, if it was answered and the backend has seen what is well-formed;
// and what is wrong otherwise.
func outcomeOf(answers string, seen []testkit.Sighting) string {
	var statuses []string
	closed := false
	for rest := answers; rest != ""; {
		head, body, whole := strings.Cut(rest, "\r\n\r\n")
		if !whole || len(head) < len("HTTP/1.1 200") || !strings.HasPrefix(head, "HTTP/1.") {
			return fmt.Sprintf("answered with %.60q", rest)
		}
		if status := head[9:12]; status != "100" {
			statuses = append(statuses, status)
		}
		lower := strings.ToLower(head) + "\r\n"
		closed = strings.Contains(lower, "\r\nconnection: close\r\n")
		n := 0
		if _, after, found := strings.Cut(lower, "\r\ncontent-length: "); found {
			_, _ = fmt.Sscanf(after, "%d", &n)
		} else if !strings.HasPrefix(head[9:], "1") {
			n = len(body) // up to the end, as HAProxy's own answers
			closed = true
		}
		if i := len(statuses) - 1; i >= 0 && i < len(seen) && strings.HasPrefix(seen[i].Line, "HEAD ") {
			n = 0
		}
		rest = body[min(n, len(body)):]
	}
	for _, s := range seen {
		switch {
		case s.Flaw != "":
			return "PASSED ON: " + s.Flaw
		case strings.Contains(s.Line, "smuggled"): // of clients' cases, never one that is meant
			return once + ", and what stands behind it"
		}
	}
	requests := ""
	if n := len(seen); n > 1 {
		requests = fmt.Sprintf(" ×%d", n)
	}
	switch all := strings.Join(statuses, ", "); {
	case len(seen) == 0 && all == "":
		return "closed without a word"
	case len(seen) == 0 && closed:
		return "refused " + all
	case len(seen) == 0:
		return "refused " + all + ", goes on"
	case len(statuses) == len(seen) && strings.Count(all, "200") == len(seen):
		return once + requests
	default:
		return once + requests + ", answered " + all
	}
}
