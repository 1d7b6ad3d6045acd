package balancer

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"
	"weak"

	"github.com/holdfast-lb/holdfast/internal/keyhash"
)

// Carried is what a Registry knows, as plain data for the process that goes on
// in its place, which may be of another version: what is missing has a default,
// and what is not known is passed over. Who sticks to which goes by itself, in
// [TableChunk]s, and leases are with those who hold them: see [Registry.Adopt].
//
// It has secrets: it is for that process alone.
type Carried struct {
	CookieSecret []byte `json:"cookie_secret,omitempty"` // signs cookies of pools that configure none; missing: one of its own
	HashSecret   []byte `json:"hash_secret,omitempty"`   // of sticky keys; missing: one of its own
	// Clock is how long the registry has been counting time, in nanoseconds.
	Clock    int64            `json:"clock,omitempty"`
	Backends []CarriedBackend `json:"backends,omitempty"`
}

// CarriedBackend is one backend.
type CarriedBackend struct {
	Key
	Name  string    `json:"name,omitempty"`
	Down  bool      `json:"down,omitempty"`
	Why   string    `json:"why,omitempty"`
	Since time.Time `json:"since,omitzero"` // when Down last changed; missing: now
	Mode  Mode      `json:"mode,omitempty"`
	// Unproven: it was not up yet, in a pool that was new as it was itself.
	Unproven bool `json:"unproven,omitempty"`
	// Ramp is when it began to rise, by Clock; 0: it is on no ramp.
	Ramp   int64            `json:"ramp,omitempty"`
	Eject  *CarriedEjection `json:"ejection,omitempty"`
	Report *LoadReport      `json:"report,omitempty"`
	// Gone is when discovery found it no more. Of such a one only Key and Mode
	// count.
	Gone time.Time `json:"gone,omitzero"`
}

// CarriedEjection is a backend's record of ejections.
type CarriedEjection struct {
	Times int       `json:"times"` // in a row
	Until time.Time `json:"until"` // of the present or last one
	Why   string    `json:"why,omitempty"`
}

// Carry is what r knows of the backends of the committed pools, and of those that
// discovery may find again. r goes on; nothing of the result is its own.
func (r *Registry) Carry() *Carried {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := &Carried{
		CookieSecret: bytes.Clone(r.secret[:]),
		HashSecret:   bytes.Clone(r.hash[:]),
		Clock:        r.clock.now(),
	}
	for _, p := range r.pools {
		for _, b := range p.backends {
			c.Backends = append(c.Backends, b.carry())
		}
	}
	known := len(c.Backends)
	for key, was := range r.parked {
		c.Backends = append(c.Backends, CarriedBackend{Key: key, Mode: was.mode, Gone: was.at})
	}
	slices.SortFunc(c.Backends[known:], func(a, b CarriedBackend) int {
		return cmp.Or(cmp.Compare(a.Pool, b.Pool), cmp.Compare(a.Address, b.Address), cmp.Compare(a.Scheme, b.Scheme))
	})
	return c
}

// carry needs Registry.mu.
func (b *Backend) carry() CarriedBackend {
	s := b.state
	v := s.verdict.Load()
	c := CarriedBackend{
		Key: b.key, Name: b.name,
		Down: !s.Up(), Why: v.why, Since: v.since, Mode: s.Mode(),
		Unproven: !s.proven, Ramp: s.ramp.Load(),
	}
	if e := &s.traffic.ejection; e.times > 0 {
		c.Eject = &CarriedEjection{Times: e.times, Until: e.until, Why: e.why}
	}
	if s.told != nil {
		told := *s.told
		c.Report = &told
	}
	return c
}

