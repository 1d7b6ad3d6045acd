//go:build linux && (amd64 || arm64)

package relay

import (
	"slices"
	"testing"
	"time"
)

// BenchmarkWhatAGuardCosts compares the processor time of a round trip without
// and with a guard and Pings: that of the whole process, the loop and both
// peers. The two take turns of a few hundred trips, so that what else the
// machine does comes to both alike. "ratio" is the median of the turns' ratios.
func BenchmarkWhatAGuardCosts(b *testing.B) {
	const trips = 300
	r, err := New(Options{Loops: 1})
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	bare := converse(b, r, 64, nil)
	judged := converse(b, r, 64, func(k *Call) {
		k.Guard = &Guard{MaxMessage: 1 << 20, Messages: Rate{1e9, 1e9}, Bytes: Rate{1 << 32, 1 << 32}}
		k.Ping = time.Minute
	})
	turn := func(c conversation) float64 {
		before := computed(b)
		for range trips {
			c.trip(b)
		}
		return float64(computed(b)-before) / trips / 1e3
	}
	var without, with, ratios []float64
	for b.Loop() {
		x, y := turn(bare), turn(judged)
		without, with, ratios = append(without, x), append(with, y), append(ratios, y/x)
	}
	median := func(v []float64) float64 {
		slices.Sort(v)
		return v[len(v)/2]
	}
	b.ReportMetric(median(without), "bare-µs/trip")
	b.ReportMetric(median(with), "judged-µs/trip")
	b.ReportMetric(median(ratios), "ratio")
}
