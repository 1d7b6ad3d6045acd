package proxy

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/holdfast-lb/holdfast/metrics"
)

// Whoever is turned away is promised a turn, and no second has more turns than
// the rate, but for the spread over the next one.
func TestPromisesKeepTheRate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := float64(rapid.IntRange(1, 2000).Draw(t, "rate"))
		waiting := rapid.IntRange(0, min(int(rate)*100, 5000)).Draw(t, "waiting")
		n := rapid.IntRange(1, min(int(rate)*100, 5000)).Draw(t, "turned away")
		var b backlog
		now := time.Unix(1000, 0)
		back := map[int]int{} // by second
		for range n {
			seconds := b.promise(now, waiting, rate, rapid.Float64Range(0, 0.999).Draw(t, "roll"))
			if seconds < 1 || seconds > int(maxPromise.Seconds())+1 {
				t.Fatalf("Retry-After: %d", seconds)
			}
			back[seconds]++
		}
		for second, clients := range back {
			// Those of two neighbouring seconds may meet in one.
			if float64(clients) > 2*rate+2 {
				t.Fatalf("%d come back in second %d, %v a second can be served", clients, second, rate)
			}
		}
		last := time.Duration(float64(time.Second) * (float64(waiting+n) / rate))
		if got := b.promised.Sub(now); (got - last).Abs() > time.Millisecond {
			t.Fatalf("the last turn is in %v, the backlog needs %v", got, last)
		}
	})
}

func TestPromisesAreBounded(t *testing.T) {
	var b backlog
	now := time.Unix(1000, 0)
	early := 0
	for i := range 10_000 {
		seconds := b.promise(now, 0, 1, float64(i%100)/100)
		if seconds > int(maxPromise.Seconds())+1 {
			t.Fatalf("Retry-After: %d", seconds)
		}
		if i > 1000 && seconds < int(maxPromise.Seconds()*3/4) {
			early++
		}
	}
	if early < 3000 || early > 6000 {
		t.Errorf("%d of 9,000 beyond the longest promise come back in the first half of what is shared out", early)
	}
}

func TestBacklogKnowsItsRate(t *testing.T) {
	var b backlog
	now := time.Unix(1000, 0)
	if got := b.rate(now); got != 0 {
		t.Errorf("rate %v of an idle queue", got)
	}
	for range 1000 {
		now = now.Add(20 * time.Millisecond)
		b.served(now)
	}
	if got := b.rate(now); got < 45 || got > 51 {
		t.Errorf("rate %v, 50 a second were served", got)
	}
	if got := b.rate(now.Add(time.Minute)); got != 0 {
		t.Errorf("rate %v a minute later", got)
	}
}

func TestQueuePlaces(t *testing.T) {
	q := newQueue(metrics.New().Queue("p"))
	if q.reserve() {
		t.Error("a queue without size has a place")
	}
	q.size.Store(2)
	for i := range 3 {
		if got := q.reserve(); got != (i < 2) {
			t.Errorf("a queue for two takes the one behind %d: %v", i, got)
		}
	}
	if !q.busy() {
		t.Error("a queue in which two wait is not busy")
	}
	q.leave()
	if !q.reserve() {
		t.Error("a place that was left is not free")
	}
}
