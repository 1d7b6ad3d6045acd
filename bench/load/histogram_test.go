package load

import (
	"math"
	"testing"
	"time"
)

func TestHistogram(t *testing.T) {
	var a, b Histogram
	for i := 1; i <= 1000; i++ {
		h := &a
		if i%2 == 0 {
			h = &b
		}
		h.Record(time.Duration(i) * time.Microsecond)
	}
	a.Merge(&b)
	f := func(q float64, want time.Duration) {
		t.Helper()
		got := a.Quantile(q)
		if got < want || float64(got) > float64(want)*1.016 {
			t.Errorf("quantile %v is %v; want %v, at most 1.6 %% more", q, got, want)
		}
	}
	f(0, time.Microsecond)
	f(.5, 500*time.Microsecond)
	f(.99, 990*time.Microsecond)
	f(1, 1000*time.Microsecond)
	if a.Count() != 1000 || a.Latency().Max != 1000 || a.Latency().Mean != 500.5 {
		t.Errorf("count %d, %+v; want 1000, max 1000, mean 500.5", a.Count(), a.Latency())
	}
}

func TestHistogramEdges(t *testing.T) {
	f := func(d, want time.Duration) {
		t.Helper()
		var h Histogram
		h.Record(d)
		if got := h.Quantile(.5); got != want {
			t.Errorf("quantile after Record(%d): %d, want %d", d, got, want)
		}
	}
	f(-1, 0)
	f(0, 0)
	f(63, 63)
	f(64, 64)
	f(math.MaxInt64, math.MaxInt64)
	if l := (&Histogram{}).Latency(); l != (Latency{}) {
		t.Errorf("empty histogram: %+v, want zeros", l)
	}
}

// Every value lies in the bucket whose bounds hold it.
func TestBucket(t *testing.T) {
	for v := uint64(1); v < 1<<62; v += v/50 + 1 {
		i := bucket(v)
		if int64(v) > upper(i) || int64(v) <= upper(i-1) {
			t.Fatalf("value %d in bucket %d, which is (%d, %d]", v, i, upper(i-1), upper(i))
		}
	}
}
