package e2e

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"
)

var (
	strictLine  = regexp.MustCompile(`^[A-Za-z0-9!#$%&'*+.^_\x60|~-]+ (/[\x21-\x7e]*|\*|https?://[A-Za-z0-9._:-]+(/[\x21-\x7e]*)?) HTTP/1\.[01]$`)
	strictField = regexp.MustCompile(`^([A-Za-z0-9!#$%&'*+.^_\x60|~-]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)$`)
	strictHost  = regexp.MustCompile(`^([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]*)?$`)
	strictChunk = regexp.MustCompile(`^([0-9A-Fa-f]{1,8})$`)
)

// sight takes the first request off raw, as the strictest of parsers reads it,
// and notes what any other might read otherwise. It knows nothing of how a
// proxy parses.
func sight(raw []byte) (s sighting, rest []byte, whole bool) {
	head, rest, whole := bytes.Cut(raw, []byte("\r\n\r\n"))
	if !whole {
		return s, raw, false
	}
	lines := strings.Split(string(head), "\r\n")
	s.line, s.head = lines[0], string(head)
	flaw := func(text string) {
		if s.flaw == "" {
			s.flaw = text
		}
	}
	if !strictLine.MatchString(s.line) {
		flaw("request line " + strconv.Quote(s.line))
	}
	hosts, length, chunked := 0, -1, false
	for _, line := range lines[1:] {
		f := strictField.FindStringSubmatch(line)
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
	if hosts == 0 && !strings.HasSuffix(s.line, "HTTP/1.0") {
		flaw("no host")
	}
	if chunked && length >= 0 {
		flaw("two framings")
	}
	if s.flaw != "" {
		return s, nil, true
	}
	if !chunked {
		if len(rest) < max(length, 0) {
			return s, raw, false
		}
		s.body = string(rest[:max(length, 0)])
		return s, rest[max(length, 0):], true
	}
	for {
		line, after, found := bytes.Cut(rest, []byte("\r\n"))
		if !found {
			return s, raw, false
		}
		size := strictChunk.Find(line)
		if size == nil {
			s.flaw = "chunk " + strconv.Quote(string(line))
			return s, nil, true
		}
		n, _ := strconv.ParseInt(string(size), 16, 32)
		if n == 0 {
			trailers, after, found := bytes.Cut(append([]byte("\r\n"), after...), []byte("\r\n\r\n"))
			if !found {
				return s, raw, false
			}
			for _, t := range strings.Split(string(trailers), "\r\n")[1:] {
				if strictField.FindStringSubmatch(t) == nil {
					s.flaw = "trailer " + strconv.Quote(t)
				}
			}
			s.head += "\r\n" + string(trailers)
			return s, after, true
		}
		if len(after) < int(n)+2 {
			return s, raw, false
		}
		if string(after[n:n+2]) != "\r\n" {
			s.flaw = "end of chunk"
			return s, nil, true
		}
		s.body += string(after[:n])
		rest = after[n+2:]
	}
}
