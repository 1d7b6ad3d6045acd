package balancer

import (
	"cmp"
	"slices"
	"time"
)

// BackendStatus is one backend at one moment, for people and metrics.
type BackendStatus struct {
	Pool    string
	Name    string // the last one that it had
	Scheme  string
	Address string

	Up    bool
	Mode  Mode
	Why   string    // the last verdict, in words
	Since time.Time // when Up last changed

	Ejected bool      // by live traffic
	Until   time.Time // of the ejection
	Reason  string    // of the ejection
	Panic   bool      // the pool is below its panic floor: ejections are ignored

	Report *LoadReport // what it says of itself, to be read only; nil: nothing

	Counts // of leases, read together

	// Given is how many handshakes the backend was picked for since it is known.
	Given uint64

	Weight         int // 0 when retired
	MaxConnections int // 0: no limit, or retired
	// Retired: the committed pools do not name the backend any more, but it
	// still has leases out.
	Retired bool
}

// Active is the number of leases out, of all kinds.
func (s *BackendStatus) Active() int { return s.Sockets + s.Requests + s.Handshakes }

// Key is the backend's identity.
func (s *BackendStatus) Key() Key {
	return Key{Pool: s.Pool, Scheme: s.Scheme, Address: s.Address}
}

// Snapshot lists the backends of the committed pools, pool by pool in the
// order of their names, backends in the order of the configuration; after
// them the retired ones that still have leases. The caller owns the slice. It
// allocates, and holds up no pick.
func (r *Registry) Snapshot() []BackendStatus {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]BackendStatus, 0, len(r.known))
	for _, p := range r.pools {
		for _, b := range p.backends {
			status := statusOf(b.name, b.state)
			status.Weight, status.MaxConnections = b.weight, b.limit
			status.Panic = p.panics.Load()
			list = append(list, status)
		}
	}
	current := len(list)
	for key, rec := range r.known {
		if r.live[key] != nil {
			continue
		}
		if s := rec.state(); s != nil && s.Active() > 0 {
			status := statusOf(rec.name, s)
			status.Retired = true
			list = append(list, status)
		}
	}
	slices.SortFunc(list[current:], func(a, b BackendStatus) int {
		return cmp.Or(cmp.Compare(a.Pool, b.Pool), cmp.Compare(a.Address, b.Address), cmp.Compare(a.Scheme, b.Scheme))
	})
	return list
}

// statusOf is for whoever holds Registry.mu.
func statusOf(name string, s *State) BackendStatus {
	word, v := s.word.Load(), s.verdict.Load()
	status := BackendStatus{
		Pool:    s.key.Pool,
		Name:    name,
		Scheme:  s.key.Scheme,
		Address: s.key.Address,
		Up:      word&bitDown == 0,
		Mode:    modeOf(word),
		Why:     v.why,
		Since:   v.since,
		Counts:  countsOf(word),
		Given:   s.given.Load(),
	}
	status.Report = s.told
	if word&bitEjected != 0 {
		status.Ejected, status.Until, status.Reason = true, s.traffic.ejection.until, s.traffic.ejection.why
	}
	return status
}

// AsksDrain tells whether the backend itself wants to be drained.
func (s *BackendStatus) AsksDrain() bool { return s.Report != nil && s.Report.Drain }

// Usable reports whether new leases may be given to the backend.
func (s *BackendStatus) Usable() bool {
	return !s.Retired && s.Up && s.Mode == Ready && !s.AsksDrain() && (!s.Ejected || s.Panic)
}
