package e2e

import (
	"strings"
	"sync/atomic"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// listens is a health check that hears what backends say of themselves. They are
// believed for three seconds, which is what a busy machine has for a probe.
const listens = "health: {type: http, path: /health, interval: 1s, rise: 1, fall: 100, initial: up, load_reports: true}"

// teller is a backend of startNamed's kind that says how full it is.
type teller struct {
	*testkit.Backend
	load, capacity, drain atomic.Pointer[string] // nil or empty: not told
}

func startTeller(t *testing.T, name string) *teller {
	t.Helper()
	b := &teller{}
	echo := named(name)
	b.Backend = testkit.StartBackend(t, func(ctx *fasthttp.RequestCtx) {
		if string(ctx.Path()) != "/health" {
			echo(ctx)
			return
		}
		for header, value := range map[string]*string{
			"X-Holdfast-Load": b.load.Load(), "X-Holdfast-Capacity": b.capacity.Load(), "X-Holdfast-Drain": b.drain.Load(),
		} {
			if value != nil && *value != "" {
				ctx.Response.Header.Set(header, *value)
			}
		}
	})
	return b
}

// says has the backend tell a load, a capacity and its wish to be drained, ""
// for nothing.
func (b *teller) says(load, capacity, drain string) {
	b.load.Store(&load)
	b.capacity.Store(&capacity)
	b.drain.Store(&drain)
}

// Backends that say how full they are get sockets by what is left, no more than
// they hold, and can have themselves drained.
func TestLoadReports(t *testing.T) {
	t.Parallel()
	full, half, free := startTeller(t, "b1"), startTeller(t, "b2"), startTeller(t, "b3")
	full.says("", "10", "")
	half.says("0.5", "", "")
	free.says("0", "", "")
	rest := siteOf([]string{full.Addr, half.Addr, free.Addr}, listens, "drain: {deadline: 60s, closes_per_second: 100}")
	p := start(t, setup{rest: rest})
	reported := func(name string) bool { return p.backend("web", name).Report != nil }
	asks := func(name string) bool { r := p.backend("web", name).Report; return r != nil && r.Drain }
	testkit.Eventually(t, patience, func() bool { return reported("b1") && reported("b2") && reported("b3") }, "all have reported")
	peers := openPeers(t, p.web, "/", 100)
	if n := p.sockets("web"); n[0] > 10 || n[0] < 5 || n[1] < 28 || n[1] > 34 || n[0]+n[1]+n[2] != 100 {
		t.Errorf("sockets are %v, want 10 at most and the others as 1 to 2", n)
	}
	if r := p.backend("web", "b2").Report; r == nil || r.Load == nil || *r.Load != 0.5 || r.Capacity != 0 || r.Drain {
		t.Errorf("b2 reports %+v", r)
	}
	if r := p.backend("web", "b1").Report; r == nil || r.Load != nil || r.Capacity != 10 {
		t.Errorf("b1 reports %+v", r)
	}
	p.counted(0.5, "holdfast_backend_reported_load", `backend="b2"`)
	p.says(0, "50%", "status")

	// Nonsense is one line, however often it comes.
	half.says("half", "many", "")
	testkit.Eventually(t, patience, func() bool { return !reported("b2") }, "nonsense is ignored")
	p.told("HF-2012")
	half.says("0.5", "", "")
	p.logged("load report makes sense again")

	// It asks, and its sockets leave; nobody else's do.
	gone := awaitCloses(byBackend(t, peers)["b3"])
	free.says("0.9", "", "1")
	for range cap(gone) {
		checkClose(t, <-gone, 1012)
	}
	p.logged("backend asks to be drained")
	p.logged("drain ended")
	if b := p.backend("web", "b3"); b.Usable || b.Mode != "ready" || b.Drain == nil || b.Drain.Left != 0 {
		t.Errorf("b3 after its drain: %+v", b)
	}
	if n := p.sockets("web"); n[2] != 0 || n[0] == 0 || n[1] == 0 {
		t.Errorf("sockets are %v", n)
	}
	p.says(0, "drain, asked for", "status")
	if status := p.post("/api/v1/pools/web/backends/b3/undrain"); status != fasthttp.StatusOK || p.backend("web", "b3").Usable {
		t.Errorf("an operator's undrain: status %d, %+v", status, p.backend("web", "b3"))
	}
	p.says(1, "web/b3 goes on draining, since it asks for that itself", "undrain", "web/b3")
	p.write(strings.Replace(rest, "100}", "50}", 1))
	p.reload()
	if b := p.backend("web", "b3"); b.Usable || b.Drain == nil {
		t.Errorf("after a reload: %+v", b)
	}
	free.says("0", "", "")
	testkit.Eventually(t, patience, func() bool { b := p.backend("web", "b3"); return b.Usable && b.Drain == nil }, "b3 takes part again")

	// What an operator has ordered, only an operator ends.
	if status := p.post("/api/v1/pools/web/backends/b3/drain"); status != fasthttp.StatusOK {
		t.Fatalf("POST drain: status %d", status)
	}
	free.says("0.1", "", "1")
	testkit.Eventually(t, patience, func() bool { return asks("b3") }, "b3 asks too")
	free.says("0.2", "", "")
	testkit.Eventually(t, patience, func() bool { return !asks("b3") }, "b3 asks no longer")
	if b := p.backend("web", "b3"); b.Usable || b.Mode != "drain" || b.Drain == nil {
		t.Errorf("the operator's drain: %+v", b)
	}

	// A backend that answers nothing is believed for three intervals.
	if status := p.post("/api/v1/pools/web/backends/b3/undrain"); status != fasthttp.StatusOK {
		t.Fatalf("POST undrain: status %d", status)
	}
	full.Stop(t)
	testkit.Eventually(t, patience, func() bool { return !reported("b1") }, "the report of one that is silent is forgotten")
	if n := strings.Count(p.log(), "makes no sense"); n != 1 {
		t.Errorf("%d lines about nonsense, want 1", n)
	}
	closePeers(peers)
}
