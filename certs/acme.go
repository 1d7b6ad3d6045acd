package certs

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"

	"github.com/holdfast-lb/holdfast/config"
)

// acmeProtocol is agreed with an authority that looks for the certificate of
// its challenge (RFC 8737, section 3).
const acmeProtocol = "acme-tls/1"

// account is what one acme block of the configuration says, domains aside: with
// whom certificates are ordered, by whom, and where they are kept.
type account struct {
	directory, email, storage string
	ca                        [sha256.Size]byte // zero: the system's authorities
}

// acmeSpec is a validated acme block whose files were read.
type acmeSpec struct {
	account
	domains []string
	roots   *x509.CertPool // nil: the system's
}

// loadACME reads what the block at path names.
func loadACME(path string, a config.ACME) (acmeSpec, error) {
	spec := acmeSpec{account: account{directory: a.Directory, email: a.Email, storage: a.Storage}, domains: a.Domains}
	if spec.directory == "" {
		spec.directory = certmagic.LetsEncryptProductionCA
	}
	var err error
	if a.CA != "" {
		var roots *authorities
		if roots, err = loadAuthorities(path+".ca", a.CA); err == nil {
			spec.ca, spec.roots = roots.id, roots.pool
		}
	}
	if info, statErr := os.Stat(a.Storage); statErr == nil && !info.IsDir() {
		err = errors.Join(err, mistake{path + ".storage", a.Storage, "is not a directory, write the path of one"})
	} else if statErr != nil && !errors.Is(statErr, os.ErrNotExist) {
		err = errors.Join(err, mistake{path + ".storage", a.Storage, "cannot be used: " + statErr.Error()})
	}
	return spec, err
}

// manager has certificates ordered and renewed, all on goroutines of its own.
// Its methods but answer, certificate and challenged are called by one at a
// time.
type manager struct {
	log    *zap.Logger
	told   func(event string, data map[string]any)
	cache  *certmagic.Cache
	door   net.Listener  // see newManager
	pause  time.Duration // orderPause
	orders map[order]func()

	ctx    context.Context // until close
	cancel func()
	work   sync.WaitGroup
	once   sync.Once // close

	domains atomic.Pointer[map[string]*authority] // by name; immutable
	known   map[account]*authority
}

// orderPause is how long an order that was given up is left alone: authorities
// count those that fail, some of them five an hour.
const orderPause = 15 * time.Minute

// order is a domain that is looked after for an account.
type order struct {
	account
	domain string
}

// authority is an account with certmagic's objects for it.
type authority struct {
	config *certmagic.Config
	issuer *certmagic.ACMEIssuer
}

// newManager returns a manager without domains.
//
// certmagic binds the ports of challenges itself, unless somebody listens there
// already, since it expects that to be its user. Here the challenges come by
// the listeners of the configuration, whatever their addresses, so it is shown
// a door behind which nobody lives.
func newManager(log *zap.Logger, told func(event string, data map[string]any)) (*manager, error) {
	door, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("prepare ACME: %w", err)
	}
	m := &manager{log: log, told: told, door: door, pause: orderPause, orders: make(map[order]func()), known: make(map[account]*authority)}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	m.domains.Store(&map[string]*authority{})
	m.cache = certmagic.NewCache(certmagic.CacheOptions{
		Logger: log,
		GetConfigForCert: func(c certmagic.Certificate) (*certmagic.Config, error) {
			if a := (*m.domains.Load())[c.Names[0]]; a != nil {
				return a.config, nil
			}
			return nil, fmt.Errorf("%s is not configured any more", c.Names[0])
		},
	})
	m.work.Go(func() {
		for {
			c, err := door.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	})
	return m, nil
}

// close ends all orders and returns when nothing is under way.
func (m *manager) close() {
	m.cancel()
	m.door.Close()
	m.cache.Stop()
	m.work.Wait()
}

// manage has just these domains looked after from now on: what is stored is
// used at once, what is not is ordered in the background.
func (m *manager) manage(specs []acmeSpec) {
	domains := make(map[string]*authority)
	wanted := make(map[order]bool)
	for _, spec := range specs {
		a := m.known[spec.account]
		if a == nil {
			a = m.open(spec)
			m.known[spec.account] = a
		}
		for _, name := range spec.domains {
			domains[name] = a
			wanted[order{spec.account, name}] = true
		}
	}
	m.domains.Store(&domains)
	for o, stop := range m.orders {
		if !wanted[o] {
			stop()
			delete(m.orders, o)
			m.cache.RemoveManaged([]certmagic.SubjectIssuer{{Subject: o.domain}})
		}
	}
	for o := range wanted {
		if m.orders[o] == nil {
			var ctx context.Context
			ctx, m.orders[o] = context.WithCancel(m.ctx)
			m.begin(ctx, m.known[o.account].config, o.domain)
		}
	}
}

