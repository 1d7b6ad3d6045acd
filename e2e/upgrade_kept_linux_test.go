//go:build linux && (amd64 || arm64)

package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// A successor knows what its predecessor did: modes and drains that operators
// have ordered, who sticks to which, whose sockets count, and each socket's
// whole life.
func TestUpgradeKeepsWhatIsKnown(t *testing.T) {
	t.Parallel()
	backends := startArenas(t, 4)
	p := start(t, setup{
		listener: "limits: {max_connections_per_ip: 40}",
		rest: site(backends, "balance: round_robin", quickHealth, "sticky: {by: query, name: room}",
			"drain: {closes_per_second: 1, deadline: 5m}"),
	})
	// One backend has ten sockets when its drain begins, of which a second takes
	// one.
	for _, c := range openPeers(t, p.web, "/?room=first", 10) {
		go func() { // ends with the test
			if f, err := testkit.ReadFrame(c.r); err == nil && f.Opcode == testkit.OpClose {
				_, _ = c.Write(testkit.Close(f.CloseCode(), "").Mask().Append(nil))
			}
			_ = c.Close()
		}()
	}
	drained := ""
	for _, b := range p.backends("web") {
		if b.Active.Sockets > 0 {
			drained = b.Name
		}
	}
	p.says(0, "", "drain", "web/"+drained, "--no-wait", "--deadline", "4m")
	homes := map[string]string{}
	for i := range 20 {
		c := caller{t: t, p: p, query: fmt.Sprintf("room=%d", i), lines: []string{"Connection: close"}}
		homes[c.query], _ = c.ask()
	}
	keyed, err := openPeer(p.web, "/?room=7")
	if err != nil {
		t.Fatal(err)
	}
	defer keyed.Close()
	if err := keyed.echo("before"); err != nil {
		t.Fatal(err)
	}
	began := time.Now()

	for round := range 2 {
		next, _, _ := p.upgrade()
		p.ends()
		p = next
		if b := p.backend("web", drained); b.Mode != "drain" || b.Drain == nil || b.Drain.Sockets != 10 || b.Drain.Left > 10 || b.Drain.Forced > 0 || time.Until(b.Drain.Deadline) > 4*time.Minute {
			t.Errorf("after upgrade %d the drained backend is %+v, its drain %+v", round, b, b.Drain)
		}
		for query, home := range homes {
			c := caller{t: t, p: p, query: query, lines: []string{"Connection: close"}}
			if got, _ := c.ask(); got != home {
				t.Errorf("after upgrade %d %s is served by %s, was by %s", round, query, got, home)
			}
		}
	}
	if err := keyed.echo("after"); err != nil {
		t.Fatal(err)
	}
	if list := p.ledger(url.Values{"key": {"7"}}); len(list) != 1 || list[0].In.Frames < 2 {
		t.Errorf("by its key %+v is found, want the one socket with both of its messages", list)
	}

	// The carried sockets count: so many more come in, and no others.
	most := 0
	for ; most < 45; most++ {
		c, err := openPeer(p.web, "/")
		if err != nil {
			if !strings.Contains(err.Error(), "429") {
				t.Error(err)
			}
			break
		}
		defer c.Close()
	}
	if open := len(p.ledger(url.Values{"limit": {"1000"}})); open > 40 || open < 37 {
		t.Errorf("%d sockets of one address are open, of which %d are new; 40 may be", open, most)
	}

	// One line in the log, over its whole life.
	lived := time.Since(began)
	keyed.Close()
	var line *accessLine
	testkit.Eventually(t, patience, func() bool {
		for text := range strings.Lines(p.read("access.log")) {
			var l accessLine
			if json.Unmarshal([]byte(text), &l) == nil && l.Kind == "websocket" && l.URI == "/?room=7" {
				line = &l
			}
		}
		return line != nil
	}, "the access log has the socket")
	if line.FramesIn != 2 || line.FramesOut != 2 || line.Duration < lived.Seconds()/2 || line.Client != "127.0.0.1" {
		t.Errorf("its line is %+v; it has lived %s", line, lived)
	}
	if n := strings.Count(p.read("access.log"), `"uri":"/?room=7"`); n != 4 { // three requests, and the socket
		t.Errorf("%d lines of /?room=7 in the access log, want 4", n)
	}
}

