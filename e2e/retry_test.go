package e2e

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// startTwo starts a process before a handmade backend, which is asked first,
// and a server that answers "second".
func startTwo(t *testing.T, keys string) (p *process, first *handmade, second *testkit.Backend) {
	t.Helper()
	first = startHandmade(t)
	second = testkit.StartBackend(t, nil)
	if keys != "" {
		keys = ", " + keys
	}
	p = start(t, setup{rest: "routes: [{name: all, path: /, pool: web" + keys + "}]\n" +
		pool("web", []string{first.addr, second.Addr}, "balance: first")})
	return p, first, second
}

// What can be done twice, and was not answered in part, is tried elsewhere;
// everything else is not.
func TestRetries(t *testing.T) {
	t.Parallel()
	p, first, second := startTwo(t, "")
	// f has the first backend read a request, say answer and hang up.
	f := func(request, answer string, moves bool) {
		t.Helper()
		before := second.Requests()
		client := testkit.DialTCP(t, p.web)
		client.Send(request)
		backend, _ := first.acceptRequest()
		if answer != "" {
			backend.Send(answer)
		}
		backend.Close()
		resp := client.ReadResponse(patience)
		body := []byte("ok")
		if !strings.HasPrefix(request, "HEAD") {
			body, _ = io.ReadAll(resp.Body)
		}
		switch moved := second.Requests() > before; {
		case moved != moves:
			t.Errorf("%q answered with %q: moves on: %v, want %v", request, answer, moved, moves)
		case moves && (resp.StatusCode != http.StatusOK || string(body) != "ok"):
			t.Errorf("%q answered with %q: status %d, %q", request, answer, resp.StatusCode, body)
		case !moves && resp.StatusCode != http.StatusBadGateway:
			t.Errorf("%q answered with %q: status %d, want 502", request, answer, resp.StatusCode)
		}
		client.Close()
	}
	post := "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
	put := "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
	f(get("/"), "", true)
	f("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", "", true)
	f("DELETE / HTTP/1.1\r\nHost: x\r\n\r\n", "", true)
	f(put, "", true)
	f("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", "", true)
	f(testkit.HandshakeRequest("x", "/"), "", true)
	f(post, "", false)
	f("PATCH / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", "", false)
	f("PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "", false)
	f(get("/"), "HTTP/1.1 200 OK\r\nContent-Le", false)
	f(put, "HTTP/1.1 200", false)
	p.counted(6, "holdfast_retries_total", `route="all"`)
	p.awaitIdle("web")
}

// A backend that cannot be reached has seen nothing, so anything moves on.
func TestRefusedConnectionMovesOn(t *testing.T) {
	t.Parallel()
	second := startServer(t, func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n, err)
	})
	p := start(t, setup{rest: siteOf([]string{freeAddr(t), second}, "balance: first")})
	f := func(request string, n int) {
		t.Helper()
		resp, body := exchange(t, p.web, request)
		if want := fmt.Sprint(n, " <nil>"); resp.StatusCode != http.StatusOK || body != want {
			t.Errorf("%.20q: status %d, %q; want 200, %q", request, resp.StatusCode, body, want)
		}
	}
	f(get("/"), 0)
	f("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", 5)
	f("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 5)
	large := strings.Repeat("x", 4<<20)
	f(fmt.Sprintf("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(large), large), len(large))
	p.awaitIdle("web")
}

// retries bounds the backends that one request visits.
func TestRetriesAreBounded(t *testing.T) {
	t.Parallel()
	b := testkit.StartBackend(t, nil)
	dead := []string{freeAddr(t), freeAddr(t), freeAddr(t)}
	rest := "routes: [{name: few, path: /few, pool: web, retries: 2}, {name: many, path: /many, pool: web, retries: 3}, {name: none, path: /none, pool: live, retries: 0}]\npools:\n" +
		onePool("web", append(dead, b.Addr), "balance: first") + onePool("live", []string{dead[0], b.Addr}, "balance: first")
	p := start(t, setup{rest: rest})
	f := func(path string, status int) {
		t.Helper()
		for _, request := range []string{get(path), testkit.HandshakeRequest("x", path)} {
			want := status
			if resp, _ := exchange(t, p.web, request); resp.StatusCode != want {
				t.Errorf("%.20q: status %d, want %d", request, resp.StatusCode, want)
			}
		}
	}
	f("/few", http.StatusBadGateway)
	f("/many", http.StatusOK) // the backend answers handshakes like any request
	f("/none", http.StatusBadGateway)
}

// Each failure has its status and a line that names its class and the request,
// and nothing of what is behind Holdfast.
func TestErrorAnswers(t *testing.T) {
	t.Parallel()
	h := startHandmade(t)
	down := freeAddr(t)
	p := start(t, setup{listener: "trusted_proxies: [127.0.0.0/8]", rest: fmt.Sprintf(`
routes:
  - {name: all, path: /, pool: web, retries: 0}
  - {name: late, path: /late, pool: web, retries: 0, timeouts: {response: 1s}}
  - {name: refused, path: /refused, pool: refused}
  - {name: down, path: /down, pool: down}
  - {name: full, path: /full, pool: full}
  - {name: host, hosts: [other.example.com], path: /, pool: web}
pools:
  full:
    backends: [{name: b1, url: "http://%s", max_connections: 1}]
`, h.addr) + onePool("web", []string{h.addr}) + onePool("refused", []string{down}) +
		onePool("down", []string{down}, "health: {type: tcp, interval: 1s}")})

	const id = "e2e-request-id-0001"
	check := func(resp *http.Response, body string, status int, class string) {
		t.Helper()
		if resp.StatusCode != status {
			t.Errorf("%s: status %d, want %d", class, resp.StatusCode, status)
		}
		checkErrorBody(t, body, class, "127.0.0.1")
		if !strings.Contains(body, id) {
			t.Errorf("%s: the body %q does not name the request %s", class, body, id)
		}
		if got := resp.Header.Get("Content-Type"); !strings.HasPrefix(got, "text/plain") {
			t.Errorf("%s: Content-Type %q, want text/plain", class, got)
		}
		if status == 503 && resp.Header.Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", class)
		}
	}
	direct := func(path string, status int, class string) {
		t.Helper()
		resp, body := exchange(t, p.web, get(path, "X-Request-Id: "+id))
		check(resp, body, status, class)
		resp, body = exchange(t, p.web, testkit.HandshakeRequest("game.example.com", path, "X-Request-Id: "+id))
		check(resp, body, status, class)
	}
	direct("/refused", 502, "connect_failed")
	direct("/down", 503, "no_backend")

	answered := func(answer string, hangup bool, status int, class string) {
		t.Helper()
		path := "/"
		if status == 504 {
			path = "/late"
		}
		client := testkit.DialTCP(t, p.web)
		client.Send(get(path, "X-Request-Id: "+id))
		backend, _ := h.acceptRequest()
		if answer != "" {
			backend.Send(answer)
		}
		if hangup {
			backend.Close()
		}
		resp := client.ReadResponse(patience)
		body, _ := io.ReadAll(resp.Body)
		check(resp, string(body), status, class)
		client.Close()
	}
	answered("", true, 502, "backend_broken")
	answered("HTTP/1.1 200 OK\r\nX-Ha", true, 502, "bad_answer")
	answered("220 mail.example.com ESMTP\r\n\r\n", true, 502, "bad_answer")
	answered(head("HTTP/1.1 200 OK", "X-Long: "+strings.Repeat("x", 64<<10)), true, 502, "bad_answer")
	answered("", false, 504, "answer_timeout")
	answered("HTTP/1.1 200 OK\r\nX-Ha", false, 504, "answer_timeout")

	// One socket fills the pool.
	first := testkit.DialTCP(t, p.web)
	first.Send(testkit.HandshakeRequest("game.example.com", "/full"))
	h.acceptWebSocket()
	first.Handshaken(patience)
	direct("/full", 503, "backends_full")
	first.Close()

	p.counted(9, "holdfast_requests_total", `code="5xx"`)
}

// A backend that takes the connection and no byte is given up after
// timeouts.response; connect has a limit of its own.
func TestTimeoutsOfBackends(t *testing.T) {
	t.Parallel()
	p, first, second := startTwo(t, "timeouts: {response: 1s}")
	began := time.Now()
	client := testkit.DialTCP(t, p.web)
	client.Send(get("/"))
	first.acceptRequest()
	resp := client.ReadResponse(patience)
	if resp.StatusCode != http.StatusOK || second.Requests() != 1 {
		t.Errorf("status %d after %d requests to the second backend, want 200 after 1", resp.StatusCode, second.Requests())
	}
	if took := time.Since(began); took < 900*time.Millisecond || took > 10*time.Second {
		t.Errorf("the second backend answers after %v, want about a second", took)
	}
}
