package health

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/holdfast-lb/holdfast/internal/announce"
)

// checker asks one backend once. It is used by one goroutine at a time.
type checker interface {
	// check returns within ctx, whose deadline is the probe's; a cancelled ctx
	// ends it at once. It leaves no connection and no goroutine behind.
	check(ctx context.Context) answer
}

// answer is what a check has found.
type answer struct {
	what string    // on success, in a few words
	err  error     // nil: passed; put into words by why
	at   time.Time // when the outcome was known, which may be before check returned

	header http.Header // of the backend's answer, good or bad; nil: it gave none
}

// of adds the header of the answer that this was concluded from.
func (a answer) of(resp *http.Response) answer {
	if resp != nil {
		a.header = resp.Header
	}
	return a
}

func passed(what string) answer { return answer{what: what, at: time.Now()} }
func failed(err error) answer   { return answer{err: err, at: time.Now()} }

// newChecker never fails: a Spec that nobody validated makes every check fail,
// which an operator sees, where a missing checker would pass unseen.
func newChecker(t Target) checker {
	var (
		c   checker
		err error
	)
	switch t.Spec.Type {
	case "http":
		c, err = newHTTPChecker(t)
	case "tcp":
		c = tcpChecker{address: t.Address, dial: dialOf(t), tls: tlsOf(t)}
	case "websocket":
		c = newWebSocketChecker(t)
	default:
		err = finding(fmt.Sprintf("health type %q is none of http, tcp, websocket", t.Spec.Type))
	}
	if err != nil {
		return brokenChecker{err}
	}
	return c
}

// Probe asks t once, as a Prober would, and returns what it found: Up and OK are
// the same, and Changed tells nothing. It blocks for t.Spec.Timeout at most.
func Probe(ctx context.Context, t Target) Verdict {
	started := time.Now()
	ctx, cancel := context.WithTimeout(ctx, t.Spec.Timeout)
	defer cancel()
	a := newChecker(t).check(ctx)
	v := Verdict{Up: a.err == nil, OK: a.err == nil, Why: a.what, At: a.at, Latency: a.at.Sub(started)}
	if a.err != nil {
		v.Why = why(a.err, t.Spec.Timeout)
	}
	return v
}

// brokenChecker stands for a Spec that cannot be run.
type brokenChecker struct{ err error }

func (c brokenChecker) check(context.Context) answer { return failed(c.err) }

// userAgent tells a backend's log who asks.
const userAgent = "holdfast-health"

// dialer connects for all checks. Their connections are too short for TCP
// keep-alive, which would cost system calls on each.
var dialer = net.Dialer{KeepAlive: -1}

// dialFunc connects as net.Dialer's DialContext does.
type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// dialOf returns how the target is connected to: with a PROXY header if it
// wants one.
func dialOf(t Target) dialFunc {
	if t.SendProxy == "" {
		return dialer.DialContext
	}
	header := announce.Local(t.SendProxy)
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dialer.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		if _, err := c.Write(header); err != nil { // an empty send buffer takes it
			_ = c.Close()
			return nil, err
		}
		return c, nil
	}
}

// tlsOf returns how the target is spoken to over TLS, nil for not at all. Every
// probe makes a whole handshake, so that it sees a certificate that has changed.
func tlsOf(t Target) *tls.Config {
	if t.Trust == nil {
		return nil
	}
	cfg := t.Trust.Config(t.Address)
	cfg.ClientSessionCache = nil
	return cfg
}

// tcpChecker passes when a connection can be made, and TLS agreed on if tls is
// not nil.
type tcpChecker struct {
	address string
	dial    dialFunc
	tls     *tls.Config
}

func (c tcpChecker) check(ctx context.Context) answer {
	conn, err := c.dial(ctx, "tcp", c.address)
	if err != nil {
		return failed(err)
	}
	defer conn.Close()
	if c.tls == nil {
		return passed("connected")
	}
	if err := tls.Client(conn, c.tls).HandshakeContext(ctx); err != nil {
		return failed(err)
	}
	return passed("connected over TLS")
}
