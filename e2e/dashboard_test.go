package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

const adminToken = "a-token-of-some-length"

// tile is an expression for the tile of a backend.
func tile(name string) string {
	return fmt.Sprintf(`[...document.querySelectorAll(".tile")].find((e) => e.querySelector(".name").textContent === %q)`, name)
}

// An operator drains a backend from the dashboard and watches it end. The page
// loads nothing from elsewhere, and nothing goes wrong in it.
func TestDashboard(t *testing.T) {
	t.Parallel()
	b := startBrowser(t)
	backends := startArenas(t, 2)
	p := start(t, setup{rest: site(backends, "balance: least_conn", "sticky: {by: query, name: room, ttl: 5m}"),
		env: []string{"HOLDFAST_ADMIN_TOKEN=" + adminToken}})
	p.token = adminToken
	peers := openPeers(t, p.web, "/?room=reef", 3) // all on one backend
	name := "b1"
	if p.sockets("web")[1] == 3 {
		name = "b2"
	}

	page := b.open("http://" + p.admin + "/")
	page.await(`document.querySelector("dialog").open`)
	page.run(`document.querySelector("dialog input").value = "wrong-token-of-some-length"`)
	page.click("dialog button", "Continue")
	page.await(`document.querySelector("#dialog-error").textContent.includes("token")`)
	page.run(fmt.Sprintf(`document.querySelector("dialog input").value = %q`, adminToken))
	page.click("dialog button", "Continue")
	page.await(tile(name) + `?.querySelector(".sockets").textContent === "3 sockets"`)
	page.await(`document.querySelector("#health").textContent === "healthy"`)
	page.await(`document.querySelector("#chart-sockets .now").textContent === "3"`)
	page.await(`document.querySelectorAll("#events li").length > 0`)
	page.run(`document.querySelector(".ledger").scrollIntoView()`)
	page.await(`document.querySelectorAll("#sockets tr").length === 3`)
	if text := page.run(`document.querySelector("#sockets").textContent`); strings.Contains(text, "reef") {
		t.Errorf("the ledger shows a key: %s", text)
	}

	// The drain: asked for, begun, seen, ended.
	page.run(tile(name) + `.querySelector(".actions button").click()`)
	page.await(`document.querySelector("dialog").textContent.includes("3 open sockets")`)
	page.run(`document.querySelector("dialog input[name=deadline]").value = "1h"`)
	page.click("dialog button.main", "Drain")
	page.await(tile(name) + `.dataset.state === "drain"`)
	page.await(tile(name) + `.querySelector(".progress").textContent.match(/left|drained/)`)
	for _, peer := range peers {
		peer.Close()
	}
	page.await(tile(name) + `.querySelector(".progress").textContent === "drained"`)
	page.await(`document.querySelector("#events").textContent.includes("drain, was ready")`)
	page.click(".tile button", "Undrain")
	page.await(tile(name) + `.dataset.state === "up"`)

	// A refused reload shows each mistake.
	p.write("routes: [{pool: nowhere}]\npools: {web: {backends: [{url: 'http://a'}]}}")
	page.click("#reload", "Reload")
	page.await(`document.querySelector("dialog .mistakes")?.textContent.includes("there is no pool \"nowhere\"")`)
	page.click("dialog button", "Close")
	page.await(`document.querySelector("#banner").textContent.includes("nowhere")`)

	page.run(`document.querySelector("#theme").click()`)
	if got := page.run(`document.documentElement.dataset.theme`); got != "dark" && got != "light" {
		t.Errorf("theme %q", got)
	}
	page.click("#leave", "Forget token")
	page.await(`document.querySelector("dialog").open && document.querySelector("#dialog-title").textContent === "Token"`)
	if got := page.run(`sessionStorage.getItem("holdfast-token")`); got != "<nil>" {
		t.Errorf("the token is kept: %s", got)
	}

	loaded := page.messages("Network.requestWillBeSent")
	if len(loaded) < 10 {
		t.Errorf("%d requests were seen", len(loaded))
	}
	for _, m := range loaded {
		var r struct{ Request struct{ URL string } }
		if err := json.Unmarshal([]byte(m), &r); err != nil || !strings.HasPrefix(r.Request.URL, "http://"+p.admin+"/") {
			t.Errorf("the page has loaded %s", m)
		}
		if strings.Contains(r.Request.URL, adminToken) {
			t.Errorf("a token is in a URL: %s", r.Request.URL)
		}
	}
	for _, m := range page.messages("Runtime.exceptionThrown") {
		t.Errorf("an exception in the page: %s", m)
	}
	for _, m := range page.messages("Log.entryAdded") {
		// 401 before the token, 422 for the reload: the browser logs them.
		if !strings.Contains(m, "status of 401") && !strings.Contains(m, "status of 422") {
			t.Errorf("the browser complains: %s", m)
		}
	}
}

