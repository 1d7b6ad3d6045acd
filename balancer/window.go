package balancer

import (
	"sync/atomic"
	"time"
)

// window counts how the uses of a backend went over the last time. Counting is
// one compare-and-swap; it takes no lock and has no clock.
//
// The time is cut into ten slots. A slot is one word, so it is read and
// replaced whole, and it says which turn of the ring it belongs to:
//
//	63..40   39..20    19..0
//	tick     failures  successes
//
// What is older than the window is not cleared but passed over.
type window [windowSlots]atomic.Uint64

const (
	windowSlots = 10
	tickShift   = 2 * countBits
	// ticks begin anew after 10 million, a whole number of turns: for a window
	// of a second, in 12 days. A slot that nobody has touched for exactly that
	// long would count.
	windowTicks = windowSlots << 20
)

// tickOf is the slot's number of a time on the registry's clock.
func tickOf(now int64, length time.Duration) uint64 {
	slot := max(1, int64(length)/windowSlots)
	return uint64(now/slot) % windowTicks
}

// add counts one use. Counts stop at their largest value.
func (w *window) add(tick uint64, failed bool) {
	slot := &w[tick%windowSlots]
	for {
		was := slot.Load()
		next := was
		if was>>tickShift != tick {
			next = tick << tickShift
		}
		switch {
		case failed && next>>countBits&countMask < countMask:
			next += 1 << countBits
		case !failed && next&countMask < countMask:
			next++
		}
		if slot.CompareAndSwap(was, next) {
			return
		}
	}
}

// sum is what was counted in the window that ends with tick.
func (w *window) sum(tick uint64) (failures, all uint64) {
	for i := range w {
		word := w[i].Load()
		if (tick+windowTicks-word>>tickShift)%windowTicks >= windowSlots {
			continue
		}
		failures += word >> countBits & countMask
		all += word&countMask + word>>countBits&countMask
	}
	return failures, all
}

// clear forgets all.
func (w *window) clear() {
	for i := range w {
		w[i].Store(0)
	}
}
