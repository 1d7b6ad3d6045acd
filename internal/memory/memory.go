// Package memory tells when the process comes near its limit of memory, so that
// what is new can be turned away before what is there suffers.
//
// The limit is the runtime's own, GOMEMLIMIT. The runtime keeps it by collecting
// more and more often, up to half of the processor time, and then goes beyond
// it: long before that is when to take nothing more. What counts is what a
// collection cannot free. Garbage does not, however much there is; how much of
// the heap is garbage is known only behind a collection, so if in doubt the
// [Watch] has one done.
package memory

import (
	"math"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
	"time"
)

const (
	// Short begins when this share of the limit is in use, in percent, and ends
	// when less than the second is: what lies between keeps it from flapping,
	// what lies above is for those who are there.
	beginsAt = 85
	endsAt   = 75

	// lookEvery is how often the watch looks. The fastest flood that this
	// process can take in does not fill the rest of a usual limit meanwhile.
	lookEvery = 100 * time.Millisecond
	// collectEvery spaces the collections that the watch asks for.
	collectEvery = time.Second
)

// Watch looks at the memory of the process. One goroutine owns what it has
// found; Short and Used may be called from any.
type Watch struct {
	limit   int64
	changed func(short bool, used int64)

	short atomic.Bool
	used  atomic.Int64

	stop chan struct{}
	done chan struct{}
}

// Start watches until Close. changed is told when memory becomes short and when
// it is no longer, with what is in use; it must not block, since nothing is
// looked at meanwhile. Without a limit nothing is watched.
func Start(changed func(short bool, used int64)) *Watch {
	w := &Watch{limit: debug.SetMemoryLimit(-1), changed: changed, stop: make(chan struct{}), done: make(chan struct{})}
	if w.limit <= 0 || w.limit == math.MaxInt64 {
		w.limit = 0
		close(w.done)
		return w
	}
	go w.run()
	return w
}

// Short tells whether nothing new should be taken. It costs one load.
func (w *Watch) Short() bool { return w.short.Load() }

// Limit is the limit in bytes; 0: there is none.
func (w *Watch) Limit() int64 { return w.limit }

// Used is how much of the limit was in use when the watch last looked, in
// bytes: what is in use for good, without garbage. 0: there is no limit.
func (w *Watch) Used() int64 { return w.used.Load() }

// Close ends the watch, and returns when it has ended. It is called once.
func (w *Watch) Close() {
	close(w.stop)
	<-w.done
}

func (w *Watch) run() {
	defer close(w.done)
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	samples := newSamples()
	var state state
	for now := time.Now(); ; {
		r := samples.read()
		if state.doubts(r, w.limit, now) {
			runtime.GC()
			r = samples.read()
		}
		was := state.short
		state.take(r, w.limit, now)
		w.used.Store(r.used())
		w.short.Store(state.short)
		if state.short != was {
			w.changed(state.short, r.used())
		}
		select {
		case <-w.stop:
			return
		case now = <-tick.C:
		}
	}
}

// reading is the memory of the process at one moment, in bytes.
type reading struct {
	rest    int64 // all that is no object: stacks, and what the runtime needs itself
	objects int64 // of the heap, garbage included
	live    int64 // of the heap, behind the last collection
	cycles  int64 // collections since the process began
}

// used is what a collection would not free, as far as the last one knows.
func (r reading) used() int64 { return r.rest + r.live }

// state is what the watch concludes from its readings. It has no clock.
type state struct {
	short     bool
	cycles    int64     // of the last reading
	collected time.Time // when cycles changed last
}

// doubts tells whether r must not be believed without a collection: memory
// looks short with the garbage in it, or was short, and nothing has been
// collected for a while.
func (s *state) doubts(r reading, limit int64, now time.Time) bool {
	if r.cycles != s.cycles || now.Sub(s.collected) < collectEvery {
		return false
	}
	return s.short || over(r.rest+r.objects, limit, beginsAt)
}

// take draws the conclusion from r.
func (s *state) take(r reading, limit int64, now time.Time) {
	if r.cycles != s.cycles {
		s.cycles, s.collected = r.cycles, now
	}
	if s.short {
		s.short = over(r.used(), limit, endsAt)
	} else {
		s.short = over(r.used(), limit, beginsAt)
	}
}

func over(n, limit, percent int64) bool { return n/percent >= limit/100 }

// samples are the runtime's figures that a reading needs.
type samples [7]metrics.Sample

func newSamples() *samples {
	s := new(samples)
	for i, name := range [...]string{
		"/memory/classes/total:bytes",
		"/memory/classes/heap/released:bytes",
		"/memory/classes/heap/free:bytes",
		"/memory/classes/heap/unused:bytes",
		"/memory/classes/heap/objects:bytes",
		"/gc/heap/live:bytes",
		"/gc/cycles/total:gc-cycles",
	} {
		s[i].Name = name
	}
	return s
}

func (s *samples) read() reading {
	metrics.Read(s[:])
	n := func(i int) int64 {
		if s[i].Value.Kind() != metrics.KindUint64 {
			return 0 // a version of Go that calls it otherwise
		}
		return int64(s[i].Value.Uint64()) // #nosec G115 -- bytes of this process
	}
	return reading{rest: n(0) - n(1) - n(2) - n(3) - n(4), objects: n(4), live: n(5), cycles: n(6)}
}
