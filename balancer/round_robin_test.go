package balancer

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/holdfast-lb/holdfast/config"
)

func TestRoundRobinOrder(t *testing.T) {
	f := func(want string, weights ...int) {
		t.Helper()
		_, p := compiled(t, config.Pool{Balance: "round_robin", Backends: backendsOf(weights...)})
		var round strings.Builder
		for _, i := range p.rotation.turns {
			round.WriteByte("abcdefgh"[i])
		}
		if got := round.String(); got != want {
			t.Errorf("weights %v: a round is %s, want %s", weights, got, want)
		}
	}
	f("a", 1)
	f("a", 7)
	f("abc", 1, 1, 1)
	f("abc", 4, 4, 4)
	f("aabacaa", 5, 1, 1)
	f("bacb", 1, 2, 1)
	f("ababa", 30, 20)
}

func TestRoundRobinScalesHeavyWeights(t *testing.T) {
	weights := equal(200)
	for i := range weights {
		weights[i] = 1 + i*997%1000
	}
	_, p := compiled(t, config.Pool{Balance: "round_robin", Backends: backendsOf(weights...)})
	turns := make([]int, len(weights))
	total := 0
	for _, i := range p.rotation.turns {
		turns[i]++
	}
	for _, w := range weights {
		total += w
	}
	if len(p.rotation.turns) > maxTurns {
		t.Errorf("a round has %d turns, want at most %d", len(p.rotation.turns), maxTurns)
	}
	for i, w := range weights {
		want := float64(w) / float64(total) * float64(len(p.rotation.turns))
		if got := float64(turns[i]); got < want-1.5 || got > want+1.5 {
			t.Errorf("weight %d of %d has %v turns of %d, want %.1f", w, total, got, len(p.rotation.turns), want)
		}
	}
}

func TestRoundRobinIsExactUnderConcurrency(t *testing.T) {
	f := func(weights []int, want ...int) {
		t.Helper()
		_, p := compiled(t, config.Pool{Balance: "round_robin", Backends: backendsOf(weights...)})
		var wg sync.WaitGroup
		for range 30 {
			wg.Go(func() {
				for range 100 {
					if _, err := p.Pick(&Query{Kind: Socket}, nil); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if got := activeOf(p); !slices.Equal(got, want) {
			t.Errorf("weights %v: %v, want %v", weights, got, want)
		}
	}
	f([]int{1, 1, 1}, 1000, 1000, 1000)
	f([]int{1, 2, 1}, 750, 1500, 750)
}

// The neighbour of a backend that is down must not get that one's turns on top
// of its own.
func TestRoundRobinSharesOutTheTurnsOfTheSick(t *testing.T) {
	r, p := compiled(t, probed(config.Pool{Balance: "round_robin", Backends: backendsOf(1, 1, 1, 2)}))
	setHealth(t, r, p, 1, false)
	for range 400 {
		pick(t, p, Query{})
	}
	if got, want := activeOf(p), []int{100, 0, 100, 200}; !slices.Equal(got, want) {
		t.Errorf("picks %v, want %v", got, want)
	}
}
