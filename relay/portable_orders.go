package relay

import (
	"maps"
	"slices"
	"time"
)

// all returns the pairs that are open now.
func (e *portable) all() []*joint {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Collect(maps.Values(e.joints))
}

func (e *portable) dismiss(id uint64, f *farewell) bool {
	e.mu.Lock()
	j := e.joints[id]
	e.mu.Unlock()
	if j == nil {
		return false
	}
	j.leave(&f.Fault, time.Until(f.at))
	return true
}

func (e *portable) each(yield func(*Live) bool) bool {
	for _, j := range e.all() {
		if live := j.live(); !yield(&live) {
			return false
		}
	}
	return true
}

func (j *joint) live() Live {
	age := time.Since(j.began)
	return Live{
		ID:      j.id,
		Owner:   j.owner,
		Bytes:   [2]uint64{j.bytes[Client].Load(), j.bytes[Backend].Load()},
		Frames:  [2]uint64{j.frames[Client].Load(), j.frames[Backend].Load()},
		Age:     age,
		Idle:    age - time.Duration(j.last.Load()),
		Leaving: j.bye.Load() != nil,
		RoundTrip: [2]time.Duration{
			time.Duration(j.vitals[Client].trip.Load()), time.Duration(j.vitals[Backend].trip.Load()),
		},
	}
}

func (e *portable) handOver(*Handover, func([]Handed) ([]bool, error), func(Owner)) error {
	return errNotCarried
}

func (e *portable) receive(*Call, *Carried, int) error { return errNotCarried }
