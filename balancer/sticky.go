package balancer

import (
	"fmt"
	"time"

	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/internal/keyhash"
)

// Sticky is a pool's rule of stickiness. The first pick for a key is the
// algorithm's; later ones follow it while its backend is usable. When it is
// not (down, draining, gone from the pool, or tried in vain by this request),
// the algorithm chooses again, and that choice is remembered. When it is
// merely full, or has had its handshakes for this second, the algorithm chooses
// for this one pick and nothing changes: its place is still there for those who
// come back.
//
// What is remembered is the backend's identity, so it survives reloads,
// renaming and reordering.
type Sticky struct {
	by         string
	name       string
	ttl        time.Duration // since a key's last use; a cookie lives as long as its browser's session, a token as long as the secret
	maxEntries int

	// By query, header and source_ip: a table.
	table  *stickyTable
	hash   keyhash.Secret
	byMark map[uint32]int32 // index of the member with that mark

	// By cookie and token: the client remembers.
	cookies *cookieCodec
}

// By is where the key comes from: cookie, query, header, source_ip or token.
func (s *Sticky) By() string { return s.by }

// Name is the name of the cookie, query parameter, header or token.
func (s *Sticky) Name() string { return s.name }

// compileSticky makes p's rule. p has all its members.
func (r *Registry) compileSticky(p *Pool, c config.Sticky) (*Sticky, error) {
	s := &Sticky{by: c.By, name: c.Name, ttl: c.TTL, maxEntries: c.MaxEntries}
	switch c.By {
	case "cookie", "token":
		secret := []byte(c.Secret)
		if len(secret) == 0 {
			secret = r.secret[:]
		}
		s.cookies = newCookieCodec(secret, p.backends)
		return s, nil
	case "query", "header", "source_ip":
	default:
		return nil, fmt.Errorf("by: %q is not known, use one of cookie, query, header, source_ip, token", c.By)
	}
	if c.TTL < time.Millisecond {
		return nil, fmt.Errorf("ttl: %s is too short, write 1ms or more", c.TTL)
	}
	if c.MaxEntries < 1 || c.MaxEntries > maxEntries {
		return nil, fmt.Errorf("max_entries: %d is out of range, write 1 to %d", c.MaxEntries, maxEntries)
	}
	s.hash = r.hash
	s.byMark = assignMarks(p.backends)
	s.table = r.table(p.name)
	if !s.table.fits(c.TTL, c.MaxEntries) {
		s.table = newStickyTable(c.TTL, c.MaxEntries, s.table)
	}
	return s, nil
}

// stickyOrChosen takes a lease on the backend that the request sticks to, or
// on the algorithm's choice. It returns nil if no member admits one.
func (p *Pool) stickyOrChosen(a *ask, q *Query) *member {
	switch s := p.sticky; {
	case s == nil:
		return p.choose(a)
	case s.cookies != nil:
		if i, known := s.cookies.members[q.StickyBackend]; known {
			if home := &p.members[i]; home.take(a) {
				return home
			} else if a.patient && home.isPaced(a) {
				return nil
			}
		}
		return p.choose(a)
	case len(q.StickyKey) == 0:
		return p.choose(a)
	default:
		return p.remembered(a, s.hash.Hash(q.StickyKey))
	}
}

// remembered takes a lease on the backend that the table has for a key, or
// chooses one and remembers it.
func (p *Pool) remembered(a *ask, key uint64) *member {
	table := p.sticky.table
	was := table.get(key)
	home := p.marked(was)
	if home != nil && home.take(a) {
		return home
	}
	if home != nil && a.patient && home.isPaced(a) {
		return nil
	}
	m := p.choose(a)
	if m == nil || home != nil && (home.isFull(a) || home.isPaced(a)) {
		return m
	}
	now := table.put(key, was, m.backend.mark)
	if now == m.backend.mark {
		return m
	}
	// Another pick for the same key was quicker. Two players who enter one
	// room at the same moment must meet, so follow it.
	if other := p.marked(now); other != nil && other.take(a) {
		m.state.putBack(a.unit)
		a.each.putBack(&m.state.begun)
		return other
	}
	return m
}

// Returns reports whether the pool knows the request: it has a key, a cookie or
// a token that leads to one of its backends.
func (p *Pool) Returns(q *Query) bool {
	switch s := p.sticky; {
	case s == nil:
		return false
	case s.cookies != nil:
		_, known := s.cookies.members[q.StickyBackend]
		return known
	default:
		return len(q.StickyKey) > 0 && p.marked(s.table.get(s.hash.Hash(q.StickyKey))) != nil
	}
}

// marked is the member with that mark, or nil.
func (p *Pool) marked(mark uint32) *member {
	if mark == 0 {
		return nil
	}
	if i, ok := p.sticky.byMark[mark]; ok {
		return &p.members[i]
	}
	return nil
}