// Inherit has r, which nobody has used yet, go on where the registry of another
// process was: the first Compile and Commit find its backends as a reload would,
// under the rules of one. If it fails, with all that is wrong, r knows nothing.
func (r *Registry) Inherit(c *Carried) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.known) > 0 || len(r.pools) > 0 {
		return errors.New("inherit backends: the registry has some already, inherit before the first Compile")
	}
	hash, err := c.check()
	if err != nil {
		return fmt.Errorf("inherit backends: %w", err)
	}
	if len(c.CookieSecret) > 0 {
		r.secret = [len(r.secret)]byte(c.CookieSecret)
	}
	if hash != nil {
		r.hash = *hash
	}
	now := time.Now()
	r.clock = clock{epoch: now.Add(-time.Duration(max(0, c.Clock-1)))}
	pools := make(map[string]*Pool) // stand for those that were committed there
	for i := range c.Backends {
		was := &c.Backends[i]
		if !was.Gone.IsZero() {
			r.parked[was.Key] = parked{was.Mode, hither(was.Gone, now)}
			continue
		}
		p := pools[was.Pool]
		if p == nil {
			p = &Pool{name: was.Pool, clock: r.clock, registry: r}
			pools[was.Pool] = p
		}
		b := &Backend{name: was.Name, key: was.Key, weight: 1, pool: p, state: r.revive(was, now)}
		r.live[was.Key] = b
		r.known[was.Key] = record{weak.Make(b.state), b.name}
	}
	return nil
}

// revive makes the State that was carried. The caller holds mu.
func (r *Registry) revive(was *CarriedBackend, now time.Time) *State {
	since := now
	if !was.Since.IsZero() {
		since = hither(was.Since, now)
	}
	s := newState(was.Key, !was.Down, was.Why, since)
	if was.Report != nil {
		told := *was.Report
		s.told = &told
		s.report.Store(told.word())
	}
	s.setStatus(modeBits, was.Mode.bits(s.AsksDrain()))
	s.proven = !was.Unproven
	s.ramp.Store(was.Ramp)
	if was.Eject != nil {
		e := &s.traffic.ejection
		*e = ejection{times: was.Eject.Times, until: hither(was.Eject.Until, now), why: was.Eject.Why}
		if left := e.until.Sub(now); left > 0 {
			e.timer = time.AfterFunc(left, func() { r.endEjection(was.Key, s) })
			s.setStatus(bitEjected, bitEjected)
		}
	}
	return s
}

// check finds what no registry of any version means, and reads the secret of
// sticky keys, nil if it is missing.
func (c *Carried) check() (hash *keyhash.Secret, err error) {
	var errs []error
	wrong := func(format string, of ...any) { errs = append(errs, fmt.Errorf(format, of...)) }
	if n := len(c.CookieSecret); n != 0 && n != secretSize {
		wrong("cookie_secret: it has %d bytes, %d are needed", n, secretSize)
	}
	if len(c.HashSecret) > 0 {
		s, err := keyhash.Carried(c.HashSecret)
		if err != nil {
			wrong("hash_secret: %w", err)
		}
		hash = &s
	}
	if c.Clock < 0 || c.Clock > maxClock {
		wrong("clock: %d is no time in nanoseconds since a process began", c.Clock)
	}
	seen := make(map[Key]bool, len(c.Backends))
	for i := range c.Backends {
		b := &c.Backends[i]
		if seen[b.Key] {
			wrong("backends[%d]: %s in pool %s is there twice", i, b.Address, b.Pool)
		}
		seen[b.Key] = true
		if b.Ramp < 0 || b.Ramp > c.Clock {
			wrong("backends[%d].ramp: %d is no time up to clock, %d", i, b.Ramp, c.Clock)
		}
		if b.Eject != nil && (b.Eject.Times < 0 || b.Eject.Times > maxTimes) {
			wrong("backends[%d].ejection.times: %d is no number of ejections", i, b.Eject.Times)
		}
	}
	return hash, errors.Join(errs...)
}

const (
	secretSize = 32
	maxClock   = 1 << 61 // 73 years
	maxTimes   = 1 << 16
)

// hither is a time that was carried, in relation to this process's clock: now.
func hither(t, now time.Time) time.Time { return now.Add(t.Sub(now)) }
