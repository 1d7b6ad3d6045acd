package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// TestNetworkFaults has a real process meet what happens to networks, names and
// disks, in a network and with mounts of its own.
func TestNetworkFaults(t *testing.T) {
	if os.Getenv(ownNetwork) == "" {
		t.Parallel()
		apart(t)
		return
	}
	if err := ip("link", "set", "lo", "up"); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		t.Fatalf("make mounts private: %v", err)
	}
	for name, f := range map[string]func(*testing.T){
		"slow and lossy": slowAndLossy, "lost": lostLink, "half open": halfOpen, "resolver hangs": resolverHangs, "disk full": diskFull,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(t)
		})
	}
}

// Messages over a link of 200 ms that loses five packets in a hundred arrive
// whole and in order, and no backend is given up for it.
func slowAndLossy(t *testing.T) {
	const sockets, messages = 8, 2
	h := startHost(t)
	p := start(t, setup{rest: "routes: [{name: all, path: /, pool: web, timeouts: {connect: 10s}}]\n" +
		pool("web", []string{h.addr}, "health: {type: websocket, interval: 10s, timeout: 10s, rise: 1}", "passive: {failures: 2}")})
	testkit.Eventually(t, patience, func() bool { return p.metric("holdfast_backend_up") == 1 }, "the backend is up")
	h.wire.set(100*time.Millisecond, 5)
	peers := openPeers(t, p.web, "/", sockets)
	var all sync.WaitGroup
	for i, peer := range peers {
		all.Go(func() {
			for k := range messages {
				began := time.Now()
				if err := peer.echo(strings.Repeat(fmt.Sprintf("%d says %d. ", i, k), 300)); err != nil {
					t.Errorf("socket %d, message %d: %v", i, k, err)
				}
				if took := time.Since(began); took < 200*time.Millisecond {
					t.Errorf("a message took %v to and fro: the wire is too fast", took)
				}
			}
		})
	}
	all.Wait()
	for _, direction := range []string{"client_to_backend", "backend_to_client"} {
		if n := p.metric("holdfast_relay_frames_total", `direction="`+direction+`"`, `opcode="text"`); n != sockets*messages {
			t.Errorf("%s: %v messages are counted, want %d", direction, n, sockets*messages)
		}
	}
	b := p.backend("web", "b1")
	if b.State != "up" || b.Ejected != nil {
		t.Errorf("the backend is %s, ejected: %v", b.State, b.Ejected)
	}
	t.Logf("%d packets were lost", h.wire.lost.Load())
}

// A link that is lost for a while: sockets whose route asks for signs of life
// end with 1001, the others go on where they were, and the backend gets nothing
// new meanwhile.
func lostLink(t *testing.T) {
	h := startHost(t)
	p := start(t, setup{rest: `routes:
  - {name: watched, path: /watched, pool: web, websocket: {ping_interval: 1s, ping_backend: true}}
  - {name: kept, path: /, pool: web, retries: 0, timeouts: {connect: 500ms}}
` + pool("web", []string{h.addr}, "health: {type: tcp, interval: 1s, rise: 1, fall: 2}")})
	testkit.Eventually(t, patience, func() bool { return p.metric("holdfast_backend_up") == 1 }, "the backend is up")
	kept, watched := openPeers(t, p.web, "/", 1)[0], openPeers(t, p.web, "/watched", 1)[0]
	for _, peer := range []*peer{kept, watched} {
		if err := peer.echo("before"); err != nil {
			t.Fatal(err)
		}
	}
	h.wire.set(0, 100)
	_ = watched.SetDeadline(time.Now().Add(patience))
	for {
		f, err := testkit.ReadFrame(watched.r)
		if err != nil {
			t.Fatalf("the watched socket ends with %v", err)
		}
		if f.Opcode == testkit.OpPing {
			_, _ = watched.Write(testkit.Frame{Fin: true, Opcode: testkit.OpPong, Payload: f.Payload}.Mask().Append(nil))
			continue
		}
		if f.CloseCode() != 1001 {
			t.Errorf("the watched socket ends with code %d", f.CloseCode())
		}
		break
	}
	testkit.Eventually(t, patience, func() bool { return p.metric("holdfast_backend_up") == 0 }, "the backend is down")
	if resp, body := exchange(t, p.web, get("/")); resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a request meanwhile: %d %s", resp.StatusCode, body)
	}
	during := make(chan error, 1)
	go func() { during <- kept.echo("during") }()
	testkit.Eventually(t, patience, func() bool {
		return p.metric("holdfast_relay_frames_total", `direction="client_to_backend"`, `opcode="text"`) == 3
	}, "the message is under way")
	h.wire.set(0, 0)
	if err := <-during; err != nil {
		t.Errorf("the kept socket: %v", err)
	}
	testkit.Eventually(t, patience, func() bool {
		peer, err := openPeer(p.web, "/")
		if err != nil {
			return false
		}
		defer peer.Close()
		return peer.echo("after") == nil
	}, "the backend is used again")
}

