package certs

import (
	"crypto/sha256"
	"crypto/tls"
	"maps"
	"sync"
)

// tickets seals the sessions that clients take with them. Clients of one group
// can resume at each other's listeners: those whose certificates are verified
// by the same authorities, so that none enters by a session what it could not
// by its certificate.
//
// The keys are those that crypto/tls makes for a Config, changes every day and
// forgets after a week; the Config of a group is used for nothing else.
type tickets struct {
	mu     sync.Mutex
	groups map[[sha256.Size]byte]*tls.Config // guarded by mu
}

// group returns what seals for the clients of a, who may be nil.
func (t *tickets) group(a *authorities) *tls.Config {
	id := idOf(a)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.groups == nil {
		t.groups = make(map[[sha256.Size]byte]*tls.Config)
	}
	g := t.groups[id]
	if g == nil {
		g = &tls.Config{MinVersion: tls.VersionTLS12}
		t.groups[id] = g
	}
	return g
}

// use has cfg seal and open with the keys of the group of a.
func (t *tickets) use(cfg *tls.Config, a *authorities) {
	group := t.group(a)
	cfg.WrapSession = group.EncryptTicket
	cfg.UnwrapSession = group.DecryptTicket
}

// keep forgets the groups that no server of ch belongs to.
func (t *tickets) keep(ch *Change) {
	used := make(map[[sha256.Size]byte]bool)
	for _, server := range ch.servers {
		used[idOf(server.authorities())] = true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	maps.DeleteFunc(t.groups, func(id [sha256.Size]byte, _ *tls.Config) bool { return !used[id] })
}

// idOf tells groups apart.
func idOf(a *authorities) (id [sha256.Size]byte) {
	if a != nil {
		id = a.id
	}
	return id
}
