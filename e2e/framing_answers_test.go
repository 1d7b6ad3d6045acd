package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// answerGroup is framingGroup for what backends do.
type answerGroup struct {
	title string
	why   string
	cases []answerCase
}

// answerCase is how a backend answers one request.
type answerCase struct {
	name    string
	request string
	pieces  []string // sent with a pause between them
	end     ending
	want    string // see answerOutcome
}

// ending is what a backend does with its connection behind the answer.
type ending uint8

const (
	stays  ending = iota // open, to be used again
	ends                 // closed
	resets               // closed with a reset
)

const (
	whole = "200, whole"
	short = "200, cut short"
	is502 = "502, whole"
	// pause stands between the pieces of an answer: enough for the proxy to
	// have passed on the first and given the connection back.
	pause = 15 * time.Millisecond
)

// TestAnswers has a hostile backend answer in every way of answerCases, and
// looks at what the client gets, and whether the next client gets anything but
// its own answer.
func TestAnswers(t *testing.T) {
	t.Parallel()
	// The cases are dealt out to several pairs of a proxy and a backend, since
	// most wait for a timeout that a busy machine must not meet by itself.
	const hands = 6
	count := 0
	var dealt [hands][]answerGroup
	for _, g := range answerCases() {
		for _, c := range g.cases {
			dealt[count%hands] = append(dealt[count%hands], answerGroup{title: g.title, cases: []answerCase{c}})
			count++
		}
	}
	t.Logf("%d cases", count)
	for i, groups := range dealt {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			h := startHostile(t)
			p := start(t, setup{rest: "routes: [{path: /, pool: game, timeouts: {response: 2s, body: 2s}}]\npools:\n  game:\n    backends: [{url: \"http://" + h.addr + "\"}]"})
			for _, g := range groups {
				c := g.cases[0]
				if got := h.ask(t, p.web, c); got != c.want {
					t.Errorf("%s: %s: %s, want %s\n%q", g.title, c.name, got, c.want, c.pieces)
				}
			}
		})
	}
}

// hostile is a backend that answers /next properly, and everything else as the
// present case says.
type hostile struct {
	addr string
	now  atomic.Pointer[answerCase]
	said chan struct{} // a word for each case that is said to its end
}

func startHostile(t testing.TB) *hostile {
	h := &hostile{said: make(chan struct{}, 1)}
	h.addr = testkit.ServeTCP(t, h.serve)
	return h
}

func (h *hostile) serve(c *net.TCPConn) {
	var raw []byte
	buf := make([]byte, 4096)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		raw = append(raw, buf[:n]...)
		for {
			s, rest, whole := testkit.Sight(raw)
			if !whole {
				break
			}
			raw = rest
			if strings.Contains(s.Line, "/next") {
				if _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext"); err != nil {
					return
				}
				continue
			}
			goesOn := h.now.Load().play(c)
			select {
			case h.said <- struct{}{}:
			default:
			}
			if !goesOn {
				return
			}
		}
	}
}

// play says the answer, and tells whether the connection goes on.
func (now *answerCase) play(c *net.TCPConn) bool {
	for i, p := range now.pieces {
		if i > 0 {
			time.Sleep(pause)
		}
		if _, err := io.WriteString(c, p); err != nil {
			return false
		}
	}
	if now.end == resets {
		time.Sleep(pause) // what was sent arrives
		_ = c.SetLinger(0)
	}
	return now.end == stays
}

// ask has the case answered and says what came of it.
func (h *hostile) ask(t *testing.T, addr string, c answerCase) string {
	t.Helper()
	h.now.Store(&c)
	select { // said again, to whoever asked again
	case <-h.said:
	default:
	}
	request := c.request
	if request == "" {
		request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	}
	got := converse(t, addr, request, firstByte+time.Duration(len(c.pieces))*pause+5*time.Second)
	outcome := answerOutcome(got, strings.HasPrefix(request, "HEAD"))
	select { // what comes later than the next request is its answer to anybody
	case <-h.said:
	case <-time.After(patience):
		t.Errorf("%s: the backend has not said all", c.name)
	}
	// Two at a time, as a connection in doubt may be the second to be used.
	for range 2 {
		if next := answerBody(converse(t, addr, "GET /next HTTP/1.1\r\nHost: a\r\n\r\n", patience)); next != "next" {
			return fmt.Sprintf("%s; THE NEXT CLIENT GETS %.60q", outcome, next)
		}
	}
	return outcome
}

