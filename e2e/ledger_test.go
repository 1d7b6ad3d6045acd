package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// flow is bytes and frames of one direction.
type flow struct{ Bytes, Frames uint64 }

// openSocket is a socket as /api/v1/sockets shows it.
type openSocket struct {
	ID, Pool, Backend, Client, Key string
	In                             flow    `json:"client_to_backend"`
	Out                            flow    `json:"backend_to_client"`
	Idle                           float64 `json:"idle_seconds"`
}

// ledger returns all open sockets that a query lets through.
func (p *process) ledger(query url.Values) []openSocket {
	p.t.Helper()
	var all []openSocket
	query.Set("limit", "1000")
	for {
		status, body, err := p.adminGet("/api/v1/sockets?" + query.Encode())
		var page struct {
			Sockets []openSocket
			Next    string
		}
		if err == nil {
			err = json.Unmarshal(body, &page)
		}
		if err != nil || status != http.StatusOK {
			p.t.Fatalf("GET /api/v1/sockets: status %d, %v: %s", status, err, body)
		}
		all = append(all, page.Sockets...)
		if page.Next == "" {
			return all
		}
		query.Set("cursor", page.Next)
	}
}

// The ledger's counts are the clients' own, to the byte and the frame.
func TestLedgerIsExact(t *testing.T) {
	t.Parallel()
	backends := startArenas(t, 3)
	p := start(t, setup{rest: site(backends, "balance: least_conn", "sticky: {by: query, name: room, ttl: 5m}")})
	sockets := scale(9000, 600, 60)
	const rooms = 7
	early := openPeers(t, p.web, "/?room=early", scale(1000, 60, 10)) // gone before the ledger is asked
	var gone flow
	for i, peer := range early {
		text := strings.Repeat("x", i%300)
		gone.Frames++
		gone.Bytes += uint64(len(testkit.Text(text).Mask().Append(nil)))
		if err := peer.echo(text); err != nil {
			t.Fatalf("early peer %d: %v", i, err)
		}
	}
	closePeers(early)
	p.awaitIdle("web")
	var peers []*peer
	for room := range rooms {
		peers = append(peers, openPeers(t, p.web, fmt.Sprintf("/?room=secret-%d", room), (sockets+room)/rooms)...)
	}
	if len(peers) != sockets {
		t.Fatalf("%d peers", len(peers))
	}

	// Each client talks as often as its number says, and counts.
	sent := make([]flow, len(peers))
	var all sync.WaitGroup
	for worker := range 16 {
		all.Go(func() {
			for i := worker; i < len(peers); i += 16 {
				for n := range 1 + i%5 {
					text := strings.Repeat("x", (i*37+n*131)%70_000)
					if i%50 > 0 {
						text = text[:len(text)%200]
					}
					sent[i].Frames++
					sent[i].Bytes += uint64(len(testkit.Text(text).Mask().Append(nil)))
					if err := peers[i].echo(text); err != nil {
						t.Errorf("peer %d: %v", i, err)
						return
					}
				}
			}
		})
	}
	all.Wait()
	if t.Failed() {
		return
	}

	listed := p.ledger(url.Values{})
	if len(listed) != sockets {
		t.Fatalf("the ledger has %d sockets, want %d", len(listed), sockets)
	}
	var in, out, want, back flow
	seen := map[string]bool{}
	perKey := map[string]int{}
	for _, s := range listed {
		in.Bytes, in.Frames = in.Bytes+s.In.Bytes, in.Frames+s.In.Frames
		out.Bytes, out.Frames = out.Bytes+s.Out.Bytes, out.Frames+s.Out.Frames
		perKey[s.Key]++
		if seen[s.ID] || s.Pool != "web" || s.Client != "127.0.0.1" || s.Key == "" || strings.Contains(s.Key, "secret") {
			t.Errorf("socket %+v", s)
		}
		seen[s.ID] = true
	}
	for i := range sent {
		want.Frames += sent[i].Frames
		want.Bytes += sent[i].Bytes
		back.Frames += sent[i].Frames
		back.Bytes += sent[i].Bytes - 4*sent[i].Frames // an echo has no mask
	}
	if in != want || out != back {
		t.Errorf("the ledger says %+v in and %+v out, the clients %+v and %+v", in, out, want, back)
	}
	// What the process counts has those that are gone, too.
	var total struct {
		In  flow `json:"client_to_backend"`
		Out flow `json:"backend_to_client"`
	}
	if _, body, err := p.adminGet("/api/v1/status"); err != nil || json.Unmarshal(body, &total) != nil {
		t.Fatalf("status: %s, %v", body, err)
	}
	want.Frames, want.Bytes = want.Frames+gone.Frames, want.Bytes+gone.Bytes
	back.Frames, back.Bytes = back.Frames+gone.Frames, back.Bytes+gone.Bytes-4*gone.Frames
	if total.In != want || total.Out != back {
		t.Errorf("the process says %+v in and %+v out, the clients %+v and %+v", total.In, total.Out, want, back)
	}
	t.Logf("%d sockets: %+v in, %+v out; with %d that are gone: %+v in, %+v out", sockets, in, out, len(early), total.In, total.Out)
	if len(perKey) != rooms {
		t.Errorf("%d keys for %d rooms: %v", len(perKey), rooms, perKey)
	}

	// One of them, one room, one backend, one address.
	f := func(want int, pairs ...string) []openSocket {
		t.Helper()
		q := url.Values{}
		for i := 0; i < len(pairs); i += 2 {
			q.Set(pairs[i], pairs[i+1])
		}
		got := p.ledger(q)
		if len(got) != want {
			t.Errorf("%v: %d sockets, want %d", pairs, len(got), want)
		}
		return got
	}
	room := f((sockets+3)/rooms, "key", "secret-3")
	for _, s := range room {
		if s.Backend != room[0].Backend || s.Key != room[0].Key {
			t.Errorf("one room, two backends or keys: %+v and %+v", s, room[0])
		}
	}
	counts := p.sockets("web")
	f(counts[0], "pool", "web", "backend", "b1")
	f(sockets, "address", "127.0.0.0/8")
	f(0, "address", "192.0.2.1")
	f(0, "pool", "other")
}