// begin has a domain looked after until ctx ends.
func (m *manager) begin(ctx context.Context, cfg *certmagic.Config, domain string) {
	if _, err := cfg.CacheManagedCertificate(ctx, domain); err == nil {
		return // and renewed in time
	}
	m.work.Go(func() {
		for m.order(ctx, cfg, domain) != nil {
			select {
			case <-time.After(m.pause):
			case <-ctx.Done():
				return
			}
		}
	})
}

// order has a domain's certificate ordered, again and again if the authority
// refuses, and brings it into use. It fails when certmagic gives up: after 30
// days, and at once if it cannot write to its storage.
func (m *manager) order(ctx context.Context, cfg *certmagic.Config, domain string) error {
	err := cfg.ObtainCertAsync(ctx, domain)
	if err == nil {
		_, err = cfg.CacheManagedCertificate(ctx, domain)
	}
	if err != nil && ctx.Err() == nil {
		m.told("cert_failed", map[string]any{"identifier": domain, "error": err})
	}
	return err
}

// open makes certmagic's objects for an account.
func (m *manager) open(spec acmeSpec) *authority {
	a := &authority{config: certmagic.New(m.cache, certmagic.Config{
		Storage: &certmagic.FileStorage{Path: spec.storage},
		Logger:  m.log,
		OCSP:    certmagic.OCSPConfig{DisableStapling: true}, // authorities have ended it; it would make handshakes wait for them
		OnEvent: func(_ context.Context, event string, data map[string]any) error {
			m.told(event, data)
			return nil
		},
	})}
	door := m.door.Addr().(*net.TCPAddr)
	a.issuer = certmagic.NewACMEIssuer(a.config, certmagic.ACMEIssuer{
		CA: spec.directory, Email: spec.email, Agreed: true, TrustedRoots: spec.roots, Logger: m.log,
		ListenHost: door.IP.String(), AltHTTPPort: door.Port, AltTLSALPNPort: door.Port,
	})
	a.config.Issuers = []certmagic.Issuer{a.issuer}
	return a
}

// look has certificates renewed that are due. certmagic looks every ten
// minutes, which is too seldom for those that live for hours, and says itself
// how long it waits after a refusal.
func (m *manager) look(now time.Time, due *atomic.Bool) {
	late := slices.ContainsFunc(m.certificates(), func(c *certmagic.Certificate) bool {
		return c.Leaf.NotAfter.Sub(now) < c.Leaf.NotAfter.Sub(c.Leaf.NotBefore)/3
	})
	if !late || !due.CompareAndSwap(false, true) {
		return
	}
	m.work.Go(func() {
		defer due.Store(false)
		if err := m.cache.RenewManagedCertificates(m.ctx); err != nil {
			m.log.Error("certificates cannot be renewed", zap.Error(err))
		}
	})
}

// certificates are those that there are, in no order.
func (m *manager) certificates() []*certmagic.Certificate {
	var list []*certmagic.Certificate
	for name := range *m.domains.Load() {
		if c := m.find(name); c != nil {
			list = append(list, c)
		}
	}
	return list
}

// find returns the certificate of a domain; nil: there is none yet. Of two, as
// in the moment of a renewal, it is the one that lives longer.
func (m *manager) find(domain string) *certmagic.Certificate {
	var best *certmagic.Certificate
	list := m.cache.AllMatchingCertificates(domain)
	for i := range list {
		if c := &list[i]; c.Leaf != nil && (best == nil || c.Leaf.NotAfter.After(best.Leaf.NotAfter)) {
			best = c
		}
	}
	return best
}

// challenged returns what answers an authority's handshake; nil if it is none.
func (m *manager) challenged(hello *tls.ClientHelloInfo) *tls.Config {
	if len(hello.SupportedProtos) != 1 || hello.SupportedProtos[0] != acmeProtocol {
		return nil
	}
	a := (*m.domains.Load())[strings.ToLower(hello.ServerName)]
	if a == nil {
		return nil
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{acmeProtocol}, GetCertificate: a.config.GetCertificate}
}

// answer returns the answer to an HTTP challenge; false: it is not ours.
func (m *manager) answer(host, path string) (string, bool) {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = host
	}
	a := (*m.domains.Load())[strings.ToLower(name)]
	if a == nil {
		return "", false
	}
	var w reply
	r := &http.Request{Method: http.MethodGet, Host: host, URL: &url.URL{Path: path}, RequestURI: path, Header: http.Header{}}
	if !a.issuer.HandleHTTPChallenge(&w, r) {
		return "", false
	}
	return w.text.String(), true
}

// reply is a http.ResponseWriter in memory.
type reply struct{ text strings.Builder }

func (*reply) Header() http.Header           { return http.Header{} }
func (*reply) WriteHeader(int)               {}
func (r *reply) Write(p []byte) (int, error) { return r.text.Write(p) }
