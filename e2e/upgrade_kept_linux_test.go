//go:build linux && (amd64 || arm64)

package e2e

import (
	"encoding/json"
	"fmt"
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
	if line.FramesIn != 2 || line.FramesOut != 2 || line.Duration < lived.Seconds() || line.Client != "127.0.0.1" {
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