// An operator closes one socket: its client reads the Close, and the others
// nothing.
func TestCloseOneSocket(t *testing.T) {
	t.Parallel()
	b := startArena(t, "b1")
	p := start(t, setup{rest: siteOf([]string{b.Addr}, "balance: least_conn", "sticky: {by: query, name: room, ttl: 5m}")})
	cheat := openPeers(t, p.web, "/?room=cheat", 1)[0]
	others := openPeers(t, p.web, "/?room=fair", 3)
	found := p.ledger(url.Values{"key": {"cheat"}})
	if len(found) != 1 {
		t.Fatalf("%d sockets with that key", len(found))
	}
	out, _, status := p.holdfast("sockets", "--key", "cheat")
	if status != 0 || !strings.Contains(out, found[0].ID) || !strings.Contains(out, "1 of 1 socket\n") {
		t.Errorf("sockets: %d\n%s", status, out)
	}

	p.says(0, "is told Close 4001", "close", found[0].ID, "--code", "4001", "--reason", "cheating")
	frame, err := testkit.ReadFrame(cheat.r)
	if err != nil || frame.CloseCode() != 4001 || string(frame.Payload[2:]) != "cheating" {
		t.Errorf("the client reads %+v, %v", frame, err)
	}
	cheat.Close()
	testkit.Eventually(t, patience, func() bool { return len(p.ledger(url.Values{})) == 3 }, "the socket has ended")
	p.says(1, "no open socket has the id", "close", found[0].ID)
	p.says(1, "no open socket has the id", "close", "7")
	for _, o := range others {
		if err := o.echo("still here"); err != nil {
			t.Errorf("another socket: %v", err)
		}
	}
	// The log line says who it was.
	testkit.Eventually(t, patience, func() bool { return strings.Contains(p.read("access.log"), `"cheating"`) }, "the access log has the reason")
	p.explained("HF-7011")
}
