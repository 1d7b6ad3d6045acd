//go:build linux && (amd64 || arm64)

package main

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-lb/holdfast/balancer"
	"github.com/holdfast-lb/holdfast/internal/handoff"
	"github.com/holdfast-lb/holdfast/internal/testkit"
	"github.com/holdfast-lb/holdfast/proxy"
	"github.com/holdfast-lb/holdfast/relay"
)

// heir is a successor in this process, whose predecessor is the test.
type heir struct {
	channel *handoff.Conn
	fd      int // of channel
	backend balancer.Key
	socket  string // of its listener
	signals chan os.Signal
	ended   chan error
}

// streams are both ends of a connection; the first is a descriptor.
func streams(t *testing.T) (int, net.Conn) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fds[1]), "stream")
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	return fds[0], c
}

// succeedTo starts a successor and tells it that its backend has that mode.
func succeedTo(t *testing.T, mode balancer.Mode) *heir {
	t.Helper()
	dir, err := os.MkdirTemp("", "holdfast") // short, for a Unix socket's name
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	h := &heir{
		backend: balancer.Key{Pool: "web", Scheme: "http", Address: "127.0.0.1:9"}, socket: filepath.Join(dir, "s"),
		signals: make(chan os.Signal, 2), ended: make(chan error, 1),
	}
	file := filepath.Join(dir, "holdfast.yaml")
	text := fmt.Sprintf("log: {level: error, access: \"off\"}\nshutdown: {deadline: 200ms}\nlisteners: [{name: web, address: \"unix:%s\"}]\n"+
		"routes: [{name: all, path: /, pool: web}]\npools: {web: {backends: [{url: \"http://%s\"}]}}\n", h.socket, h.backend.Address)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	h.fd = fds[0]
	second, err := syscall.Dup(h.fd)
	if err != nil {
		t.Fatal(err)
	}
	if h.channel, err = handoff.Open(second); err != nil {
		t.Fatal(err)
	}
	h.channel.SetDeadline(time.Now().Add(10 * time.Second))
	if err := h.channel.Send(wordHello, hello{Registry: &balancer.Carried{Backends: []balancer.CarriedBackend{{Key: h.backend, Mode: mode}}}}); err != nil {
		t.Fatal(err)
	}
	if err := h.channel.Send(wordStart, nil); err != nil {
		t.Fatal(err)
	}
	t.Setenv(upgradeVariable, strconv.Itoa(fds[1]))
	cmd := &cobra.Command{}
	cmd.SetErr(io.Discard)
	go func() { h.ended <- serve(cmd, &source{path: file, overrides: map[string]any{}}, "", h.signals) }()
	t.Cleanup(func() {
		h.gone()
		h.signals <- syscall.SIGTERM
		if err := <-h.ended; err != nil {
			t.Errorf("the successor ends with %v", err)
		}
	})
	return h
}

// gone ends the predecessor.
func (h *heir) gone() {
	if h.fd >= 0 {
		h.channel.Close()
		_ = syscall.Close(h.fd)
		h.fd = -1
	}
}

// hears fails the test unless that word comes.
func (h *heir) hears(t *testing.T, word byte) *handoff.Frame {
	t.Helper()
	f, err := h.channel.Receive()
	if err != nil || f.Kind != word {
		t.Fatalf("word %d is awaited, %+v came, %v", word, f, err)
	}
	return f
}

// hands has the successor take a socket. It returns the ends that are not its.
func (h *heir) hands(t *testing.T) (client, backend net.Conn) {
	t.Helper()
	clientFD, client := streams(t)
	backendFD, backend := streams(t)
	defer syscall.Close(clientFD)
	defer syscall.Close(backendFD)
	list := sockets{{Route: "all", Backend: h.backend, Client: netip.MustParseAddr("192.0.2.1"), Relay: relay.Carried{ID: 1}}}
	if err := h.channel.Send(wordSockets, []proxy.CarriedSocket(list), clientFD, backendFD); err != nil {
		t.Fatal(err)
	}
	var got taken
	if err := h.hears(t, wordTaken).Decode(&got); err != nil || got.None || got.refused(1)[0] {
		t.Fatalf("the socket is not taken: %+v, %v", got, err)
	}
	return client, backend
}

// A predecessor that dies before it has said what becomes of its drains leaves
// none undone.
func TestDrainsGoOnWithoutAWord(t *testing.T) {
	h := succeedTo(t, balancer.Drain)
	h.hears(t, wordReady)
	if err := h.channel.Send(wordGo, nil); err != nil {
		t.Fatal(err)
	}
	client, _ := h.hands(t)
	h.gone()
	if f, err := testkit.ReadFrame(client); err != nil || f.CloseCode() != 1012 {
		t.Errorf("a client of a backend that is drained reads %+v, %v; want Close 1012", f, err)
	}
}

// A predecessor that dies before it has heard that the successor is ready leaves
// the service to that.
func TestSuccessorGoesOnAlone(t *testing.T) {
	h := succeedTo(t, balancer.Ready)
	var head [1]byte
	testkit.Eventually(t, 10*time.Second, func() bool {
		n, _, err := syscall.Recvfrom(h.fd, head[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		return err == nil && n > 0
	}, "the successor says that it is ready")
	h.gone()
	select {
	case err := <-h.ended:
		t.Errorf("the successor ends with %v", err)
		h.ended <- nil
	case <-time.After(100 * time.Millisecond):
	}
	c, err := net.Dial("unix", h.socket)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}