// What cannot be handed over ends politely: sockets with TLS read Close 1012 at
// the pool's pace, a request under way is answered, and the successor serves
// beside that.
func TestUpgradeLeavesSecureSockets(t *testing.T) {
	t.Parallel()
	s := startSecure(t)
	client, backend := s.link(t)
	other, otherBackend := s.link(t)
	_ = otherBackend
	next, carried, left := s.upgrade()
	if carried != 0 || left != 2 {
		t.Errorf("%d sockets with TLS carried, %d left", carried, left)
	}
	for _, c := range []*peer{client, other} {
		f, err := testkit.ReadFrame(c.r)
		if err != nil || f.CloseCode() != 1012 {
			t.Errorf("a client reads %+v, %v, want Close 1012", f, err)
		}
		_, _ = c.Write(testkit.Close(1012, "").Mask().Append(nil))
		_ = c.Close()
	}
	_ = backend.Close()
	s.ends()
	s.process = next
	s.link(t)
}

// A request and a handshake that are under way at the change are finished by the
// predecessor; the socket that comes of it goes along.
func TestUpgradeFinishesWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	p, h := startLinked(t, "")
	p.setup.deadline = "20s"
	p.write("routes: [{name: all, path: /, pool: web}]\n" + pool("web", []string{h.addr}))
	p.reload()
	slow, opening := testkit.DialTCP(t, p.web), testkit.DialTCP(t, p.web)
	slow.Send(get("/slow"))
	answer, _ := h.acceptRequest()
	opening.Send(testkit.HandshakeRequest(p.web, "/"))
	backend := h.accept()
	_ = backend.SetReadDeadline(time.Now().Add(patience))
	req, err := http.ReadRequest(backend.R)
	if err != nil {
		t.Fatal(err)
	}

	next, carried, left := p.upgrade()
	if carried+left != 0 {
		t.Errorf("%d sockets carried, %d left, of none", carried, left)
	}
	answer.Send(head("HTTP/1.1 200 OK", "Content-Length: 2") + "ok")
	resp := slow.ReadResponse(patience)
	if body, err := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK || string(body) != "ok" || err != nil || !resp.Close {
		t.Errorf("the request under way is answered %d %q, %v, the last of its connection: %v", resp.StatusCode, body, err, resp.Close)
	}
	backend.Send(testkit.SwitchingProtocols(req))
	opening.Handshaken(patience)
	p.ends() // once it has handed that over, too
	opening.SendFrames(testkit.Text("hello").Mask())
	if f := backend.ReadFrame(patience); string(f.Payload) != "hello" {
		t.Errorf("the backend reads %+v", f)
	}
	if n := next.sockets("web")[0]; n != 1 {
		t.Errorf("the successor has %d sockets, want 1", n)
	}
	_, _ = opening.Close(), backend.Close()
}

// A predecessor that still has sockets to tell ends at SIGTERM as every process
// does, and its successor goes on, with no descriptor more than it needs.
func TestUpgradeThenSIGTERM(t *testing.T) {
	t.Parallel()
	s := startSecure(t)
	other, _ := s.link(t)
	before := s.descriptors(t)
	client, _ := s.link(t)
	next, _, _ := s.upgrade()
	for { // it reads 1012 or, if that was not its turn yet, 1001
		f, err := testkit.ReadFrame(client.r)
		if err != nil {
			t.Fatal(err)
		}
		if f.Opcode == testkit.OpClose {
			break
		}
	}
	s.signal(stopSignal)
	s.logged(`"stopping"`)
	_, _ = client.Close(), other.Close()
	s.ends()
	s.process = next
	s.link(t)
	testkit.Eventually(t, patience, func() bool { return next.descriptors(t) <= before+2 }, "the successor has descriptors for what it does")
}
