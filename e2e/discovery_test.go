package e2e

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/miekg/dns"
	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// found is routes and a pool "web" whose backends are found by source, which is
// a value of the key discovery.
func found(source string, keys ...string) string {
	lines := append([]string{"discovery: " + source, quickHealth}, keys...)
	return "routes: [{name: all, path: /, pool: web}]\npools:\n  web:\n    " + strings.Join(lines, "\n    ") + "\n"
}

// members are the names of the pool's backends that are not retired.
func (p *process) members() string {
	p.t.Helper()
	var names []string
	for _, b := range p.backends("web") {
		if !b.Retired {
			names = append(names, b.Name)
		}
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// awaitMembers waits until these are the pool's backends, and up.
func (p *process) awaitMembers(names string) {
	p.t.Helper()
	testkit.Eventually(p.t, patience, func() bool {
		for _, b := range p.backends("web") {
			if !b.Retired && b.State != "up" {
				return false
			}
		}
		return p.members() == names
	}, "the backends are "+names)
}

// services are the records of backends called b1, b2 and so on at these
// addresses of 127.0.0.1; an empty one is left out.
func services(addrs ...string) (records []string) {
	for i, addr := range addrs {
		if addr == "" {
			continue
		}
		_, port, _ := net.SplitHostPort(addr)
		records = append(records, fmt.Sprintf("_g._tcp.arena.test. 0 IN SRV 0 1 %s b%d.arena.test.", port, i+1))
		records = append(records, fmt.Sprintf("b%d.arena.test. 0 IN A 127.0.0.1", i+1))
	}
	return records
}

// Backends come and go in the DNS. Sockets stay, keys stay, what the operator
// wants stays; and what goes wrong in the DNS is a line in the log each and
// changes nothing.
func TestDiscoveryByDNS(t *testing.T) {
	t.Parallel()
	addrs := startNamed(t, 3)
	d := testkit.StartDNS(t, services(addrs[0], addrs[1])...)
	source := fmt.Sprintf("{dns: {name: _g._tcp.arena.test, type: srv, server: %q, min_ttl: 100ms, timeout: 1s}}", d.Addr)
	rest := found(source, "sticky: {by: query, name: room, ttl: 5m}")
	p := start(t, setup{rest: rest})
	p.awaitMembers("b1 b2")
	p.logged("1 pool, 2 backends") // with those that were found before it served
	rooms := map[string]string{}   // to backend
	var peers []*peer
	for i := range 20 {
		room := fmt.Sprintf("/?room=r%d", i)
		peer := openPeers(t, p.web, room, 1)[0]
		name, err := peer.ask()
		if err != nil {
			t.Fatal(err)
		}
		rooms[room], peers = name, append(peers, peer)
	}
	// stay checks that all sockets live, and that keys of those still there lead
	// home.
	stay := func(what string, there ...string) {
		t.Helper()
		i := 0
		for _, peer := range peers {
			if _, err := peer.ask(); err != nil {
				t.Fatalf("%s: a socket has ended: %v", what, err)
			}
		}
		for room, home := range rooms {
			if i++; i > 8 || !strings.Contains(strings.Join(there, " "), home) {
				continue
			}
			if name, err := openPeers(t, p.web, room, 1)[0].ask(); err != nil || name != home {
				t.Errorf("%s: %s leads to %s (%v), had been at %s", what, room, name, err, home)
			}
		}
	}
	if byBackend(t, peers)["b1"] == nil || byBackend(t, peers)["b2"] == nil {
		t.Fatalf("rooms are at %v", rooms)
	}

	// One joins, one vanishes and is retired, not cut.
	d.Set(t, services("", addrs[1], addrs[2])...)
	p.awaitMembers("b2 b3")
	p.logged("backends changed")
	if b := p.backend("web", "b1"); !b.Retired || b.Active.Sockets == 0 {
		t.Errorf("b1, which vanished: %+v", b)
	}
	stay("after a change", "b2")
	if n := p.metric("holdfast_discovery_backends", `pool="web"`); n != 2 {
		t.Errorf("holdfast_discovery_backends is %v", n)
	}
	out, errs, status := p.holdfast("plan", "--config", p.file)
	if status != 0 || strings.Contains(out, " add ") || strings.Contains(out, "retire ") {
		t.Errorf("a plan of the same: status %d\n%s%s", status, out, errs)
	}
	checked, err := exec.CommandContext(t.Context(), program, "check", "--config", p.file, "--connect").CombinedOutput()
	if err != nil || !strings.Contains(string(checked), "dns srv _g._tcp.arena.test: 2 backends") || !strings.Contains(string(checked), "web/b3") {
		t.Errorf("check --connect: %v\n%s", err, checked)
	}

	// Troubles, one after the other: the pool works on, and each is one line.
	trouble := func(what string, answer func(w dns.ResponseWriter, q *dns.Msg), want string) {
		t.Helper()
		d.Answer(answer)
		testkit.Eventually(t, patience, func() bool { return strings.Contains(p.log(), want) }, what+": the log has "+want)
		asked := d.Asked()
		testkit.Eventually(t, patience, func() bool { return d.Asked() >= asked+3 }, "it is asked again")
		if p.members() != "b2 b3" {
			t.Errorf("%s: the backends are %s", what, p.members())
		}
	}
	code := func(rcode int) func(dns.ResponseWriter, *dns.Msg) {
		return func(w dns.ResponseWriter, q *dns.Msg) { _ = w.WriteMsg(new(dns.Msg).SetRcode(q, rcode)) }
	}
	before := strings.Count(p.log(), "discovery fails")
	trouble("it fails", code(dns.RcodeServerFailure), "answers SERVFAIL")
	trouble("it empties", code(dns.RcodeNameError), "the answer holds no backend")
	trouble("it hangs", func(dns.ResponseWriter, *dns.Msg) {}, "no answer in time")
	trouble("it lies", func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		m.Question[0].Name = "evil.test."
		_ = w.WriteMsg(m)
	}, "to another question")
	stay("while the DNS fails", "b2")
	p.told("HF-2013")
	if n := p.metric("holdfast_discovery_ok", `pool="web"`); n != 0 {
		t.Errorf("holdfast_discovery_ok is %v", n)
	}
	p.says(0, "to another question", "status")

	// A reload in the middle of it changes nothing either.
	p.write(rest + "    balance: p2c\n")
	p.reload()
	if p.members() != "b2 b3" {
		t.Errorf("after a reload the backends are %s", p.members())
	}
	p.logged(`"changes":"pools ~web(balance)"`)
	d.Set(t, services("", addrs[1], addrs[2])...)
	p.logged("discovery answers again")
	// Twelve answers and more; late ones may be a trouble of their own.
	if n := strings.Count(p.log(), "discovery fails") - before; n > 8 {
		t.Errorf("%d lines about four troubles", n)
	}

	// An operator's drain outlives an absence; counts do anyway.
	if status := p.post("/api/v1/pools/web/backends/b3/drain"); status != fasthttp.StatusOK {
		t.Fatalf("POST drain: status %d", status)
	}
	d.Set(t, services(addrs[0], addrs[1])...)
	p.awaitMembers("b1 b2")
	if b := p.backend("web", "b1"); b.Retired || b.Active.Sockets == 0 {
		t.Errorf("b1, which is back: %+v", b)
	}
	d.Set(t, services(addrs...)...)
	p.awaitMembers("b1 b2 b3")
	if b := p.backend("web", "b3"); b.Mode != "drain" || b.Usable {
		t.Errorf("b3, which is back: %+v", b)
	}
	stay("at the end", "b1", "b2")

	// A reload that ends it all says whom it retires.
	p.write(siteOf(addrs[:1], quickHealth, "balance: p2c", "sticky: {by: query, name: room, ttl: 5m}"))
	p.reload()
	p.logged(`"changes":"pools ~web(discovery -b2 -b3`)
	stay("without discovery", "b1")
	closePeers(peers)
}

// Who waits since all servers are full gets to one that is found meanwhile.
func TestDiscoveryServesThoseWhoWait(t *testing.T) {
	t.Parallel()
	addrs := startNamed(t, 2)
	d := testkit.StartDNS(t, services(addrs[0])...)
	source := fmt.Sprintf("{dns: {name: _g._tcp.arena.test, type: srv, server: %q, min_ttl: 100ms, max_connections: 1}}", d.Addr)
	p := start(t, setup{rest: found(source, fmt.Sprintf("queue: {size: 1, timeout: %s}", patience))})
	p.awaitMembers("b1")
	peers := openPeers(t, p.web, "/", 1)
	waits := make(chan *peer, 1)
	go func() {
		peer, err := openPeer(p.web, "/")
		if err != nil {
			t.Errorf("who waited got %v", err)
		}
		waits <- peer
	}()
	testkit.Eventually(t, patience, func() bool { return p.metric("holdfast_queue_waiting", `pool="web"`) == 1 }, "one waits")
	d.Set(t, services(addrs...)...)
	peer := <-waits
	if peer == nil {
		t.Fatal("nobody was served")
	}
	if name, err := peer.ask(); err != nil || name != "b2" {
		t.Errorf("who waited is at %s, %v", name, err)
	}
	closePeers(append(peers, peer))
}

// A directory that answers 500, garbage and a million entries, that hangs and
// that goes: the pool works on, and each is a line in the log.
func TestDiscoveryByHTTP(t *testing.T) {
	t.Parallel()
	addrs := startNamed(t, 2)
	list := fmt.Sprintf(`[{"name": "b1", "url": "http://%s"}, {"name": "b2", "url": "http://%s", "weight": 3}]`, addrs[0], addrs[1])
	var handler atomic.Pointer[http.HandlerFunc]
	var asked, same atomic.Int64
	directory := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		(*handler.Load())(w, r)
	}))
	defer directory.Close()
	says := func(h http.HandlerFunc) { handler.Store(&h) }
	good := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"1"`)
		if r.Header.Get("If-None-Match") == `"1"` {
			same.Add(1)
			w.WriteHeader(http.StatusNotModified)
			return
		}
		fmt.Fprint(w, list)
	}
	says(good)
	p := start(t, setup{rest: found(fmt.Sprintf("{http: {url: %q, interval: 100ms, timeout: 1s}}", directory.URL+"/arena.json"))})
	p.awaitMembers("b1 b2")
	if b := p.backend("web", "b2"); b.Weight != 3 {
		t.Errorf("b2: %+v", b)
	}
	testkit.Eventually(t, patience, func() bool { return same.Load() > 0 }, "it is asked whether the list has changed")
	peers := openPeers(t, p.web, "/", 8)
	trouble := func(what string, h http.HandlerFunc, want string) {
		t.Helper()
		says(h)
		testkit.Eventually(t, patience, func() bool { return strings.Contains(p.log(), want) }, what+": the log has "+want)
		before := asked.Load()
		testkit.Eventually(t, patience, func() bool { return asked.Load() >= before+3 }, "it is asked again")
		if p.members() != "b1 b2" {
			t.Errorf("%s: the backends are %s", what, p.members())
		}
	}
	before := strings.Count(p.log(), "discovery fails")
	trouble("500", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, list, 500) }, "status 500")
	trouble("garbage", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") }, "is not valid JSON")
	million := "[{}" + strings.Repeat(",{}", 1_000_000) + "]"
	trouble("a million entries", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, million) }, "the list is longer than")
	trouble("it hangs", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "no answer in time")
	trouble("empty", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "[]") }, "the answer holds no backend")
	// Fifteen answers and more; late ones may be a trouble of their own.
	if n := strings.Count(p.log(), "discovery fails") - before; n > 10 {
		t.Errorf("%d lines about five troubles", n)
	}
	for _, peer := range append(peers, openPeers(t, p.web, "/", 8)...) {
		if _, err := peer.ask(); err != nil {
			t.Errorf("a socket: %v", err)
		}
	}
	says(good)
	p.logged("discovery answers again")
	closePeers(peers)
}

// A pool whose backends are in a file that changes; it begins without any.
func TestDiscoveryByFile(t *testing.T) {
	t.Parallel()
	addrs := startNamed(t, 2)
	p := start(t, setup{rest: found("{file: {path: fleet.yaml}, allow_empty: true}")})
	put := func(text string) {
		t.Helper()
		next := p.path("fleet.next")
		if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, p.path("fleet.yaml")); err != nil {
			t.Fatal(err)
		}
	}
	if resp, _ := exchange(t, p.web, get("/")); resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("status %d without a backend", resp.StatusCode)
	}
	if _, err := openPeer(p.web, "/"); err == nil {
		t.Error("a socket opened without a backend")
	}
	p.says(1, "no usable backend in web", "status")
	put(fmt.Sprintf("- {name: b1, url: 'http://%s'}\n", addrs[0]))
	p.awaitMembers("b1")
	peers := openPeers(t, p.web, "/", 3)
	put(fmt.Sprintf("- {name: b2, url: 'http://%s', max_connections: 2}\n", addrs[1]))
	p.awaitMembers("b2")
	if n := len(byBackend(t, peers)["b1"]); n != 3 {
		t.Errorf("%d of 3 sockets are at b1 still", n)
	}
	if name, err := openPeers(t, p.web, "/", 1)[0].ask(); err != nil || name != "b2" {
		t.Errorf("a new socket is at %s, %v", name, err)
	}
	put("[]\n")
	p.awaitMembers("")
	closePeers(peers)
}