// A backend that has forgotten its sockets, without anybody having heard: the
// first message shows it, and its client reads the end.
func halfOpen(t *testing.T) {
	h := startHost(t)
	p := start(t, setup{rest: siteOf([]string{h.addr})})
	peer := openPeers(t, p.web, "/", 1)[0]
	if err := peer.echo("before"); err != nil {
		t.Fatal(err)
	}
	h.wire.set(0, 100)
	h.crash()
	testkit.Eventually(t, patience, func() bool { return h.wire.resets.Load() > 0 }, "the news of it is lost")
	h.wire.set(0, 0)
	if n := p.sockets("web"); n[0] != 1 {
		t.Errorf("sockets by backend: %v", n)
	}
	if err := peer.echo("to nobody"); err == nil {
		t.Error("the message was answered")
	}
	testkit.Eventually(t, patience, func() bool { return p.sockets("web")[0] == 0 }, "the socket has ended")
	again := openPeers(t, p.web, "/", 1)[0]
	if err := again.echo("after"); err != nil {
		t.Error(err)
	}
}

// A resolver that says nothing keeps those waiting who need it, as long as
// timeouts.connect, and nobody else: neither other routes nor reloads. Once it
// answers, all is well.
func resolverHangs(t *testing.T) {
	ask, err := net.ListenPacket("udp", "127.0.0.1:53")
	if err != nil {
		t.Fatal(err)
	}
	defer ask.Close()
	var speaks atomic.Bool
	var asked atomic.Int32
	go func() {
		b := make([]byte, 1500)
		for {
			n, from, err := ask.ReadFrom(b)
			if err != nil {
				return
			}
			if asked.Add(1); speaks.Load() {
				_, _ = ask.WriteTo(localhost(b[:n]), from)
			}
		}
	}()
	conf := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(conf, []byte("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount(conf, "/etc/resolv.conf", "", syscall.MS_BIND, ""); err != nil {
		t.Fatalf("mount: %v", err)
	}
	defer func() { _ = syscall.Unmount("/etc/resolv.conf", 0) }()

	b := startArena(t, "b1")
	_, port, _ := net.SplitHostPort(b.Addr)
	rest := func(balance string) string {
		return `routes:
  - {name: named, path: /named, pool: named, retries: 0, timeouts: {connect: 700ms}}
  - {name: all, path: /, pool: web}
pools:
` + onePool("named", []string{"game.example.net:" + port}, "balance: "+balance, "health: {type: tcp, initial: up, interval: 1h}") + onePool("web", []string{b.Addr})
	}
	p := start(t, setup{rest: rest("random"), env: []string{"GODEBUG=netdns=go"}})
	waiting := make(chan string, 2)
	for _, raw := range []string{get("/named"), testkit.HandshakeRequest(p.web, "/named")} {
		c := testkit.DialTCP(t, p.web)
		c.Send(raw)
		go func() {
			line, _ := c.R.ReadString('\n')
			waiting <- line
		}()
	}
	testkit.Eventually(t, patience, func() bool { return asked.Load() > 0 }, "the resolver is asked")
	peer := openPeers(t, p.web, "/", 1)[0]
	if err := peer.echo("meanwhile"); err != nil {
		t.Error(err)
	}
	p.write(rest("first"))
	p.reload()
	if p.metric("holdfast_last_reload_successful") != 1 {
		t.Error("the reload failed")
	}
	for range 2 {
		select {
		case line := <-waiting:
			if !strings.HasPrefix(line, "HTTP/1.1 50") {
				t.Errorf("who needs the name reads %q", line)
			}
		case <-time.After(patience):
			t.Fatal("who needs the name waits for ever")
		}
	}
	speaks.Store(true)
	testkit.Eventually(t, patience, func() bool {
		resp, _ := exchange(t, p.web, get("/named", "Connection: close"))
		return resp.StatusCode == http.StatusOK
	}, "the name is found")
	sock := openPeers(t, p.web, "/named", 1)[0]
	if err := sock.echo("at last"); err != nil {
		t.Error(err)
	}
}

// localhost is a DNS answer (RFC 1035, section 4.1): 127.0.0.1 to a question
// for an IPv4 address, and nothing to others.
func localhost(query []byte) []byte {
	end := 12
	for query[end] != 0 {
		end += 1 + int(query[end])
	}
	end += 5
	a := bytes.Clone(query[:end])
	copy(a[2:], "\x81\x80\x00\x01\x00\x00\x00\x00\x00\x00")
	if a[end-3] == 1 {
		a[7] = 1
		a = append(a, "\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x00\x00\x04\x7f\x00\x00\x01"...)
	}
	return a
}

// A disk that is full loses lines of the access log, which are counted, and
// keeps certificates from being stored, which is told. Traffic and reloads go
// on, and so does the log when there is room again.
func diskFull(t *testing.T) {
	disk := t.TempDir()
	if err := syscall.Mount("none", disk, "tmpfs", 0, "size=64k"); err != nil {
		t.Fatalf("mount: %v", err)
	}
	defer func() { _ = syscall.Unmount(disk, syscall.MNT_DETACH) }()
	filler := filepath.Join(disk, "filler")
	_ = os.WriteFile(filler, make([]byte, 1<<20), 0o600) // as much as there is room for
	log := filepath.Join(disk, "access.log")
	b := startArena(t, "b1")
	p := start(t, setup{
		rest: site([]*arena{b}), log: fmt.Sprintf("access: %q", log),
		listener: fmt.Sprintf("redirect_https: 0}, {name: secure, address: %q, tls: {acme: {domains: [a.example], directory: %q, storage: %q}}",
			freeAddr(t), "https://127.0.0.1:1/directory", filepath.Join(disk, "acme")),
	})
	peer := openPeers(t, p.web, "/", 1)[0]
	c := testkit.DialTCP(t, p.web)
	ask := func() {
		t.Helper()
		c.Send(get("/"))
		resp := c.ReadResponse(patience)
		if body, err := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK || string(body) != "b1" {
			t.Fatalf("status %d, %q, %v", resp.StatusCode, body, err)
		}
	}
	testkit.Eventually(t, patience, func() bool {
		ask()
		return p.metric("holdfast_access_log_dropped_total") > 0
	}, "lines are lost")
	p.write(site([]*arena{b}, "balance: first"))
	p.reload()
	if p.metric("holdfast_last_reload_successful") != 1 {
		t.Error("the reload failed")
	}
	if err := peer.echo("still here"); err != nil {
		t.Error(err)
	}
	p.logged(`"code":"HF-5104"`)
	p.logged("no space left")

	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, patience, func() bool {
		ask()
		return strings.Count(mustRead(t, log), "\n") > 1
	}, "the log goes on")
}
