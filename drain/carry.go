package drain

import (
	"cmp"
	"slices"
	"time"

	"github.com/holdfast-lb/holdfast/balancer"
	"github.com/holdfast-lb/holdfast/config"
)

// Carried is one drain as plain data, for the process that goes on with it, which
// may be of another version: what is missing has a default.
type Carried struct {
	balancer.Key
	Name     string    `json:"name,omitempty"`
	Began    time.Time `json:"began,omitzero"`    // missing: now
	Deadline time.Time `json:"deadline,omitzero"` // missing: the policy's, from now on
	Ended    time.Time `json:"ended,omitzero"`    // when the backend was empty; missing: it is under way
	Sockets  int       `json:"sockets,omitempty"` // in the beginning; missing: those that it has
	Closed   int       `json:"closed,omitempty"`  // before the deadline
	Forced   int       `json:"forced,omitempty"`  // at the deadline or after
}

// Carry lists the drains, those that have ended included, in an order that does
// not change. They go on here, for the sockets that stay.
func (d *Drainer) Carry() []Carried {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := make([]Carried, 0, len(d.jobs))
	for _, j := range d.jobs {
		list = append(list, Carried{
			Key: j.key, Name: j.name, Began: j.began, Deadline: j.deadline, Ended: j.end,
			Sockets: j.sockets, Closed: j.closed, Forced: j.forced,
		})
	}
	slices.SortFunc(list, func(a, b Carried) int {
		return cmp.Or(cmp.Compare(a.Pool, b.Pool), cmp.Compare(a.Address, b.Address), cmp.Compare(a.Scheme, b.Scheme))
	})
	return list
}

// Resume goes on with a drain of another process, by its pool's policy, within
// what is left of its deadline; when that has passed meanwhile, the sockets are
// told to end at once. Call it when they are here: a backend without sockets is
// drained. A backend that has a drain already keeps that.
func (d *Drainer) Resume(c Carried, policy config.Drain) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || d.jobs[c.Key] != nil {
		return
	}
	// In relation to this process's clock.
	now := time.Now()
	hither := func(t, otherwise time.Time) time.Time {
		if t.IsZero() {
			t = otherwise
		}
		return now.Add(t.Sub(now))
	}
	left := d.opts.Left(c.Key)
	j := &job{
		key: c.Key, name: c.Name, began: hither(c.Began, now), deadline: hither(c.Deadline, now.Add(policy.Deadline)),
		sockets: c.Sockets, closed: max(0, c.Closed), forced: max(0, c.Forced),
	}
	if j.sockets <= 0 {
		j.sockets = left
	}
	d.jobs[c.Key] = j
	if !c.Ended.IsZero() && left == 0 {
		j.ended, j.end = true, hither(c.Ended, now)
		return
	}
	d.draw(c.Key.Pool, policy)
}
