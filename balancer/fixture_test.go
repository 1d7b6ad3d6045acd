package balancer

import (
	"fmt"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/config"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// balances are all algorithms by their names in the configuration.
var balances = []string{"least_conn", "p2c", "round_robin", "random", "hash", "first"}

// backendsOf makes one backend for each weight: b0 at 10.0.0.0:9000, b1 at
// 10.0.0.1:9000 and so on.
func backendsOf(weights ...int) []config.Backend {
	list := make([]config.Backend, len(weights))
	for i, w := range weights {
		list[i] = config.Backend{
			Name:   fmt.Sprintf("b%d", i),
			URL:    fmt.Sprintf("http://10.0.%d.%d:9000", i/256, i%256),
			Weight: w,
		}
	}
	return list
}

// equal is n weights of 1.
func equal(n int) []int {
	weights := make([]int, n)
	for i := range weights {
		weights[i] = 1
	}
	return weights
}

// compiled is a committed pool called "p" in a registry of its own.
func compiled(t testing.TB, c config.Pool) (*Registry, *Pool) {
	t.Helper()
	r := NewRegistry()
	return r, reload(t, r, c)
}

// reload commits c as the only pool, called "p".
func reload(t testing.TB, r *Registry, c config.Pool) *Pool {
	t.Helper()
	ps, err := r.Compile(map[string]config.Pool{"p": c})
	if err != nil {
		t.Fatal(err)
	}
	r.Commit(ps)
	return ps.Pool("p")
}

// probed is a pool whose backends are up until a verdict says otherwise.
func probed(c config.Pool) config.Pool {
	c.Health = config.Health{Type: "http", Initial: "up"}
	return c
}

// setHealth gives a verdict on p's i-th backend.
func setHealth(t testing.TB, r *Registry, p *Pool, i int, up bool) {
	t.Helper()
	if !r.SetHealth(p.Backends()[i].Key(), up, "test", time.Now()) {
		t.Fatalf("verdict on %s was not taken", p.Backends()[i].Name())
	}
}

// pick is a lease that must be given.
func pick(t testing.TB, p *Pool, q Query) Lease {
	t.Helper()
	l, err := p.Pick(&q, nil)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// nameOf picks, returns the lease at once and tells the backend's name.
func nameOf(t testing.TB, p *Pool, q Query) string {
	t.Helper()
	l := pick(t, p, q)
	l.Done()
	return l.Backend().Name()
}

// activeOf lists the leases out by backend.
func activeOf(p *Pool) []int {
	list := make([]int, len(p.Backends()))
	for i, b := range p.Backends() {
		list[i] = b.State().Active()
	}
	return list
}
