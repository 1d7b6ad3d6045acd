package balancer

import (
	"slices"
	"testing"

	"github.com/holdfast-lb/holdfast/config"
)

func TestPowerOfTwoKeepsLoadsTogether(t *testing.T) {
	f := func(weights []int, perWeight, slack int) {
		t.Helper()
		_, p := compiled(t, config.Pool{Balance: "p2c", Backends: backendsOf(weights...)})
		total := 0
		for _, w := range weights {
			total += w
		}
		for range total * perWeight {
			pick(t, p, Query{})
		}
		for i, n := range activeOf(p) {
			if want := weights[i] * perWeight; n < want-slack*weights[i] || n > want+slack*weights[i] {
				t.Errorf("weights %v: member %d has %d leases, want %d within %d", weights, i, n, want, slack*weights[i])
			}
		}
	}
	f([]int{1, 1, 1}, 1000, 20)
	f([]int{1, 2, 1}, 750, 20)
	f(equal(100), 100, 20)
	f([]int{1, 1, 1, 1, 1, 1, 1, 1, 1, 50}, 200, 20)
}

func TestPowerOfTwoTakesTheLighter(t *testing.T) {
	_, p := compiled(t, config.Pool{Balance: "p2c", Backends: backendsOf(1, 1)})
	p.members[0].state.word.Store(5 * oneSocket)
	counts := map[string]int{}
	for range 1000 {
		counts[nameOf(t, p, Query{})]++
	}
	// Eight draws that all hit b0 are the only way to it.
	if counts["b0"] > 50 {
		t.Errorf("%d of 1000 picks went to the loaded one", counts["b0"])
	}
}

func TestPowerOfTwoFindsTheLastUsable(t *testing.T) {
	r, p := compiled(t, probed(config.Pool{Balance: "p2c", Backends: backendsOf(equal(500)...)}))
	for i := range 499 {
		setHealth(t, r, p, i, false)
	}
	for range 100 {
		pick(t, p, Query{})
	}
	if got := activeOf(p); got[499] != 100 || slices.Max(got[:499]) != 0 {
		t.Errorf("the only usable one has %d leases, want 100", got[499])
	}
}