// converse sends a request on a connection of its own and returns what comes
// until the end, or until nothing more comes for a while. The first byte may
// take as long as wait.
func converse(t *testing.T, addr, request string, wait time.Duration) string {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		t.Error(err)
		return ""
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_, _ = io.WriteString(c, request)
	}()
	defer func() {
		c.Close()
		<-sent
	}()
	var got bytes.Buffer
	buf := make([]byte, 32<<10)
	for {
		_ = c.SetReadDeadline(time.Now().Add(wait))
		n, err := c.Read(buf)
		got.Write(buf[:n])
		if err != nil {
			if !strings.Contains(err.Error(), "timeout") {
				got.WriteString(endMark)
			}
			return got.String()
		}
		wait = quiet
		if !answered(got.String()) {
			wait = 5 * time.Second // it will break off, or go on
		}
	}
}

// endMark stands for the end of the connection in what converse returns.
const endMark = "\x00end"

func answerBody(got string) string {
	_, body, _ := strings.Cut(strings.TrimSuffix(got, endMark), "\r\n\r\n")
	return body
}

// answered tells whether got holds a whole answer.
func answered(got string) bool {
	_, rest, whole := takeAnswer(got, false)
	return whole && rest != got
}

// answerOutcome says what a client got: the status, and whether the answer is
// whole by its own framing or the client can tell that it is not.
func answerOutcome(got string, toHEAD bool) string {
	if got == "" || got == endMark {
		return "closed without a word"
	}
	status, rest, isWhole := takeAnswer(got, toHEAD)
	switch {
	case strings.HasPrefix(status, "MALFORMED"):
		return status
	case !isWhole && strings.HasSuffix(got, endMark):
		return status + ", cut short"
	case !isWhole:
		return status + ", hangs"
	case rest != "" && rest != endMark:
		return fmt.Sprintf("%s, AND %.40q", status, rest)
	}
	return status + ", whole"
}

// takeAnswer takes the first final answer off got by the strictest reading.
func takeAnswer(got string, toHEAD bool) (status, rest string, whole bool) {
	head, body, found := strings.Cut(got, "\r\n\r\n")
	if !found {
		return "no header", got, false
	}
	lines := strings.Split(head, "\r\n")
	if len(lines[0]) < 12 || !strings.HasPrefix(lines[0], "HTTP/1.1 ") && !strings.HasPrefix(lines[0], "HTTP/1.0 ") || strings.ContainsAny(lines[0], "\x00\r\n\x0b\x7f") {
		return fmt.Sprintf("MALFORMED: %.60q", lines[0]), got, true
	}
	status = lines[0][9:12]
	length, chunked := -1, false
	for _, line := range lines[1:] {
		f := testkit.StrictField.FindStringSubmatch(line)
		if f == nil {
			return fmt.Sprintf("MALFORMED: %.60q", line), got, true
		}
		switch strings.ToLower(f[1]) {
		case "content-length":
			if n, err := fmt.Sscanf(f[2], "%d", &length); n != 1 || err != nil || chunked {
				return fmt.Sprintf("MALFORMED: %.60q", line), got, true
			}
		case "transfer-encoding":
			if chunked = f[2] == "chunked"; !chunked || length >= 0 {
				return fmt.Sprintf("MALFORMED: %.60q", line), got, true
			}
		}
	}
	switch {
	case status[0] == '1' && status != "101":
		return takeAnswer(body, toHEAD)
	case toHEAD || status == "204" || status == "304" || status == "101":
		return status, body, true
	case chunked:
		rest, whole = takeChunks(body)
		return status, rest, whole
	case length >= 0:
		if len(strings.TrimSuffix(body, endMark)) < length {
			return status, body, false
		}
		return status, body[length:], true
	}
	return status, "", strings.HasSuffix(body, endMark)
}

// takeChunks takes a chunked body off what came.
func takeChunks(body string) (rest string, whole bool) {
	// Sight reads chunks already: dress the body up as a request's.
	s, left, found := testkit.Sight([]byte("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.TrimSuffix(body, endMark)))
	if !found || s.Flaw != "" {
		return body, false
	}
	if strings.HasSuffix(body, endMark) {
		return string(left) + endMark, true
	}
	return string(left), true
}
