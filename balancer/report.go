package balancer

import (
	"math"
	"time"
)

// A load report is what a backend says of itself, if the pool listens
// (health.load_reports). It can only take from the backend what the
// configuration gives it, so one that lies hurts itself alone:
//
//   - its load leaves it the spare part of its weight, under least_conn and p2c;
//   - its capacity bounds its leases as max_connections does, the lower counts;
//   - its wish to be drained takes it out of all picks, as the operator's would.
//
// A pick reads a report as one word beside the State's own. How long a report
// is believed is the caller's affair: it takes it back by setting none.

// LoadReport is how full a backend says that it is.
type LoadReport struct {
	Load     float64   `json:"load"`               // 0, empty, to 1, full; negative: not told
	Capacity int       `json:"capacity,omitempty"` // leases that it can hold; 0: not told
	Drain    bool      `json:"drain,omitempty"`    // it wants no new leases, and those that it has to end
	At       time.Time `json:"at,omitzero"`        // when it said so
}

// A report's word, 0 for none:
//
//	63     62..32    31..0
//	drain  capacity  spare parts of its weight, 1 to whole; 0: not told
const (
	bitAsksDrain  uint64 = 1 << 63
	capacityShift        = 32
	capacityMask  uint64 = 1<<31 - 1
	spareMask     uint64 = 1<<32 - 1
)

// word is how a pick reads r, which may be nil.
func (r *LoadReport) word() uint64 {
	if r == nil {
		return 0
	}
	var w uint64
	if r.Load >= 0 {
		w = max(1, uint64(math.Round((1-min(1, r.Load))*whole)))
	}
	if r.Capacity > 0 {
		w |= uint64(min(r.Capacity, maxLeases)) << capacityShift
	}
	if r.Drain {
		w |= bitAsksDrain
	}
	return w
}

// spare is the part of its weight, of whole, that a backend with n leases has
// left. It is never 0: when all are full, they share what comes.
func (s *State) spare(n uint64) uint64 {
	r := s.report.Load()
	if parts := r & spareMask; parts != 0 {
		return parts
	}
	capacity := r >> capacityShift & capacityMask
	switch {
	case capacity == 0:
		return whole
	case n >= capacity:
		return 1
	}
	return max(1, (capacity-n)*whole/capacity)
}

// holds tells whether the backend, whose word is w, can hold another lease by
// its own account.
func (s *State) holds(w uint64) bool {
	capacity := s.report.Load() >> capacityShift & capacityMask
	return capacity == 0 || active(w) < capacity
}

// AsksDrain tells whether the backend itself wants to be drained.
func (s *State) AsksDrain() bool { return s.report.Load()&bitAsksDrain != 0 }

// SetReport records what a backend says of itself, nil: nothing that is still
// believed. The next pick goes by it. It reports whether that was taken: it is
// not if the committed pools do not name the backend, do not listen to it, or it
// is in [Maintenance].
func (r *Registry) SetReport(key Key, report *LoadReport) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.livePool(key)
	if p == nil || !p.reports {
		return false
	}
	s := r.known[key].state()
	if s.Mode() == Maintenance {
		return false
	}
	r.setReport(p, s, report)
	r.weighPanic(p)
	return true
}

// setReport is for whoever holds r.mu.
func (r *Registry) setReport(p *Pool, s *State, report *LoadReport) {
	asked := s.AsksDrain()
	s.told = report
	s.report.Store(report.word())
	if asks := s.AsksDrain(); asks != asked {
		p.setMode(s, s.Mode())
		kind := DrainWithdrawn
		if asks {
			kind = DrainAsked
		}
		r.tell(Change{Key: s.key, Backend: r.known[s.key].name, Kind: kind})
	}
}
