package main

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/holdfast-lb/holdfast/balancer"
	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// randomPools is one to three pools out of four, with backends out of eight
// addresses.
func randomPools(r *rand.Rand) map[string]config.Pool {
	pools := map[string]config.Pool{}
	for _, name := range r.Perm(4)[:1+r.IntN(3)] {
		var c config.Pool
		for _, i := range r.Perm(8)[:1+r.IntN(7)] {
			c.Backends = append(c.Backends, config.Backend{
				Name: fmt.Sprint("b", i, "-", r.IntN(2)), URL: fmt.Sprintf("http://10.0.0.%d:9000", i), Weight: 1 + r.IntN(2),
			})
		}
		pools[fmt.Sprint("p", name)] = c
	}
	return pools
}

// The plan says of each backend what a reload then does with it, over chains
// of random configurations with sockets open: 200 reloads.
func TestPlanIsWhatAReloadDoes(t *testing.T) {
	fates := map[string]int{}
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 5))
		registry := balancer.NewRegistry()
		var leases []*balancer.Lease
		current, err := registry.Compile(randomPools(r))
		if err != nil {
			t.Fatal(err)
		}
		registry.Commit(current)
		for step := range 10 {
			for _, p := range current.All() {
				for range r.IntN(20) {
					l, err := p.Pick(&balancer.Query{Kind: balancer.Socket}, nil)
					if err != nil {
						t.Fatal(err)
					}
					l.Opened()
					leases = append(leases, &l)
				}
			}
			for range r.IntN(10) { // some end
				if len(leases) > 0 {
					i := r.IntN(len(leases))
					leases[i].Done()
					leases = append(leases[:i], leases[i+1:]...)
				}
			}
			before := registry.Snapshot()
			next, err := registry.Compile(randomPools(r))
			if err != nil {
				t.Fatal(err)
			}
			plan := planBackends(before, next)
			registry.Commit(next)
			current = next

			was, now := map[string]balancer.BackendStatus{}, map[string]balancer.BackendStatus{}
			for _, b := range before {
				was[b.Pool+" "+b.Scheme+"://"+b.Address] = b
			}
			for _, b := range registry.Snapshot() {
				now[b.Pool+" "+b.Scheme+"://"+b.Address] = b
			}
			seen := 0
			for _, p := range plan {
				key := p.Pool + " " + p.Address
				old, had := was[key]
				b, has := now[key]
				want := ""
				switch {
				case has && !b.Retired && !had:
					want = "add"
				case has && !b.Retired && old.Retired:
					want = "return"
				case has && !b.Retired && (old.Name != b.Name || old.Weight != b.Weight || old.MaxConnections != b.MaxConnections):
					want = "change"
				case has && !b.Retired:
					want = "stay"
				case old.Retired:
					want = "retired"
				default:
					want = "retire"
				}
				if p.Fate != want || has && (p.Sockets != int64(b.Sockets) || p.Name != b.Name) || !has && p.Sockets != 0 {
					t.Fatalf("seed %d, reload %d: planned %+v, came %q: %+v", seed, step, p, want, b)
				}
				fates[p.Fate]++
				if has {
					seen++
				}
			}
			if seen != len(now) {
				t.Fatalf("seed %d, reload %d: the plan has %d of %d backends", seed, step, seen, len(now))
			}
		}
		for _, l := range leases {
			l.Done()
		}
	}
	for _, fate := range []string{"stay", "change", "add", "return", "retire", "retired"} {
		if fates[fate] < 20 {
			t.Errorf("%s came up %d times: %v", fate, fates[fate], fates)
		}
	}
}
