package balancer

import (
	"slices"
	"testing"

	"github.com/holdfast-lb/holdfast/config"
)

func TestFirstFillsInOrder(t *testing.T) {
	c := probed(config.Pool{Balance: "first", Backends: backendsOf(1, 9, 1)})
	c.Backends[0].MaxConnections, c.Backends[1].MaxConnections = 2, 3
	r, p := compiled(t, c)
	var names []string
	var leases []Lease
	for range 7 {
		l := pick(t, p, Query{})
		names, leases = append(names, l.Backend().Name()), append(leases, l)
	}
	if want := []string{"b0", "b0", "b1", "b1", "b1", "b2", "b2"}; !slices.Equal(names, want) {
		t.Fatalf("picked %v, want %v", names, want)
	}
	leases[2].Done()
	if got := nameOf(t, p, Query{}); got != "b1" {
		t.Errorf("picked %s, want b1, which has room again", got)
	}
	leases[0].Done()
	setHealth(t, r, p, 0, false)
	if got := nameOf(t, p, Query{}); got != "b1" {
		t.Errorf("picked %s, want b1 while b0 is down", got)
	}
}
