package e2e

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// Near the limit of memory nothing new is taken, with a reason and a time to
// come again; open sockets and the admin address go on. When there is memory
// again, new ones come in.
func TestMemoryRunsShort(t *testing.T) {
	t.Parallel()
	b := startArena(t, "b1")
	p := start(t, setup{
		env:      []string{"GOMEMLIMIT=64MiB"},
		listener: "limits: {max_header_bytes: 1MiB}, timeouts: {header: 10m}",
		rest:     site([]*arena{b}),
	})
	good := startCrowd(t, p.web, 20)
	kept, upgrading := testkit.DialTCP(t, p.web), testkit.DialTCP(t, p.web)
	for _, c := range []*testkit.TCP{kept, upgrading} {
		c.Send(get("/"))
		if resp := c.ReadResponse(patience); resp.StatusCode != http.StatusOK {
			t.Fatalf("status %d", resp.StatusCode)
		} else if _, err := io.ReadAll(resp.Body); err != nil {
			t.Fatal(err)
		}
	}
	testkit.Eventually(t, patience, func() bool { return p.metric("holdfast_memory_used_bytes") > 0 }, "the memory is looked at")
	if p.metric("holdfast_memory_short") != 0 || p.metric("holdfast_memory_limit_bytes") != 64<<20 {
		t.Error("the metrics do not tell of the limit")
	}

	// Each of these has a header on the way, and with it a buffer of 1 MiB.
	var flood []*testkit.TCP
	testkit.Eventually(t, 4*patience, func() bool {
		if len(flood) < 200 {
			c := testkit.DialTCP(t, p.web)
			_, _ = c.Write([]byte("GET / HTTP/1.1\r\nX: "))
			flood = append(flood, c)
		}
		return p.metric("holdfast_memory_short") == 1
	}, "memory is short")
	good.report(t, "the flood")

	f := func(what string, c *testkit.TCP, raw string) {
		t.Helper()
		c.Send(raw)
		resp := c.ReadResponse(patience)
		body, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" || !resp.Close || !strings.HasPrefix(string(body), "HF-4008 ") {
			t.Errorf("%s: status %d, %v, %q", what, resp.StatusCode, resp.Header, body)
		}
		c.ExpectClosed(patience)
	}
	f("a new connection", testkit.DialTCP(t, p.web), get("/"))
	f("a request on one that is open", kept, get("/"))
	f("a handshake on one that is open", upgrading, testkit.HandshakeRequest(p.web, "/"))
	if status := p.readyStatus(); status != http.StatusOK {
		t.Errorf("/readyz is %d", status)
	}
	p.reload()
	p.told("HF-4008")
	testkit.Eventually(t, patience, func() bool { return strings.Contains(p.read("access.log"), `"code":"HF-4008"`) }, "the access log has the code")
	for _, n := range []float64{
		p.metric("holdfast_listener_refused_total", `reason="memory"`),
		p.metric("holdfast_handshakes_total", `result="overloaded"`),
		p.metric("holdfast_requests_total", `code="5xx"`),
	} {
		if n < 1 {
			t.Errorf("a refusal is not counted: %v", n)
		}
	}
	p99, n := good.report(t, "memory is short")
	t.Logf("%d half headers; p99 %v of %d messages", len(flood), p99, n)

	for _, c := range flood {
		c.Close()
	}
	p.logged("memory is no longer short")
	peer, err := openPeer(p.web, "/")
	if err != nil {
		t.Fatalf("a new socket once there is memory: %v", err)
	}
	defer peer.Close()
	if err := peer.echo("back"); err != nil {
		t.Error(err)
	}
	good.report(t, "memory is there again")
	_, events := fetch(t, p.client, request(t, http.MethodGet, "http://"+p.admin+"/api/v1/events", nil, "Accept: application/json"))
	if strings.Count(events, `"kind":"memory"`) < 2 {
		t.Errorf("events: %s", events)
	}
}
