package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// accessLine is a line of the access log.
type accessLine struct {
	Time        time.Time
	Kind        string
	Listener    string
	Route       string
	Client      string
	Method      string
	Host        string
	URI         string
	Proto       string
	Status      int
	Duration    float64
	BytesIn     int    `json:"bytes_in"`
	BytesOut    int    `json:"bytes_out"`
	FramesIn    int    `json:"frames_in"`
	FramesOut   int    `json:"frames_out"`
	CloseCode   int    `json:"close_code"`
	ClosedBy    string `json:"closed_by"`
	CloseReason string `json:"close_reason"`
	Backend     string
	RequestID   string `json:"request_id"`
	UserAgent   string `json:"user_agent"`
	Referer     string
	Error       string
	Code        string
}

// accessLines waits until the access log has n lines and returns them.
func (p *process) accessLines(name string, n int) []accessLine {
	p.t.Helper()
	testkit.Eventually(p.t, patience, func() bool { return strings.Count(p.read(name), "\n") >= n }, fmt.Sprintf("%s has %d lines", name, n))
	text := p.read(name)
	var all []accessLine
	for line := range strings.Lines(text) {
		var l accessLine
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			p.t.Fatalf("%s: %v in %s", name, err, line)
		}
		all = append(all, l)
	}
	if len(all) != n {
		p.t.Fatalf("%s has %d lines, want %d:\n%s", name, len(all), n, text)
	}
	return all
}

// Every request has one line, with what a person looks for.
func TestAccessLogOfRequests(t *testing.T) {
	t.Parallel()
	addr := startServer(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		_, _ = io.Copy(w, r.Body)
	})
	p := start(t, setup{rest: fmt.Sprintf(`
routes: [{name: all, hosts: [game.example.com], path: /, pool: web}, {name: dead, hosts: [game.example.com], path: /dead, pool: dead}]
pools:
%s%s`, onePool("web", []string{addr}), onePool("dead", []string{freeAddr(t)}))})
	began := time.Now().Add(-time.Second)
	exchange(t, p.web, get("/one?a=b", "User-Agent: agent \"quoted\"", "Referer: https://game.example.com/"))
	one := p.accessLines("access.log", 1)[0]
	if one.Kind != "http" || one.Listener != "web" || one.Route != "all" || one.Client != "127.0.0.1" || one.Method != "GET" ||
		one.Host != "game.example.com" || one.URI != "/one?a=b" || one.Proto != "HTTP/1.1" || one.Status != 200 || one.Backend != "b1" ||
		one.UserAgent != `agent "quoted"` || one.Referer != "https://game.example.com/" || one.Error != "" || len(one.RequestID) < 16 {
		t.Errorf("the line of a GET is %+v", one)
	}
	if one.Time.Before(began) || one.Time.After(time.Now()) || one.Duration <= 0 || one.Duration > 10 {
		t.Errorf("the line of a GET says %v, %v s", one.Time, one.Duration)
	}

	// f makes the n-th request.
	f := func(n int, raw string, check func(l accessLine) bool) {
		t.Helper()
		exchange(t, p.web, raw)
		if l := p.accessLines("access.log", n)[n-1]; !check(l) {
			t.Errorf("the line of %.60q is %+v", raw, l)
		}
	}
	f(2, "POST /two HTTP/1.1\r\nHost: game.example.com\r\nContent-Length: 5\r\n\r\nhello", func(l accessLine) bool {
		return l.Method == "POST" && l.Status == 200 && l.BytesIn == 5 && l.BytesOut == 5
	})
	large := strings.Repeat("x", 300<<10)
	f(3, fmt.Sprintf("POST /three HTTP/1.1\r\nHost: game.example.com\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(large), large), func(l accessLine) bool {
		return l.BytesIn == len(large) && l.BytesOut == len(large)
	})
	f(4, head("GET / HTTP/1.1", "Host: unknown.example"), func(l accessLine) bool {
		return l.Status == 404 && l.Route == "" && l.Backend == "" && l.Error == "no_route" && l.Code == "HF-1013"
	})
	f(5, get("/dead"), func(l accessLine) bool {
		return l.Status == 502 && l.Route == "dead" && l.Backend == "b1" && l.Error == "connect_failed" && l.Code == "HF-2003"
	})
	f(6, "nonsense\r\n\r\n", func(l accessLine) bool {
		return l.Status == 400 && l.Error == "bad_request" && l.Code == "HF-1001" && l.Client == "127.0.0.1"
	})
	f(7, testkit.HandshakeRequest("game.example.com", "/ws"), func(l accessLine) bool {
		return l.Kind == "http" && l.Status == 200 && l.URI == "/ws"
	})
	f(8, strings.Replace(testkit.HandshakeRequest("game.example.com", "/ws"), ": 13", ": 8", 1), func(l accessLine) bool {
		return l.Status == 426 && l.Error == "bad_websocket_version"
	})
	ids := map[string]bool{}
	for _, l := range p.accessLines("access.log", 8) {
		ids[l.RequestID] = true // none for what was no request
	}
	if len(ids) != 8 || !ids[""] {
		t.Errorf("7 requests and what was none have %d ids", len(ids))
	}
}

