package balancer

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/holdfast-lb/holdfast/config"
)

// homes maps many keys to the addresses that they are sent to while the pool
// is idle.
func homes(t *testing.T, p *Pool) map[string]string {
	t.Helper()
	m := map[string]string{}
	for i := range 3000 {
		key := fmt.Sprintf("room %d", i)
		l := pick(t, p, Query{Hash: HashKey([]byte(key))})
		l.Done()
		m[key] = l.Backend().Address()
	}
	return m
}

func hashPool(backends []config.Backend) config.Pool {
	return probed(config.Pool{Balance: "hash", Backends: backends})
}

// The figures must never change: balancers of different versions stand side by
// side while one is upgraded.
func TestHashIsTheSameEverywhere(t *testing.T) {
	f := func(key string, wantHash uint64, wantHome string) {
		t.Helper()
		if got := HashKey([]byte(key)); got != wantHash {
			t.Errorf("HashKey(%q) = %#x, want %#x", key, got, wantHash)
		}
		_, p := compiled(t, hashPool(backendsOf(1, 2, 3, 4, 5)))
		l := pick(t, p, Query{Hash: HashKey([]byte(key))})
		if got := l.Backend().Address(); got != wantHome {
			t.Errorf("%q is at home at %s, want %s", key, got, wantHome)
		}
	}
	f("", 0xef46db3751d8e999, "10.0.0.4:9000")
	f("room 1", 0xb9eb5be3ed2f8da1, "10.0.0.3:9000")
	f("room 2", 0x6559d2fd4b42233f, "10.0.0.3:9000")
	f("room 3", 0x69ee490f19741a1a, "10.0.0.1:9000")
}

func TestHashGoesByAddressAlone(t *testing.T) {
	backends := backendsOf(1, 2, 1, 3)
	_, p := compiled(t, hashPool(backends))
	want := homes(t, p)
	slices.Reverse(backends)
	for i := range backends {
		backends[i].Name = fmt.Sprintf("renamed-%d", i)
	}
	ps, err := NewRegistry().Compile(map[string]config.Pool{"another": hashPool(backends)})
	if err != nil {
		t.Fatal(err)
	}
	got := homes(t, ps.Pool("another"))
	for key := range want {
		if got[key] != want[key] {
			t.Fatalf("%s moved from %s to %s", key, want[key], got[key])
		}
	}
}

func TestHashSharesByWeight(t *testing.T) {
	f := func(weights ...int) {
		t.Helper()
		_, p := compiled(t, hashPool(backendsOf(weights...)))
		got, total := map[string]int{}, 0
		for _, address := range homes(t, p) {
			got[address]++
		}
		for _, w := range weights {
			total += w
		}
		for i, b := range p.Backends() {
			share, want := float64(got[b.Address()])/3000, float64(weights[i])/float64(total)
			// Four standard deviations.
			if math.Abs(share-want) > 4*math.Sqrt(want*(1-want)/3000) {
				t.Errorf("weights %v: %s has %.3f of the keys, want %.3f", weights, b.Name(), share, want)
			}
		}
	}
	f(1, 1, 1)
	f(1, 2, 1)
	f(1, 10, 100)
	f(equal(50)...)
}

// moved checks that no key moves but from and to the backends that may lose
// and win keys.
func moved(t *testing.T, what string, before, after map[string]string, loses, wins string) {
	t.Helper()
	n := 0
	for key, was := range before {
		is := after[key]
		if is == was {
			continue
		}
		n++
		if loses != "" && was != loses || wins != "" && is != wins {
			t.Fatalf("%s: %s moved from %s to %s", what, key, was, is)
		}
	}
	if n == 0 {
		t.Fatalf("%s: no key moved", what)
	}
}

func TestHashMovesNoKeyWithoutNeed(t *testing.T) {
	backends := backendsOf(1, 1, 2, 1, 1)
	r, p := compiled(t, hashPool(backends))
	before := homes(t, p)
	const third = "10.0.0.2:9000"

	setHealth(t, r, p, 2, false)
	moved(t, "down", before, homes(t, p), third, "")
	setHealth(t, r, p, 2, true)
	for key, was := range homes(t, p) {
		if before[key] != was {
			t.Fatalf("%s has not come back to %s", key, before[key])
		}
	}
	without := slices.Delete(slices.Clone(backends), 2, 3)
	moved(t, "removed", before, homes(t, reload(t, r, hashPool(without))), third, "")
	with := append(slices.Clone(backends), config.Backend{URL: "http://10.9.9.9:9000", Weight: 1})
	moved(t, "added", before, homes(t, reload(t, r, hashPool(with))), "", "10.9.9.9:9000")
	heavier := slices.Clone(backends)
	heavier[2].Weight = 3
	moved(t, "heavier", before, homes(t, reload(t, r, hashPool(heavier))), "", third)
	lighter := slices.Clone(backends)
	lighter[2].Weight = 1
	moved(t, "lighter", before, homes(t, reload(t, r, hashPool(lighter))), third, "")
}

// One room that everybody wants must not bring its server down.
func TestHashBoundsTheLoad(t *testing.T) {
	f := func(leases int, weights ...int) {
		t.Helper()
		_, p := compiled(t, hashPool(backendsOf(weights...)))
		total := 0
		for _, w := range weights {
			total += w
		}
		for range leases {
			pick(t, p, Query{Hash: HashKey([]byte("the only room"))})
		}
		for i, n := range activeOf(p) {
			share := float64(leases) * float64(weights[i]) / float64(total)
			if limit := max(hashFloor, int(math.Ceil(hashSlack*share))); n > limit {
				t.Errorf("weights %v, %d leases: %s has %d, its bound is %d", weights, leases, p.Backends()[i].Name(), n, limit)
			}
		}
	}
	f(1000, 1, 1, 1, 1)
	f(1000, 1, 2, 1)
	f(5000, equal(100)...)
	f(17, 1, 1, 1)
}

func TestHashKeepsSmallRoomsTogether(t *testing.T) {
	_, p := compiled(t, hashPool(backendsOf(1, 1, 1)))
	for range hashFloor {
		pick(t, p, Query{Hash: HashKey([]byte("room 7"))})
	}
	if got := activeOf(p); slices.Max(got) != hashFloor {
		t.Errorf("%d leases of one key went to %v", hashFloor, got)
	}
}

// With limits below the bound it is the limits that decide.
func TestHashUsesWhatLimitsLeave(t *testing.T) {
	backends := backendsOf(1, 1, 1)
	backends[0].MaxConnections, backends[1].MaxConnections = 1, 1
	_, p := compiled(t, hashPool(backends))
	for range 100 {
		pick(t, p, Query{Hash: HashKey([]byte("room 7"))})
	}
	if got, want := activeOf(p), []int{1, 1, 98}; !slices.Equal(got, want) {
		t.Errorf("active %v, want %v", got, want)
	}
}

func TestHashWithoutKeyIsLeastConn(t *testing.T) {
	_, p := compiled(t, hashPool(backendsOf(1, 1, 1)))
	for range 300 {
		pick(t, p, Query{})
	}
	if got, want := activeOf(p), []int{100, 100, 100}; !slices.Equal(got, want) {
		t.Errorf("active %v, want %v", got, want)
	}
}
