package certs

import (
	"log/slog"
	"maps"
	"slices"
	"time"
)

const (
	// lookEvery is how often files are looked at. A change is taken when two
	// looks in a row find the same.
	lookEvery = 5 * time.Second
	// warnEvery is how often the log repeats that a certificate ends.
	warnEvery = 24 * time.Hour
)

// watch looks after what is in force until Close.
func (s *Store) watch() {
	defer close(s.watched)
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			s.look(now)
		case <-s.ending:
			return
		}
	}
}

// look reads the files that have changed, and says which certificates end.
func (s *Store) look(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fresh := make(map[*source]bool)
	for _, src := range s.running.sources {
		if src.changed() && s.reread(src) {
			fresh[src] = true
		}
	}
	for _, server := range s.running.servers {
		if server.uses(fresh) {
			server.refresh(&s.tickets)
		}
	}
	s.tickets.keep(s.running)
	if m := s.manager.Load(); m != nil {
		m.look(now, &s.renewing)
	}
	s.meet()
	s.warn(now)
}

// meet announces the certificates that ACME has brought since the last look.
// The caller holds mu.
func (s *Store) meet() {
	m := s.manager.Load()
	if m == nil {
		return
	}
	was := s.ordered
	s.ordered = make(map[string]*source)
	for _, c := range m.certificates() {
		cert := &certificate{Certificate: c.Certificate, key: "acme", names: namesOf(c.Leaf), ordered: true}
		cert.file = cert.names[0] // of the domain that was asked for
		src := was[cert.file]
		if src == nil || !src.cert.same(cert) {
			src = &source{cert: cert}
			s.announce(cert)
		}
		s.ordered[cert.file] = src
	}
}

// reread reads a source whose files have changed, and reports whether what it
// holds did. The caller holds mu.
func (s *Store) reread(src *source) bool {
	was := *src
	if err := src.read(); err != nil {
		src.refused = src.seen
		s.loaded(false)
		s.log.Warn("changed certificate files are not taken, what was read before stays in use", "code", codeKept.String(), "reason", codeKept.Page().Name,
			"error", err, "remedy", codeKept.Page().Remedy)
		return false
	}
	if src.clients != nil {
		if src.clients.id == was.clients.id {
			return false
		}
		s.loaded(true)
		s.log.Info("authorities of clients loaded", "file", src.files[0])
		return true
	}
	if src.cert.same(was.cert) {
		return false
	}
	src.warned = valid
	s.announce(src.cert)
	return true
}

// announce says which certificate is in use from now on.
func (s *Store) announce(cert *certificate) {
	s.loaded(true)
	from := slog.String("file", cert.file)
	if cert.ordered {
		from = slog.Bool("acme", true)
	}
	s.log.Info("certificate loaded", "names", cert.names, "expires", day(cert.Leaf.NotAfter), "issuer", cert.Leaf.Issuer.String(), from)
	for _, text := range cert.remarks {
		s.log.Warn("certificate", "warning", text)
	}
}

// warn says which certificates end soon or have ended: at once when that
// becomes so, and then every day. The caller holds mu.
func (s *Store) warn(now time.Time) {
	for _, src := range slices.AppendSeq(slices.Clone(s.running.sources), maps.Values(s.ordered)) {
		if src.cert == nil {
			continue
		}
		state, text := src.cert.validity(now)
		if state == valid || state == src.warned && now.Sub(src.warnedAt) < warnEvery {
			continue
		}
		src.warned, src.warnedAt = state, now
		page := codeEnds.Page()
		if state != ending {
			page = codeExpired.Page()
		}
		s.log.Warn(page.Title, "code", page.Code.String(), "reason", page.Name, "names", src.cert.names, "detail", text, "remedy", page.Remedy)
	}
}