// Every socket has one line when it ends, and none before.
func TestAccessLogOfSockets(t *testing.T) {
	t.Parallel()
	p, h := startLinked(t, "timeouts: {idle: 3s}")
	n := 0
	f := func(end func(client, backend *testkit.TCP), code int, by, reason string) {
		t.Helper()
		client, backend := link(t, p, h)
		client.SendFrames(testkit.Text("hello").Mask(), testkit.Control(testkit.OpPing, "").Mask())
		backend.ReadFrame(patience)
		backend.ReadFrame(patience)
		backend.SendFrames(testkit.Binary(make([]byte, 1000)))
		client.ReadFrame(patience)
		end(client, backend)
		n++
		l := p.accessLines("access.log", n)[n-1]
		if l.Kind != "websocket" || l.Status != 101 || l.Route != "all" || l.Backend != "b1" || l.URI != "/" || len(l.RequestID) < 16 || l.Duration <= 0 {
			t.Errorf("the line of a socket is %+v", l)
		}
		if l.BytesIn < 6+5+6 || l.BytesOut < 4+1000 || l.FramesIn < 2 || l.FramesOut < 1 {
			t.Errorf("the line of a socket counts %d bytes in %d frames in, %d bytes in %d frames out", l.BytesIn, l.FramesIn, l.BytesOut, l.FramesOut)
		}
		if l.CloseCode != code || l.ClosedBy != by || reason != "" && l.CloseReason != reason {
			t.Errorf("a socket ended with %d by %s (%s), want %d by %s (%s)", l.CloseCode, l.ClosedBy, l.CloseReason, code, by, reason)
		}
	}
	bye := func(from, to *testkit.TCP, code uint16) {
		from.SendFrames(testkit.Close(code, "x").Mask())
		to.ReadFrame(patience)
		to.SendFrames(testkit.Close(code, ""))
		from.ReadFrame(patience)
		to.Close()
		from.Close()
	}
	f(func(client, backend *testkit.TCP) { bye(client, backend, 1000) }, 1000, "client", "close frame")
	f(func(client, backend *testkit.TCP) { bye(backend, client, 4242) }, 4242, "backend", "close frame")
	reset := func(from, to *testkit.TCP) {
		from.Reset()
		to.ExpectClosed(patience) // or its own end might be seen first
		to.Close()
	}
	f(func(client, backend *testkit.TCP) { reset(client, backend) }, 1006, "client", "reset")
	f(func(client, backend *testkit.TCP) { reset(backend, client) }, 1006, "backend", "reset")
	f(func(client, backend *testkit.TCP) {
		_ = client.CloseWrite()
		backend.ExpectEOF(patience)
		backend.Close()
		client.Close()
	}, 1006, "client", "end of stream")
	f(func(client, backend *testkit.TCP) {
		client.ReadFrame(patience)
		client.SendFrames(testkit.Close(1001, "").Mask())
		backend.ReadFrame(patience)
		backend.Close()
		client.Close()
	}, 1001, "holdfast", "idle timeout")
	if p.metric("holdfast_access_log_dropped_total") != 0 {
		t.Error("lines were dropped")
	}
}

