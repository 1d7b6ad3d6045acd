package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// backendStatus is a backend as /api/v1/pools shows it.
type backendStatus struct {
	Name    string
	Address string
	State   string
	Mode    string
	Usable  bool
	Retired bool
	Weight  int
	Why     string
	Active  struct{ Sockets, Requests, Handshakes int }
	Drain   *struct {
		Sockets, Left, Closed, Forced int
		Deadline                      time.Time
	}
	Ejected *struct{ Why string }
	Report  *struct {
		Load     *float64
		Capacity int
		Drain    bool
	}
}

// backends returns the backends of a pool in the order of the configuration.
func (p *process) backends(pool string) []backendStatus {
	p.t.Helper()
	status, body, err := p.adminGet("/api/v1/pools")
	if err != nil || status != http.StatusOK {
		p.t.Fatalf("GET /api/v1/pools: status %d, %v", status, err)
	}
	var answer struct {
		Pools []struct {
			Name     string
			Backends []backendStatus
		}
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		p.t.Fatalf("GET /api/v1/pools: %v in %s", err, body)
	}
	for _, candidate := range answer.Pools {
		if candidate.Name == pool {
			return candidate.Backends
		}
	}
	p.t.Fatalf("GET /api/v1/pools: no pool %q in %s", pool, body)
	return nil
}

// backend returns one backend of a pool.
func (p *process) backend(pool, name string) backendStatus {
	p.t.Helper()
	for _, b := range p.backends(pool) {
		if b.Name == name {
			return b
		}
	}
	p.t.Fatalf("pool %s has no backend %q", pool, name)
	return backendStatus{}
}

// awaitState waits until health checks have found a backend up or down.
func (p *process) awaitState(pool, name, state string) {
	p.t.Helper()
	testkit.Eventually(p.t, patience, func() bool { return p.backend(pool, name).State == state },
		fmt.Sprintf("backend %s of %s is %s", name, pool, state))
}

// sockets returns the open sockets of each backend of a pool.
func (p *process) sockets(pool string) []int {
	p.t.Helper()
	var n []int
	for _, b := range p.backends(pool) {
		n = append(n, b.Active.Sockets)
	}
	return n
}

// awaitIdle waits until no backend of a pool carries anything.
func (p *process) awaitIdle(pool string) {
	p.t.Helper()
	testkit.Eventually(p.t, patience, func() bool {
		for _, b := range p.backends(pool) {
			if b.Active.Sockets+b.Active.Requests+b.Active.Handshakes != 0 {
				return false
			}
		}
		return true
	}, "all leases of pool "+pool+" are returned")
}

// metric returns the sum of all samples of that name whose labels include
// those given, such as `result="success"`.
func (p *process) metric(name string, labels ...string) float64 {
	p.t.Helper()
	status, body, err := p.adminGet("/metrics")
	if err != nil || status != http.StatusOK {
		p.t.Fatalf("GET /metrics: status %d, %v", status, err)
	}
	return sumMetric(p.t, string(body), name, labels...)
}

// counted waits until metric is n: what a client has read may be counted a moment
// later.
func (p *process) counted(n float64, name string, labels ...string) {
	p.t.Helper()
	var got float64
	defer func() {
		if got != n {
			p.t.Logf("%s%v is %v", name, labels, got)
		}
	}()
	testkit.Eventually(p.t, patience, func() bool {
		got = p.metric(name, labels...)
		return got == n
	}, fmt.Sprintf("%s%v is %v", name, labels, n))
}

// sumMetric is metric for a scrape that has been made.
func sumMetric(t testing.TB, scrape, name string, labels ...string) float64 {
	t.Helper()
	sum, found := 0.0, false
lines:
	for line := range strings.Lines(scrape) {
		rest, ok := strings.CutPrefix(line, name)
		if !ok || rest[0] != '{' && rest[0] != ' ' {
			continue
		}
		space := strings.LastIndexByte(rest, ' ')
		found = true
		for _, label := range labels {
			if !strings.Contains(rest[:space], label) {
				continue lines
			}
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(rest[space:]), 64)
		if err != nil {
			t.Fatalf("GET /metrics: %v in %q", err, line)
		}
		sum += v
	}
	if !found {
		t.Fatalf("GET /metrics: no %s", name)
	}
	return sum
}

// grown runs f and returns by how many bytes the process's resident memory
// was above what it was before, at its highest. It is 0 where the system does
// not tell, and under the race detector, whose shadow memory is not ours.
func (p *process) grown(f func()) int {
	p.t.Helper()
	// Writing 5 makes the kernel measure the peak from now on.
	err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", p.cmd.Process.Pid), []byte("5"), 0)
	if err != nil || raceEnabled {
		f()
		return 0
	}
	before := p.memory("VmRSS:")
	f()
	return p.memory("VmHWM:") - before
}

// memory returns an entry of /proc/PID/status in bytes.
func (p *process) memory(key string) int {
	p.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatalf("read memory of holdfast: %v", err)
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, key); ok {
			n, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(rest), " kB"))
			if err != nil {
				p.t.Fatalf("read memory of holdfast: %v", err)
			}
			return n << 10
		}
	}
	p.t.Fatalf("read memory of holdfast: no %s", key)
	return 0
}
