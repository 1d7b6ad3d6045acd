package testkit

import (
	"bytes"
	"io"
	"net"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Recorder is a backend that takes down what it reads, judges it strictly, and
// answers each request with "ok". Behind a request with a flaw it closes.
type Recorder struct {
	Addr string

	mu        sync.Mutex
	sightings []Sighting // guarded by mu
}

// Sighting is one request as a backend has seen it.
type Sighting struct {
	Line string // its first
	Head string
	Body string
	Flaw string // why it is none that every parser reads alike
}

// StartRecorder starts one on a free port. The test's end stops it.
func StartRecorder(t testing.TB) *Recorder {
	t.Helper()
	r := &Recorder{}
	r.Addr = ServeTCP(t, r.serve)
	return r
}

// Reset forgets what was seen.
func (r *Recorder) Reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sightings = nil
}

// Seen returns what was seen since the last Reset.
func (r *Recorder) Seen() []Sighting {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Sighting(nil), r.sightings...)
}

func (r *Recorder) serve(c *net.TCPConn) {
	var raw []byte
	buf := make([]byte, 32<<10)
	for {
		n, err := c.Read(buf)
		raw = append(raw, buf[:n]...)
		for {
			s, rest, whole := Sight(raw)
			if !whole {
				break
			}
			raw = rest
			r.mu.Lock()
			r.sightings = append(r.sightings, s)
			r.mu.Unlock()
			answer := "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
			if strings.HasPrefix(s.Line, "HEAD ") {
				answer = strings.TrimSuffix(answer, "ok")
			}
			if _, err := io.WriteString(c, answer); err != nil || s.Flaw != "" {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

var (
	strictLine = regexp.MustCompile(`^[A-Za-z0-9!#$%&'*+.^_\x60|~-]+ (/[\x21-\x7e]*|\*|https?://[A-Za-z0-9._:-]+(/[\x21-\x7e]*)?) HTTP/1\.[01]$`)
	// StrictField is a line of a header as no parser reads it otherwise.
	StrictField = regexp.MustCompile(`^([A-Za-z0-9!#$%&'*+.^_\x60|~-]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)$`)
	strictHost  = regexp.MustCompile(`^([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]*)?$`)
	strictChunk = regexp.MustCompile(`^([0-9A-Fa-f]{1,8})$`)
)

// Sight takes the first request off raw, as the strictest of parsers reads it,
// and notes what any other might read otherwise. It knows nothing of how a
// proxy parses.
func Sight(raw []byte) (s Sighting, rest []byte, whole bool) {
	head, rest, whole := bytes.Cut(raw, []byte("\r\n\r\n"))
	if !whole {
		return s, raw, false
	}
	lines := strings.Split(string(head), "\r\n")
	s.Line, s.Head = lines[0], string(head)
	flaw := func(text string) {
		if s.Flaw == "" {
			s.Flaw = text
		}
	}
	if !strictLine.MatchString(s.Line) {
		flaw("request line " + strconv.Quote(s.Line))
	}
	hosts, length, chunked := 0, -1, false
	for _, line := range lines[1:] {
		f := StrictField.FindStringSubmatch(line)
		if f == nil {
			flaw("field " + strconv.Quote(line))
			continue
		}
		name, value := strings.ToLower(strings.ReplaceAll(f[1], "_", "-")), strings.TrimRight(f[2], " \t")
		switch name {
		case "host":
			if hosts++; hosts > 1 || !strictHost.MatchString(value) {
				flaw("host " + strconv.Quote(value))
			}
		case "content-length":
			n, err := strconv.Atoi(value)
			if err != nil || strconv.Itoa(n) != value || length >= 0 || strings.Contains(f[1], "_") {
				flaw(strconv.Quote(line))
			}
			length = n
		case "transfer-encoding":
			if !strings.EqualFold(value, "chunked") || chunked || strings.Contains(f[1], "_") {
				flaw(strconv.Quote(line))
			}
			chunked = true
		}
	}
	if hosts == 0 && !strings.HasSuffix(s.Line, "HTTP/1.0") {
		flaw("no host")
	}
	if chunked && length >= 0 {
		flaw("two framings")
	}
	if s.Flaw != "" {
		return s, nil, true
	}
	if !chunked {
		if len(rest) < max(length, 0) {
			return s, raw, false
		}
		s.Body = string(rest[:max(length, 0)])
		return s, rest[max(length, 0):], true
	}
	for {
		line, after, found := bytes.Cut(rest, []byte("\r\n"))
		if !found {
			return s, raw, false
		}
		size := strictChunk.Find(line)
		if size == nil {
			s.Flaw = "chunk " + strconv.Quote(string(line))
			return s, nil, true
		}
		n, _ := strconv.ParseInt(string(size), 16, 32)
		if n == 0 {
			trailers, after, found := bytes.Cut(append([]byte("\r\n"), after...), []byte("\r\n\r\n"))
			if !found {
				return s, raw, false
			}
			for _, t := range strings.Split(string(trailers), "\r\n")[1:] {
				if StrictField.FindStringSubmatch(t) == nil {
					s.Flaw = "trailer " + strconv.Quote(t)
				}
			}
			s.Head += "\r\n" + string(trailers)
			return s, after, true
		}
		if len(after) < int(n)+2 {
			return s, raw, false
		}
		if string(after[n:n+2]) != "\r\n" {
			s.Flaw = "end of chunk"
			return s, nil, true
		}
		s.Body += string(after[:n])
		rest = after[n+2:]
	}
}
