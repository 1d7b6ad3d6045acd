package proxy

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/balancer"
	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/metrics"
)

// stuck is a client's connection that cannot be handed over.
type stuck struct{ net.Conn }

func (stuck) Detach() (int, Place, error) { return -1, nil, errors.New("too many open files") }

// hijacked is such a connection as fasthttp gives it to a hijacker.
type hijacked struct{ stuck }

func (h hijacked) UnsafeConn() net.Conn { return h.stuck }

// A handover that fails is answered, returns the lease, and closes no
// descriptor that is not its own. 0 was the one that it closed.
func TestFailedHandover(t *testing.T) {
	registry := balancer.NewRegistry()
	pools, err := registry.Compile(map[string]config.Pool{"p": {Balance: "first", Backends: []config.Backend{{URL: "http://127.0.0.1:1", Weight: 1}}}})
	if err != nil {
		t.Fatal(err)
	}
	lease, err := pools.Pool("p").Pick(&balancer.Query{Kind: balancer.Socket}, nil)
	if err != nil {
		t.Fatal(err)
	}
	m := metrics.New()
	p := New(Options{Metrics: m, Log: slog.New(slog.DiscardHandler)})
	s := &socket{p: p, route: &route{metrics: m.Route("r")}, lease: lease, fd: -1, id: newRequestID(), call: &calling{}}
	p.owes.Add(1)

	zero := func() string { name, _ := os.Readlink("/proc/self/fd/0"); return name }
	before := zero()
	client, server := net.Pipe()
	defer client.Close()
	answer := make(chan string, 1)
	go func() {
		_ = client.SetReadDeadline(time.Now().Add(5 * time.Second))
		b, _ := io.ReadAll(client)
		answer <- string(b)
	}()
	s.take(hijacked{stuck{server}})
	_ = server.Close()
	if got := <-answer; !strings.HasPrefix(got, "HTTP/1.1 503 ") || !strings.Contains(got, "HF-4004 too many connections are open (overloaded, request ") {
		t.Errorf("the client read %q", got)
	}
	if after := zero(); after != before {
		t.Errorf("descriptor 0 was %q and is %q", before, after)
	}
	var st syscall.Stat_t
	if err := syscall.Fstat(0, &st); err != nil {
		t.Errorf("descriptor 0: %v", err)
	}
	if lease.Backend().State().Active() != 0 {
		t.Error("the lease was not returned")
	}
	p.Close()
}
