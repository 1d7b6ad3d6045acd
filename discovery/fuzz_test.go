package discovery

import (
	"bufio"
	"bytes"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/holdfast-lb/holdfast/config"
)

// answering is a server that says the same to everybody.
type answering []byte

func (a answering) RoundTrip(r *http.Request) (*http.Response, error) {
	return http.ReadResponse(bufio.NewReader(bytes.NewReader(a)), r)
}

// FuzzHTTPAnswer: whatever a server says, it is a list of backends that can be
// used, or a trouble that fits into one line of a log; and what was good once
// stays as it was.
func FuzzHTTPAnswer(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\nETag: \"1\"\r\n\r\n[{\"url\": \"http://10.0.0.1\", \"weight\": 2}]",
		"HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n[", "HTTP/1.1 304 Not Modified\r\n\r\n", "HTTP/1.1 503 \x1b[31mbad\r\n\r\n", "HTTP/1.1 302 Found\r\nLocation: http://b/\r\n\r\n",
		"HTTP/1.1 200 OK\r\n\x1b[2J\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[]\r\nx", "SSH-2.0\r\n", "HTTP/1.1 200 OK\r\nETag: \x00\r\n\r\n[{\"url\": \"http://\\u001b\"}]",
	} {
		f.Add([]byte(s))
	}
	const good = "HTTP/1.1 200 OK\r\nETag: \"good\"\r\n\r\n[{\"url\": \"http://10.0.0.9\"}]"
	f.Fuzz(func(t *testing.T, said []byte) {
		s := newHTTPSource(config.HTTPDiscovery{URL: "http://game.test/", Interval: time.Second, Timeout: 5 * time.Second}, 8)
		s.client.RetryMax = 0
		s.client.HTTPClient.Transport = answering(good)
		if a, err := s.fetch(t.Context()); err != nil || len(a.backends) != 1 {
			t.Fatalf("the good answer: %v, %v", a, err)
		}
		s.client.HTTPClient.Transport = answering(said)
		a, err := s.fetch(t.Context())
		if err != nil {
			trouble := troubleOf(err)
			if trouble.kind == "" || trouble.detail == "" || len(trouble.detail) > 2*maxDetail || strings.ContainsFunc(trouble.detail, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("%q: trouble %q of kind %q", said, trouble.detail, trouble.kind)
			}
			if len(s.list) != 1 || s.tag != `"good"` {
				t.Errorf("%q: the good list is %v, tag %q", said, s.list, s.tag)
			}
			return
		}
		if len(a.backends) > 8 || a.good != time.Second {
			t.Errorf("%q: %v", said, a)
		}
		for _, b := range a.backends {
			if _, address := b.Target(); address == "" || !config.IsName(b.Name) {
				t.Errorf("%q: %+v", said, b)
			}
		}
		// The tag that was kept can be sent back.
		s.client.HTTPClient.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
			var sent bytes.Buffer
			if err := r.Write(&sent); err != nil {
				t.Errorf("%q: the next question: %v", said, err)
			}
			if strings.Count(sent.String(), "\r\n\r\n") != 1 {
				t.Errorf("%q: the next question is %q", said, sent.String())
			}
			return answering("HTTP/1.1 200 OK\r\n\r\n[]").RoundTrip(r)
		})
		if _, err := s.fetch(t.Context()); err != nil {
			t.Errorf("%q: the next answer: %v", said, err)
		}
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
