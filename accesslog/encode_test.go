package accesslog

import (
	"bytes"
	"encoding/json"
	"io"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// socket is a record of a socket that has ended.
func socket() *Record {
	r := request()
	r.Socket, r.Status = true, 101
	r.FramesIn, r.FramesOut, r.CloseCode, r.ClosedBy, r.CloseReason = 3, 4, 1000, "client", "close frame"
	return r
}

func TestAppendJSON(t *testing.T) {
	f := func(r *Record, want string) {
		t.Helper()
		if got := string(appendJSON(nil, r)); got != want+"\n" {
			t.Errorf("got  %swant %s", got, want)
		}
	}
	const head = `{"time":"2026-02-03T03:05:06.000007Z","kind":"http","listener":"web","route":"rest","client":"192.0.2.7","method":"GET",` +
		`"host":"game.example.com","uri":"/a?b=c","proto":"HTTP/1.1","status":200,"duration":0.012346,"bytes_in":10,"bytes_out":2048`
	const tail = `,"backend":"web-1","request_id":"0123456789abcdef","user_agent":"Mozilla/5.0 (X11; Linux x86_64)","referer":"https://game.example.com/"`
	f(request(), head+tail+`}`)
	r := request()
	r.Error = "timeout"
	f(r, head+tail+`,"error":"timeout"}`)
	r.Error, r.User = "", "ada"
	f(r, strings.Replace(head, `,"method"`, `,"user":"ada","method"`, 1)+tail+`}`)
	f(socket(), strings.NewReplacer(`"http"`, `"websocket"`, `"status":200`, `"status":101`).Replace(head)+
		`,"frames_in":3,"frames_out":4,"close_code":1000,"closed_by":"client","close_reason":"close frame"`+tail+`}`)
	r = &Record{URI: "\"\\\n\x00\x7f\xffä€😀\u2028", Client: netip.MustParseAddr(`fe80::1%"x`)}
	f(r, `{"time":"0001-01-01T00:00:00.000000Z","kind":"http","listener":"","route":"","client":"fe80::1","method":"","host":"",`+
		`"uri":"\u0022\u005c\u000a\u0000\u007f\ufffdä€😀`+"\u2028"+`","proto":"","status":0,"duration":0.000000,"bytes_in":0,"bytes_out":0,`+
		`"backend":"","request_id":"","user_agent":"","referer":""}`)
}

func TestAppendCombined(t *testing.T) {
	f := func(r *Record, want string) {
		t.Helper()
		if got := string(appendCombined(nil, r)); got != want+"\n" {
			t.Errorf("got  %swant %s", got, want)
		}
	}
	f(request(), `192.0.2.7 - - [03/Feb/2026:04:05:06 +0100] "GET /a?b=c HTTP/1.1" 200 2048 "https://game.example.com/" "Mozilla/5.0 (X11; Linux x86_64)"`)
	named := request()
	named.User = "ada b\"c"
	f(named, `192.0.2.7 - ada\x20b\"c [03/Feb/2026:04:05:06 +0100] "GET /a?b=c HTTP/1.1" 200 2048 "https://game.example.com/" "Mozilla/5.0 (X11; Linux x86_64)"`)
	f(socket(), `192.0.2.7 - - [03/Feb/2026:04:05:06 +0100] "GET /a?b=c HTTP/1.1" 101 2048 "https://game.example.com/" "Mozilla/5.0 (X11; Linux x86_64)"`)
	r := request()
	r.Client, r.URI, r.Referer, r.UserAgent, r.BytesOut = netip.Addr{}, "/\"\\\r\n\xff", "", "a\tb", 0
	f(r, `- - - [03/Feb/2026:04:05:06 +0100] "GET /\"\\\x0d\x0a\xff HTTP/1.1" 200 - "-" "a\x09b"`)
}

// combined is what parsers of the combined format expect.
var combined = regexp.MustCompile(`^[0-9a-f.:]+ - - \[[^]]+\] "(?:[^"\\]|\\.)*" -?\d+ (?:\d+|-) "(?:[^"\\]|\\.)*" "(?:[^"\\]|\\.)*"\n$`)

// Whatever strangers send, a line of JSON is valid and says what they sent,
// and a line of combined is one line of its seven fields.
func FuzzEncode(f *testing.F) {
	f.Add("GET", "example.com", "/a?b", "curl/8", "https://a/", "eth0", int64(1), 200, uint64(2), false)
	f.Add("\x00", "\xff\xfe", "/\"\\\n\r\x1b[31m", "\u2028", "\xed\xa0\x80", `"},{`, int64(-1), -5, uint64(1)<<63, true)
	f.Fuzz(func(t *testing.T, method, host, uri, agent, referer, zone string, took int64, status int, n uint64, isSocket bool) {
		r := &Record{
			Socket: isSocket, Time: time.Unix(took%(1<<37), 0), Duration: time.Duration(took),
			Listener: "web", Route: zone, Backend: host, RequestID: agent,
			Client: netip.MustParseAddr("fe80::1").WithZone(zone),
			Method: method, Host: host, URI: uri, Proto: method, Referer: referer, UserAgent: agent,
			Status: status, BytesIn: n, BytesOut: n, Error: zone,
			FramesIn: n, FramesOut: n, CloseCode: uint16(n), ClosedBy: method, CloseReason: referer,
		}
		line := appendJSON(nil, r)
		if bytes.Count(line, []byte("\n")) != 1 || line[len(line)-1] != '\n' || !utf8.Valid(line) {
			t.Fatalf("not one line of UTF-8: %q", line)
		}
		var got struct {
			Method, Host, URI, Referer string
			UserAgent                  string `json:"user_agent"`
			BytesIn                    uint64 `json:"bytes_in"`
			Status                     int
		}
		if err := json.Unmarshal(line, &got); err != nil {
			t.Fatalf("%v: %q", err, line)
		}
		for _, pair := range [][2]string{{got.Method, method}, {got.Host, host}, {got.URI, uri}, {got.Referer, referer}, {got.UserAgent, agent}} {
			if want := string([]rune(pair[1])); pair[0] != want { // a rune for each bad byte, as documented
				t.Errorf("read back %q, want %q", pair[0], want)
			}
		}
		if got.BytesIn != n || got.Status != status {
			t.Errorf("read back %d and %d, want %d and %d", got.BytesIn, got.Status, n, status)
		}
		if line := appendCombined(nil, r); !combined.Match(line) {
			t.Errorf("not a line of combined: %q", line)
		}
	})
}

func TestLogAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("pools lose entries on purpose under the race detector")
	}
	for _, format := range []string{"json", "combined"} {
		l, err := New(io.Discard, format)
		if err != nil {
			t.Fatal(err)
		}
		r := request()
		for range 50_000 { // lets both batches reach their size
			l.Log(r)
		}
		if n := testing.AllocsPerRun(1000, func() { l.Log(r) }); n != 0 {
			t.Errorf("%s: %v allocations a line, want 0", format, n)
		}
		l.Close()
	}
}

func BenchmarkLog(b *testing.B) {
	for _, format := range []string{"json", "combined"} {
		b.Run(format, func(b *testing.B) {
			l, err := New(io.Discard, format)
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				r := request()
				for pb.Next() {
					l.Log(r)
				}
			})
			b.ReportMetric(float64(l.Dropped())/float64(b.N), "dropped/op")
		})
	}
}
