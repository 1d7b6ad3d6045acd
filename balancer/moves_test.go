package balancer

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/config"
)

// randomPools is one to three pools out of four, with backends out of eight
// addresses, sticky by query, by cookie or not at all.
func randomPools(r *rand.Rand) map[string]config.Pool {
	pools := map[string]config.Pool{}
	for _, name := range r.Perm(4)[:1+r.IntN(3)] {
		c := config.Pool{Balance: []string{"least_conn", "random", "hash", "first"}[r.IntN(4)]}
		for _, i := range r.Perm(8)[:1+r.IntN(7)] {
			c.Backends = append(c.Backends, config.Backend{
				Name: fmt.Sprint("b", i, "-", r.IntN(2)), URL: fmt.Sprintf("http://10.0.0.%d:9000", i), Weight: 1 + r.IntN(3),
			})
		}
		switch r.IntN(5) {
		case 0:
		case 1:
			c.Sticky = &config.Sticky{By: "cookie", Name: []string{"id", "who"}[r.IntN(2)]}
		default:
			c.Sticky = &config.Sticky{By: "query", Name: "room", TTL: time.Hour * time.Duration(1+r.IntN(2)), MaxEntries: 1000}
		}
		pools[fmt.Sprint("p", name)] = c
	}
	return pools
}

// leads tells whether a client with that cookie is given that backend.
func leads(p *Pool, cookie string, home *Backend) bool {
	id, ok := p.Sticky().Decode([]byte(cookie))
	if !ok {
		return false
	}
	l, err := p.Pick(&Query{StickyBackend: id}, nil)
	if err != nil {
		return false
	}
	defer l.Done()
	return l.Backend().Key() == home.Key()
}

// What Moves says of a reload is what the reload then does, on 200 random
// pairs of configurations.
func TestMovesIsWhatCommitDoes(t *testing.T) {
	moved, kept := 0, 0
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 7))
		registry := NewRegistry()
		compile := func() *Pools {
			ps, err := registry.Compile(randomPools(r))
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			return ps
		}
		pick := func(ps *Pools, pool string, key int) *Backend {
			l, err := ps.Pool(pool).Pick(&Query{StickyKey: fmt.Appendf(nil, "room-%d", key)}, nil)
			if err != nil {
				t.Fatalf("seed %d: pick: %v", seed, err)
			}
			l.Done()
			return l.Backend()
		}
		before := compile()
		registry.Commit(before)
		const keys = 50
		homes := map[string][]*Backend{}
		var open []*Lease
		for _, p := range before.All() {
			for key := range keys {
				homes[p.Name()] = append(homes[p.Name()], pick(before, p.Name(), key))
			}
			for range 3 { // of whom Moves knows by their cookies
				l, err := p.Pick(&Query{Kind: Socket}, nil)
				if err != nil {
					t.Fatalf("seed %d: pick: %v", seed, err)
				}
				l.Opened()
				open = append(open, &l)
			}
		}

		after := compile()
		says := registry.Moves(after)
		registry.Commit(after)
		for _, p := range before.All() {
			m, told := says[p.Name()]
			if told != (p.Sticky() != nil) {
				t.Fatalf("seed %d: pool %s: told of keys: %v, is sticky: %v", seed, p.Name(), told, !told)
			}
			if !told {
				continue
			}
			want := Moves{}
			next := after.Pool(p.Name())
			if p.Sticky().By() == "cookie" {
				want.Carried = true
				for _, l := range open {
					home := l.Backend()
					if home.Key().Pool != p.Name() {
						continue
					}
					want.Keys++
					if next == nil || next.Sticky() == nil || next.Sticky().Name() != p.Sticky().Name() || !leads(next, p.Sticky().Encode(home), home) {
						want.Moved++
					}
				}
				if m != want {
					t.Fatalf("seed %d: pool %s: said %+v, came %+v", seed, p.Name(), m, want)
				}
				moved, kept = moved+m.Moved, kept+m.Keys-m.Moved
				continue
			}
			table := next != nil && next.Sticky() != nil && next.Sticky().By() == "query"
			for key, home := range homes[p.Name()] {
				want.Keys++
				// Without a table nothing is remembered, wherever the next pick goes.
				if !table || pick(after, p.Name(), key).Key() != home.Key() {
					want.Moved++
				}
			}
			if m != want {
				t.Fatalf("seed %d: pool %s: said %+v, came %+v", seed, p.Name(), m, want)
			}
			moved, kept = moved+m.Moved, kept+m.Keys-m.Moved
		}
		for _, l := range open {
			l.Done()
		}
	}
	if moved < 1000 || kept < 1000 {
		t.Errorf("%d keys moved and %d stayed: the configurations are too much alike", moved, kept)
	}
}
