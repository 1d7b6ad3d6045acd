package certs

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/internal/explain"
)

// The codes of what goes wrong with certificates that are in use.
var (
	codeKept    = explain.Named("certificate_kept")
	codeEnds    = explain.Named("certificate_ends")
	codeExpired = explain.Named("certificate_expired")
	codeRefused = explain.Named("order_failed")
)

// Options are what a [Store] works with.
type Options struct {
	// Log gets a line for each certificate that comes into force, and what is
	// wrong with one. Nil: none.
	Log *slog.Logger
	// Loaded is told of every certificate that was read to be used, and of
	// every time that one could not be. Nil: nobody.
	Loaded func(ok bool)
}

// Store is the certificates of a process. Its methods may be called from any
// goroutine.
type Store struct {
	log     *slog.Logger
	loaded  func(ok bool)
	tickets tickets

	manager  atomic.Pointer[manager] // nil: nothing was ever ordered
	renewing atomic.Bool

	mu       sync.Mutex
	prepared *Change // guarded by mu: the last
	running  *Change // guarded by mu: the last that was committed
	closed   bool    // guarded by mu
	// ordered are the certificates that ACME has brought, by domain, as of the
	// last look. Guarded by mu.
	ordered map[string]*source

	ending  chan struct{} // closed by Close
	watched chan struct{} // closed when nobody watches any more; nil: nobody did. Guarded by mu
}

// New returns a Store without certificates. Close ends it, which only matters
// once a Change was committed.
func New(opts Options) *Store {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Loaded == nil {
		opts.Loaded = func(bool) {}
	}
	return &Store{log: opts.Log, loaded: opts.Loaded, running: &Change{}, ending: make(chan struct{})}
}

// Close ends what Commit began, and returns when it has ended. Certificates
// are served as before.
func (s *Store) Close() {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.ending)
	}
	watched := s.watched
	s.mu.Unlock()
	if watched != nil {
		<-watched
	}
	if m := s.manager.Load(); m != nil {
		m.once.Do(m.close)
	}
}

// Change is a prepared change of a [Store].
type Change struct {
	store   *Store
	servers map[string]*server // by the listener's name
	sources []*source          // of all, each once, in the order of the configuration
	orders  []acmeSpec
}

// Prepare reads the files of all listeners. The error names every one in which
// something is wrong, each behind its key; nothing has changed then. What it
// returns comes into force by Commit, or is forgotten.
func (s *Store) Prepare(listeners []config.Listener) (*Change, error) {
	ch := &Change{store: s, servers: make(map[string]*server)}
	known := make(map[string]*source) // listeners may share them
	var errs []error
	read := func(src *source) *source {
		id := strings.Join(src.files, "\x00")
		if known[id] == nil {
			known[id] = src
			ch.sources = append(ch.sources, src)
			errs = append(errs, src.read())
		}
		return known[id]
	}
	for i, l := range listeners {
		if l.TLS == nil {
			continue
		}
		path := fmt.Sprintf("listeners[%d].tls", i)
		server := newServer(l, s.manager.Load)
		for j, p := range l.TLS.Certificates {
			server.pairs = append(server.pairs, read(pairSource(fmt.Sprintf("%s.certificates[%d]", path, j), p)))
		}
		if file := l.TLS.ClientCA; file != "" {
			server.clients = read(clientSource(path+".client_ca", file))
		}
		if a := l.TLS.ACME; a != nil {
			spec, err := loadACME(path+".acme", *a)
			errs = append(errs, err)
			ch.orders = append(ch.orders, spec)
			server.domains = a.Domains
		}
		ch.servers[l.Name] = server
	}
	if err := errors.Join(errs...); err != nil {
		s.loaded(false)
		return nil, err
	}
	for _, server := range ch.servers {
		server.refresh(&s.tickets)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.prepared = ch
	return ch, nil
}

// Config returns the TLS of a listener as it was prepared last, nil if it has
// none: what listener.Set.Prepare asks between this package's Prepare and
// Commit. It must not be changed.
func (s *Store) Config(l config.Listener) *tls.Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.prepared == nil || s.prepared.servers[l.Name] == nil {
		return nil
	}
	return s.prepared.servers[l.Name].entry
}

// Warnings lists what is legal and probably not meant, each behind its key:
// above all certificates that clients will not take, or not for long.
func (ch *Change) Warnings(now time.Time) []string {
	var list []string
	for _, src := range ch.sources {
		if src.cert == nil {
			continue
		}
		if _, text := src.cert.validity(now); text != "" {
			list = append(list, text)
		}
		list = append(list, src.cert.remarks...)
	}
	return list
}

// Commit brings the change into force, and has its files looked at from now
// on. It cannot fail.
func (ch *Change) Commit() {
	s := ch.store
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, src := range ch.sources {
		if src.cert != nil && !s.running.has(src.cert) {
			s.announce(src.cert)
		}
	}
	s.running = ch
	s.tickets.keep(ch)
	s.manage(ch.orders)
	s.meet()
	s.warn(time.Now())
	if s.watched == nil && !s.closed && len(ch.sources)+len(ch.orders) > 0 {
		s.watched = make(chan struct{})
		go s.watch()
	}
}

// has tells whether the change has the certificate under any key.
func (ch *Change) has(cert *certificate) bool {
	for _, src := range ch.sources {
		if src.cert != nil && src.cert.same(cert) {
			return true
		}
	}
	return false
}

// manage has what specs name ordered and renewed. The caller holds mu.
func (s *Store) manage(specs []acmeSpec) {
	m := s.manager.Load()
	if m == nil {
		if len(specs) == 0 || s.closed {
			return
		}
		var err error
		if m, err = newManager(zapLogger(s.log), s.happened); err != nil {
			s.log.Error("no certificates are ordered", "error", err)
			return
		}
		s.manager.Store(m)
	}
	m.manage(specs)
}

// happened is told what becomes of orders.
func (s *Store) happened(event string, data map[string]any) {
	if event == "cert_failed" {
		s.loaded(false)
		s.log.Warn(codeRefused.Page().Title, "code", codeRefused.String(), "reason", codeRefused.Page().Name,
			"name", data["identifier"], "error", data["error"], "remedy", codeRefused.Page().Remedy)
	}
}

// Challenge returns the answer to an authority that looks for it at a host and
// path (RFC 8555, section 8.3); false: nothing is ordered for that host, or the
// path is another.
func (s *Store) Challenge(host, path string) (answer string, ok bool) {
	m := s.manager.Load()
	if m == nil {
		return "", false
	}
	return m.answer(host, path)
}
