package balancer

// triedSize is how many backends a Tried remembers.
const triedSize = 8

// Tried is the set of backends that one request has tried already, so that a
// retry goes elsewhere. The zero value is empty. It remembers the last eight;
// a request that fails on more than eight may see the first ones again. It
// allocates nothing and is for one goroutine.
type Tried struct {
	backends [triedSize]*Backend
	count    int
}

// Add puts b into the set.
func (t *Tried) Add(b *Backend) {
	t.backends[t.count%triedSize] = b
	t.count++
}

// Has reports whether b is in the set. A nil set is empty.
func (t *Tried) Has(b *Backend) bool {
	if t == nil || t.count == 0 {
		return false
	}
	for _, x := range t.backends[:min(t.count, triedSize)] {
		if x == b {
			return true
		}
	}
	return false
}
