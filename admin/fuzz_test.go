package admin

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// said is a connection on which everything has been said already.
type said struct {
	*bytes.Reader
	answers bytes.Buffer
}

func (s *said) Write(p []byte) (int, error)      { return s.answers.Write(p) }
func (*said) Close() error                       { return nil }
func (*said) LocalAddr() net.Addr                { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }
func (*said) RemoteAddr() net.Addr               { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 2} }
func (*said) SetDeadline(time.Time) error        { return nil }
func (*said) SetReadDeadline(t time.Time) error  { return nil }
func (*said) SetWriteDeadline(t time.Time) error { return nil }

// FuzzCaller: whatever comes to the admin address, who does not show the token
// sees and does nothing, and every answer is whole, and one of the API's.
func FuzzCaller(f *testing.F) {
	const shown = "Authorization: Bearer s3cret\r\n"
	for _, line := range []string{
		"GET /api/v1/pools", "GET /api/v1/pools/arena/backends/a%2Fb", "POST /api/v1/pools/arena/drain?deadline=5s", "POST /api/v1/pools/arena/backends/arena-1/drain?deadline=-1",
		"POST /api/v1/pools/%zz/undrain", "GET /api/v1/sockets?limit=5&cursor=x&address=10.0.0.0/8&pool=a&key=k&min_idle=5s", "DELETE /api/v1/sockets/1-a?code=4000&reason=bye", "POST /api/v1/reload",
		"POST /api/v1/plan?name=a.yaml", "GET /api/v1/events", "GET /api/v1/history?after=5", "GET /metrics", "GET /readyz", "GET /ui/../page.go", "HEAD /", "GET //api/v1/config", "PUT /healthz",
	} {
		for _, token := range []string{"", shown} {
			f.Add([]byte(line + " HTTP/1.1\r\nHost: localhost\r\n" + token + "Content-Length: 2\r\n\r\n{}"))
		}
	}
	f.Add([]byte("GET /healthz HTTP/1.1\r\nHost: evil.example\r\n\r\nGET /healthz HTTP/1.1\r\nHost: [::1]:8\r\nLast-Event-ID: 7\r\n\r\n"))
	f.Add([]byte("POST /api/v1/reload HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil\r\nSec-Fetch-Site: cross-site\r\n" + shown + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"))

	acts := 0
	s := New(Options{
		Listener: listen(f), Token: "s3cret", Pools: twoPools, Ledger: sockets(20), Run: NewRun(), Events: NewEvents("run", 8), History: NewHistory(8),
		Config:  func() any { return "the arena" },
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "arena 1\n") }),
		Control: Control{
			SetMode: func(Order) error { acts++; return nil },
			Reload:  func() (Outcome, error) { acts++; return Outcome{Status: "applied"}, nil },
			Plan:    func(Proposal) (Plan, []string, error) { acts++; return Plan{}, nil, nil },
		},
	})
	s.opts.Ledger.Close = func(uint64, uint16, string) bool { acts++; return true }
	s.opts.Events.Publish(Event{Kind: "arena"})
	if err := s.Close(f.Context()); err != nil { // so that streams of events end
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		acts = 0
		c := &said{Reader: bytes.NewReader(in)}
		// Of its own, since the other takes no connection any more.
		server := &fasthttp.Server{
			Handler: s.handle, HeaderReceived: s.received, ErrorHandler: badRequest, NoDefaultServerHeader: true,
			ReadBufferSize: maxHeaderBytes, MaxRequestBodySize: maxBodyBytes, DisablePreParseMultipartForm: true, Logger: fasthttpLog{s.opts.Log},
		}
		_ = server.ServeConn(c)
		answers := c.answers.String()
		if !bytes.Contains(in, []byte("s3cret")) && (acts > 0 || strings.Contains(answers, "arena")) {
			t.Errorf("%q: without the token %d acts, and %q", in, acts, answers)
		}
		for r := bufio.NewReader(&c.answers); ; {
			if _, err := r.Peek(1); err != nil {
				break
			}
			resp, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatalf("%q: answered by %q: %v", in, answers, err)
			}
			if resp.StatusCode >= 500 && resp.StatusCode != http.StatusServiceUnavailable && resp.StatusCode != http.StatusNotImplemented {
				t.Errorf("%q: answered by %q", in, answers)
			}
			if _, err := io.Copy(io.Discard, resp.Body); err != nil || bytes.Contains(in, []byte("HEAD")) {
				break // the body of an answer to HEAD is not told by the answer
			}
		}
	})
}
