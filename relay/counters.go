package relay

import "sync/atomic"

// counters are what an engine counts: written by its goroutines, read by
// anybody.
type counters struct {
	pairs   atomic.Int64
	dialing atomic.Int64
	cuts    atomic.Int64
	bytes   [2]atomic.Uint64
	frames  [2][kinds]atomic.Uint64
}

// load returns the pairs there are, dialing ones included. A pair that opens is
// counted among the open ones before it leaves the dialing ones, and looked for
// in the other order, so it is never overlooked.
func (c *counters) load() int64 { return c.dialing.Load() + c.pairs.Load() }

// stats adds the counters to s.
func (c *counters) stats(s *Stats) {
	s.Dialing += c.dialing.Load() // first: see load
	s.Pairs += c.pairs.Load()
	s.Cut += c.cuts.Load()
	for side := range c.bytes {
		s.Bytes[side] += c.bytes[side].Load()
		for k := range c.frames[side] {
			s.Frames[side][k] += c.frames[side][k].Load()
		}
	}
}

// tally counts the frames that a side has begun.
func (c *counters) tally(from int, t *Tally) {
	for k, n := range t {
		if n != 0 { // most are: an atomic addition costs more than this look
			c.frames[from][k].Add(uint64(n))
		}
	}
}
