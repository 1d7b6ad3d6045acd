package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"sync/atomic"
	"time"
)

const (
	// rememberFor is how long credentials that were right need not be verified
	// again.
	rememberFor = 5 * time.Minute
	// Places of the table: sets, and ways in each.
	rememberSets, rememberWays = 1024, 4
)

// remembered is a table of credentials that were right a short while ago, as
// hashes with a random key: whoever reads the memory of the process later
// learns no password from it. It has a fixed number of places, and neither
// reading nor writing takes a lock. init makes it ready for use.
type remembered struct {
	key    [sha256.Size]byte
	places []atomic.Pointer[memory]
}

// memory is one place; it never changes.
type memory struct {
	sum   [sha256.Size]byte
	until time.Time
}

func (r *remembered) init() {
	_, _ = rand.Read(r.key[:]) // never fails
	r.places = make([]atomic.Pointer[memory], rememberSets*rememberWays)
}

// sum hashes credentials, which have maxCredentials bytes at most. The key
// comes first and nobody sees a sum, so that a longer hash cannot be made of a
// shorter one.
func (r *remembered) sum(credentials []byte) [sha256.Size]byte {
	var buf [sha256.Size + maxCredentials]byte
	n := copy(buf[:], r.key[:])
	n += copy(buf[n:], credentials)
	return sha256.Sum256(buf[:n])
}

// set is the few places that a sum may be at.
func (r *remembered) set(sum *[sha256.Size]byte) []atomic.Pointer[memory] {
	i := (int(sum[0])<<8 | int(sum[1])) % rememberSets * rememberWays
	return r.places[i : i+rememberWays]
}

// has tells whether the credentials were right lately.
func (r *remembered) has(sum *[sha256.Size]byte, now time.Time) bool {
	found := 0
	set := r.set(sum)
	for i := range set {
		if m := set[i].Load(); m != nil && now.Before(m.until) {
			found |= subtle.ConstantTimeCompare(m.sum[:], sum[:])
		}
	}
	return found == 1
}

// add remembers credentials in the place of those that were added first.
func (r *remembered) add(sum *[sha256.Size]byte, now time.Time) {
	set := r.set(sum)
	oldest := 0
	for i := range set {
		m := set[i].Load()
		if m == nil {
			oldest = i
			break
		}
		if m.until.Before(set[oldest].Load().until) {
			oldest = i
		}
	}
	set[oldest].Store(&memory{sum: *sum, until: now.Add(rememberFor)})
}
