package proxy

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"time"

	"github.com/holdfast-lb/holdfast/balancer"
	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/internal/explain"
	"github.com/holdfast-lb/holdfast/internal/tlsconn"
	"github.com/holdfast-lb/holdfast/internal/trust"
)

// loadTrusts reads the files of all pools with TLS, also of those that no route
// uses: they are probed.
func loadTrusts(pools map[string]config.Pool) (map[string]*trust.Client, []error) {
	all := make(map[string]*trust.Client)
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(pools)) {
		p := pools[name]
		if !p.HasTLS() {
			continue
		}
		t, mistakes := trust.Load("pools."+name+".backend_tls", p.BackendTLS)
		all[name], errs = t, append(errs, mistakes...)
	}
	return all, errs
}

// Trust returns how b, a backend of this configuration, is believed over TLS;
// nil if it is spoken to without.
func (rt *Runtime) Trust(b *balancer.Backend) *trust.Client {
	if b.Scheme() != "https" {
		return nil
	}
	return rt.trusts[b.Key().Pool]
}

// Warnings are what is legal in the files that the configuration names, and
// probably not meant, at that time.
func (rt *Runtime) Warnings(now time.Time) []string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(rt.trusts)) {
		if end := rt.trusts[name].Expires(); !end.IsZero() && now.After(end) {
			all = append(all, fmt.Sprintf("pools.%s.backend_tls.cert: the certificate expired at %s, renew it", name, end.UTC().Format(time.RFC3339)))
		}
	}
	return all
}

// handshakeError is why a connection that was made has no TLS.
type handshakeError struct{ error }

func (e handshakeError) Unwrap() error { return e.error }

// handshake agrees on TLS over c. The caller closes c on error.
func (u *upstream) handshake(c *net.TCPConn, by time.Time) (*backendConn, error) {
	w, err := newWire(c)
	if err != nil {
		return nil, err
	}
	t := tlsconn.Client(w, u.tls)
	if err := c.SetDeadline(by); err != nil {
		return nil, err
	}
	if err := t.Shake(by); err != nil {
		return nil, handshakeError{err}
	}
	return newTLSConn(t.Conn, w), c.SetDeadline(time.Time{})
}

// isTLS tells whether TLS failed, and not the network below it after TLS was
// agreed on.
func isTLS(err error) bool {
	if _, ok := errors.AsType[handshakeError](err); ok {
		return true
	}
	_, ok := trust.Explain(err)
	return ok
}

// refusal returns the alert with which the backend has ended TLS, given the
// error that a read or write met; nil if there is none. With TLS 1.3 a client
// certificate is refused only behind the handshake: the read of the answer
// meets the alert, unless a write has failed before that.
func (c *backendConn) refusal(err error) error {
	switch {
	case c.wire == nil:
		return nil
	case isTLS(err):
		return err
	}
	c.wire.patience = looks
	_, err = c.Conn.Read(c.one[:])
	c.wire.patience = waits
	if isTLS(err) {
		return err
	}
	return nil
}

// classOfTLS returns the class of an error for which isTLS holds.
func classOfTLS(err error) class {
	if p, ok := trust.Explain(err); ok && p.Unverified {
		return untrusted
	}
	return noTLS
}

// blame puts what is known of a failed TLS into e.
func blame(e *explain.Event, err error) {
	problem, ok := trust.Explain(err)
	if !ok {
		problem = trust.Problem{What: "connection ended in the TLS handshake", Remedy: "see that the backend speaks TLS at that port"}
	}
	e.Cause, e.Remedy = problem.What, problem.Remedy
}
