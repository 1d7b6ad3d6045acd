package load

import (
	"math/bits"
	"time"
)

// Histogram buckets: 64 for every power of two, so a quantile is at most
// 1.6 % too high.
const (
	subBits = 6
	sub     = 1 << subBits
	buckets = (64 - subBits) * sub
)

// Histogram counts durations without allocating. The zero value is empty. It
// is not safe for concurrent use: every loop has its own, merged at the end.
type Histogram struct {
	counts [buckets]uint64
	n      uint64
	sum    int64
	max    int64
}

// Record counts one duration; negative ones count as 0.
func (h *Histogram) Record(d time.Duration) {
	v := max(int64(d), 0)
	h.counts[bucket(uint64(v))]++
	h.n++
	h.sum += v
	h.max = max(h.max, v)
}

// Merge adds what o has counted.
func (h *Histogram) Merge(o *Histogram) {
	for i, c := range o.counts {
		h.counts[i] += c
	}
	h.n += o.n
	h.sum += o.sum
	h.max = max(h.max, o.max)
}

// Count returns how many durations were recorded.
func (h *Histogram) Count() uint64 { return h.n }

// Quantile returns the duration that a share q (0 to 1) of all do not exceed;
// 0 when nothing was recorded.
func (h *Histogram) Quantile(q float64) time.Duration {
	want, seen := uint64(q*float64(h.n)+0.5), uint64(0)
	want = max(want, 1)
	for i, c := range h.counts {
		if seen += c; seen >= want {
			return time.Duration(min(upper(i), h.max))
		}
	}
	return time.Duration(h.max)
}

// Latency summarises the histogram.
func (h *Histogram) Latency() Latency {
	us := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }
	l := Latency{
		P50: us(h.Quantile(.50)), P90: us(h.Quantile(.90)), P99: us(h.Quantile(.99)),
		P999: us(h.Quantile(.999)), Max: us(time.Duration(h.max)),
	}
	if h.n > 0 {
		l.Mean = us(time.Duration(h.sum / int64(h.n)))
	}
	return l
}

// bucket: values below 64 have one each; above, the power of two and the six
// bits after the leading one.
func bucket(v uint64) int {
	if v < sub {
		return int(v)
	}
	shift := bits.Len64(v) - subBits - 1
	return (shift+1)*sub + int(v>>shift) - sub
}

// upper is the largest value of a bucket.
func upper(i int) int64 {
	if i < sub {
		return int64(i)
	}
	shift := i/sub - 1
	return int64(uint64(i%sub+sub+1)<<shift) - 1
}