// At the end of the process nothing that was logged is lost.
func TestAccessLogIsFlushed(t *testing.T) {
	t.Parallel()
	b := testkit.StartBackend(t, nil)
	p := start(t, setup{rest: siteOf([]string{b.Addr})})
	c := testkit.DialTCP(t, p.web)
	const requests = 200
	for range requests {
		c.Send(get("/"))
		resp := c.ReadResponse(patience)
		_, _ = io.Copy(io.Discard, resp.Body)
	}
	p.signal(stopSignal)
	p.wait(patience)
	p.accessLines("access.log", requests)
}

// SIGUSR1 opens the log files again, as logrotate asks, and no line is lost on
// the way.
func TestLogsAreReopened(t *testing.T) {
	t.Parallel()
	b := testkit.StartBackend(t, nil)
	p := start(t, setup{log: "file: holdfast.log, access: access.log", rest: siteOf([]string{b.Addr})})
	if !strings.Contains(p.read("holdfast.log"), `"serving"`) || p.log() != "" {
		t.Errorf("the log is not in its file but:\n%s", p.log())
	}
	exchange(t, p.web, get("/before"))
	p.accessLines("access.log", 1)
	for _, name := range []string{"access.log", "holdfast.log"} {
		if err := os.Rename(p.path(name), p.path(name+".1")); err != nil {
			t.Fatal(err)
		}
	}
	exchange(t, p.web, get("/between"))
	p.accessLines("access.log.1", 2)
	if exists(p.path("access.log")) {
		t.Error("the file is there before anybody asked for it")
	}
	p.signal(syscall.SIGUSR1)
	testkit.Eventually(t, patience, func() bool { return strings.Contains(p.read("holdfast.log"), "reopened") }, "the new log says so")
	exchange(t, p.web, get("/after"))
	if l := p.accessLines("access.log", 1)[0]; l.URI != "/after" {
		t.Errorf("the new file begins with %+v", l)
	}
	p.accessLines("access.log.1", 2)
}

// A reload may move the logs.
func TestLogsMove(t *testing.T) {
	t.Parallel()
	b := testkit.StartBackend(t, nil)
	p := start(t, setup{rest: siteOf([]string{b.Addr})})
	exchange(t, p.web, get("/json"))
	p.accessLines("access.log", 1)
	p.setup.log = "access: combined.log, access_format: combined, level: warn"
	p.write(siteOf([]string{b.Addr}))
	p.reload()
	exchange(t, p.web, get("/combined?x=1", "User-Agent: a \"b\"", "Referer: https://example.com/"))
	want := regexp.MustCompile(`^127\.0\.0\.1 - - \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "GET /combined\?x=1 HTTP/1\.1" 200 2 "https://example\.com/" "a \\"b\\""\n$`)
	testkit.Eventually(t, patience, func() bool { return want.MatchString(p.read("combined.log")) }, "a line of the combined format")
	p.accessLines("access.log", 1)

	p.setup.log = "access: off"
	p.write(siteOf([]string{b.Addr}))
	p.reload()
	exchange(t, p.web, get("/off"))
	if text := p.read("combined.log"); strings.Count(text, "\n") != 1 {
		t.Errorf("an access log that is off has\n%s", text)
	}
}

// The process's log tells changes of state, once each, and is JSON.
func TestLogTellsChanges(t *testing.T) {
	t.Parallel()
	backends := startArenas(t, 2)
	p := start(t, setup{rest: site(backends, quickHealth)})
	backends[0].Stop(t)
	p.awaitState("web", "b1", "down")
	backends[0].Start(t)
	p.awaitState("web", "b1", "up")
	p.signal(stopSignal)
	p.wait(patience)
	counts := map[string]int{}
	for line := range strings.Lines(p.log()) {
		var l struct{ Msg, Backend, Level string }
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Errorf("%v in %s", err, line)
		}
		counts[strings.TrimSpace(l.Msg+" "+l.Backend)]++
	}
	for _, want := range []string{"serving", "backend down b1", "backend up b1", "stopping", "stopped"} {
		if counts[want] != 1 {
			t.Errorf("%q is logged %d times, want once: %v", want, counts[want], counts)
		}
	}
}