// A page of another origin can neither drain nor read, whatever it tries.
func TestPageOfAnotherOriginCannotDrain(t *testing.T) {
	t.Parallel()
	b := startBrowser(t)
	backend := startArena(t, "b1")
	p := start(t, setup{rest: siteOf([]string{backend.Addr}, "balance: least_conn")}) // loopback, without a token
	evil := startServer(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte(`<!doctype html><title>evil</title><iframe name="sink"></iframe>`))
	})
	page := b.open("http://" + evil + "/")
	page.await(`document.title === "evil"`)
	drain := "http://" + p.admin + "/api/v1/pools/web/backends/b1/drain"
	try := func(what, expression string) {
		t.Helper()
		got := page.run("(async () => { try { " + expression + " } catch (e) { return 'failed' } })()")
		t.Logf("%s: %s", what, got)
		if strings.Contains(got, "read") {
			t.Errorf("%s: the page reads the answer: %s", what, got)
		}
	}
	try("fetch", fmt.Sprintf(`const r = await fetch(%q, {method: "POST"}); return "read " + await r.text()`, drain))
	try("fetch without CORS", fmt.Sprintf(`const r = await fetch(%q, {method: "POST", mode: "no-cors"}); return r.type`, drain))
	try("fetch with a header", fmt.Sprintf(`const r = await fetch(%q, {method: "POST", headers: {Authorization: "Bearer x"}}); return "read " + r.status`, drain))
	try("beacon", fmt.Sprintf(`return "sent " + navigator.sendBeacon(%q, "x")`, drain))
	try("form", fmt.Sprintf(`const f = document.createElement("form"); f.method = "post"; f.action = %q; f.target = "sink"; document.body.append(f);
		const loaded = new Promise((r) => document.querySelector("iframe").addEventListener("load", r)); f.submit(); await loaded; return "submitted"`, drain))
	try("reading pools", fmt.Sprintf(`const r = await fetch(%q); return "read " + await r.text()`, "http://"+p.admin+"/api/v1/pools"))
	try("reading events", fmt.Sprintf(`return await new Promise((done) => { const s = new EventSource(%q); s.onmessage = (e) => done("read " + e.data); s.onerror = () => done("failed") })`,
		"http://"+p.admin+"/api/v1/events"))
	// They have all arrived: what the browser sends later is answered later.
	testkit.Eventually(t, patience, func() bool { return len(page.messages("Network.responseReceived")) >= 4 }, "answers to the page")
	if got := p.backend("web", "b1").Mode; got != "ready" {
		t.Errorf("b1 is in %s", got)
	}
	if strings.Contains(p.log(), "mode changed") {
		t.Errorf("a page of another origin has changed something:\n%s", p.log())
	}
}

// A storm and an ejection are seen, also on a telephone, where the page is no
// wider than the screen.
func TestDashboardShowsAStorm(t *testing.T) {
	t.Parallel()
	b := startBrowser(t)
	good, bad := startArena(t, "b1"), testkit.StartBackend(t, testkit.Refuse(http.StatusInternalServerError))
	p := start(t, setup{rest: "routes: [{path: /, pool: web, retries: 0}]\n" + pool("web", []string{good.Addr, bad.Addr},
		"balance: round_robin", "passive: {failures: 2, eject: 5m}", "limits: {handshakes_per_second_per_backend: 1}", "queue: {size: 40, timeout: 1m}")})
	page := b.open("about:blank")
	page.call(page.session, "Emulation.setDeviceMetricsOverride", map[string]any{"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": true})
	page.call(page.session, "Page.navigate", map[string]any{"url": "http://" + p.admin + "/"})
	page.await(`document.querySelector(".gauges").textContent.includes("of 2")`)

	clients := make([]*testkit.TCP, 40) // one a second at each backend
	for i := range clients {
		clients[i] = testkit.DialTCP(t, p.web)
		clients[i].Send(testkit.HandshakeRequest("game.example", "/"))
	}
	page.await(tile("b2") + `.dataset.state === "ejected"`)
	page.await(tile("b2") + `.querySelector(".why").textContent.includes("failed within")`)
	page.await(`[...document.querySelectorAll(".gauge")][1].querySelector("b").textContent > 0`)
	page.await(`document.querySelector("#health").textContent === "degraded"`)
	page.run(`document.querySelector(".ledger").scrollIntoView()`)
	page.await(`document.querySelectorAll("#sockets tr").length > 0`)
	if got := page.run("document.documentElement.scrollWidth - 390"); got != "0" {
		t.Errorf("the page is %s pixels wider than the screen", got)
	}
	out, _, _ := p.holdfast("status")
	if !strings.Contains(out, "up, ejected") {
		t.Errorf("status does not tell of the ejection:\n%s", out)
	}
	if p.metric("holdfast_backend_handshakes_total", `backend="b2"`) < 2 || p.metric("holdfast_handshakes_per_second_limit", `of="backend"`) != 1 {
		t.Error("handshakes and their limit are not in the metrics")
	}
	for _, c := range clients {
		c.Close()
	}
	for _, m := range page.messages("Runtime.exceptionThrown") {
		t.Errorf("an exception in the page: %s", m)
	}
}
