package e2e

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// Spans reach the collector; a reload begins and ends tracing, and the end of
// the process loses nothing.
func TestTracing(t *testing.T) {
	t.Parallel()
	c := testkit.StartCollector(t)
	echo := testkit.Echo()
	b := testkit.StartBackend(t, func(ctx *fasthttp.RequestCtx) {
		if echo(ctx); !ctx.Hijacked() {
			ctx.SetBody(ctx.Request.Header.Peek("traceparent"))
		}
	})
	site := func(tracing string) string {
		return siteOf([]string{b.Addr}) + "\ntracing: {" + tracing + "}\n"
	}
	const context = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	p := start(t, setup{rest: site("")})
	get := func() string {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+p.web+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Traceparent", context)
		resp, err := p.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	if got := get(); got != context {
		t.Errorf("without tracing the backend got %q, want %q", got, context)
	}
	traced := fmt.Sprintf("endpoint: %q, sample: 1, headers: {X-Api-Key: hush}", c.URL)
	p.write(site(traced))
	p.reload()
	if got := get(); got == context || !strings.HasPrefix(got, "00-") || !strings.HasSuffix(got, "-01") {
		t.Errorf("the backend got %q", got)
	}
	peers := openPeers(t, p.web, "/", 1)
	testkit.Eventually(t, patience, func() bool { return len(c.Spans()) == 4 }, "the spans of a request and a handshake come")
	if got := c.Headers()[0].Get("X-Api-Key"); got != "hush" {
		t.Errorf("the collector got key %q", got)
	}
	if _, body, _ := p.adminGet("/api/v1/config"); strings.Contains(string(body), "hush") {
		t.Errorf("a key is in the configuration as shown: %s", body)
	}
	testkit.Eventually(t, patience, func() bool { return p.metric("holdfast_trace_spans_total", `result="exported"`) == 4 }, "4 spans are counted")
	closePeers(peers)
	// What a reload has switched off has what came before it, also if the process
	// ends then. A collector has half a second for that, which a busy machine may
	// need for something else; hardly three times.
	for try := 1; ; try++ {
		before := len(c.Spans())
		get()
		p.write(site(""))
		p.reload()
		if got := get(); got != context {
			t.Errorf("after tracing the backend got %q, want %q", got, context)
		}
		p.signal(syscall.SIGTERM)
		p.wait(patience)
		n := len(c.Spans()) - before
		if n == 2 {
			return
		}
		if n != 0 || try == 3 {
			t.Fatalf("%d spans came in the end, want 2", n)
		}
		p = start(t, setup{rest: site(traced)})
	}
}
