package listener

import (
	"math"
	"testing"
)

func TestReserve(t *testing.T) {
	f := func(limit, want int) {
		t.Helper()
		if got := reserveFrom(limit); got != want {
			t.Errorf("reserveFrom(%d) = %d, want %d", limit, got, want)
		}
	}
	f(0, math.MaxInt)
	f(64, 32)
	f(256, 192)
	f(1024, 896)
	f(8192, 7168)
	f(1<<20, 1<<20-1024)
}