// Listeners and routes write where they are told to, each file is opened again
// on SIGUSR1, and a reload changes them.
func TestOwnAccessLogs(t *testing.T) {
	t.Parallel()
	b := testkit.StartBackend(t, testkit.Echo())
	rest := func(file string) string {
		return fmt.Sprintf(`routes:
- {path: /, pool: web}
- {path: /game, pool: web, access_log: {file: %s, format: combined}}
- {path: /quiet, pool: web, access_log: {file: "off"}}
pools: {web: {backends: [{url: "http://%s"}]}}`, file, b.Addr)
	}
	p := start(t, setup{listener: "access_log: {file: web.log}", rest: rest("game.log")})
	count := func(name string, want int) {
		t.Helper()
		testkit.Eventually(t, patience, func() bool { return strings.Count(p.read(name), "\n") == want }, fmt.Sprintf("%s has %d lines", name, want))
	}
	socket := testkit.DialRaw(t, p.web, "/game/room") // outlives what follows
	for _, path := range []string{"/", "/game", "/quiet", "/other"} {
		exchange(t, p.web, get(path))
	}
	count("web.log", 2)
	count("game.log", 1)
	if line := p.read("game.log"); !regexp.MustCompile(`^127\.0\.0\.1 - - \[[^]]+\] "GET /game HTTP/1\.1" 200 \d+ "-" "-"\n$`).MatchString(line) {
		t.Errorf("the combined line is %q", line)
	}
	for _, name := range []string{"web.log", "game.log"} {
		if err := os.Rename(p.path(name), p.path(name+".1")); err != nil {
			t.Fatal(err)
		}
	}
	p.signal(syscall.SIGUSR1)
	p.logged("log files reopened")
	exchange(t, p.web, get("/"))
	exchange(t, p.web, get("/game"))
	count("web.log", 1)
	count("game.log", 1)

	p.write(rest("arena.log"))
	p.reload()
	exchange(t, p.web, get("/game"))
	socket.SendFrames(testkit.Close(1000, "").Mask())
	count("arena.log", 2) // the request, and the socket from before
	count("game.log", 1)
	p.write(rest("missing/arena.log"))
	p.reload()
	p.logged("missing/arena.log: no such file or directory")
	exchange(t, p.web, get("/game"))
	count("arena.log", 3)
	p.checkReloads(2, 1)
	if p.read("access.log") != "" {
		t.Errorf("log.access has %q", p.read("access.log"))
	}
}

// A full disk and a pipe that nobody reads cost lines, which are counted, and
// nothing else: not the start, not traffic, not the end.
func TestStuckLogs(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("there is no /dev/full, which is this test's full disk")
	}
	t.Parallel()
	b := testkit.StartBackend(t, nil)
	pipe := t.TempDir() + "/pipe"
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, setup{
		log: fmt.Sprintf("file: %s, level: debug, access: /dev/full", pipe),
		rest: fmt.Sprintf(`routes: [{path: /, pool: web}, {path: /pipe, pool: web, access_log: {file: %s}}, {path: /file, pool: web, access_log: {file: file.log}}]
pools: {web: {backends: [{url: "http://%s"}]}}`, pipe, b.Addr),
	})
	c := testkit.DialTCP(t, p.web)
	ask := func(path string, n int) {
		for range n {
			c.Send(get(path))
			resp := c.ReadResponse(patience)
			_, _ = io.Copy(io.Discard, resp.Body)
		}
	}
	const requests = 500
	ask("/", requests)
	ask("/pipe", requests)
	ask("/file", 3)
	p.accessLines("file.log", 3)
	testkit.Eventually(t, patience, func() bool { return p.metric("holdfast_access_log_dropped_total") >= requests }, "what the full disk did not take is counted")
	p.reload()
	p.signal(stopSignal)
	if code := p.wait(patience); code != 0 {
		t.Errorf("exit status %d", code)
	}
}
