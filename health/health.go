// Package health finds out which backends can take traffic by asking them.
//
// A [Prober] owns one goroutine per [Target]. It probes at once, then once per
// jittered interval, never twice at a time for one backend, and feeds what
// comes out to a [Machine], the pure rise/fall rule that decides up or down.
// Every probe ends in one [Verdict], given to the target's Report; a verdict
// that changes the state is also one line in the log, and no other is.
//
// What a probe does depends on the type in its config.Health:
//
//   - http: a GET whose status must be in Expect. A connection error is tried
//     again up to Retries times within the timeout; an answer never is.
//   - tcp: a connection is made and closed; with TLS, after the handshake.
//   - websocket: a real handshake, a Ping, the Pong that belongs to it, and a
//     Close 1000. This is the one that finds a server which answers its health
//     page and hangs on upgrades.
//
// A probe that this machine could not make, for want of descriptors or local
// ports, fails and says why, and changes no state: it shows nothing of the
// backend.
//
// With LoadReports a backend may say in the headers of its answers, whatever
// their status, how full it is: report.go. An answer without them takes that
// back, three intervals without an answer too.
//
// A backend over TLS is believed by a probe exactly if a request would believe
// it. One deadline, Timeout, covers a whole probe from looking up the name to the
// last byte that it waits for. No connection is kept from one probe to the
// next, so that each sees what a new client would.
//
// The package knows of no registry: whoever makes a Target binds its Report.
package health

import (
	"time"

	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/internal/trust"
)

// Target is one backend to probe.
type Target struct {
	// ID is unique among the targets of a Reconcile. The state of a target
	// lives on in the target of the same ID, Scheme and Address.
	ID string
	// Pool and Backend are names for the log.
	Pool, Backend string
	// Scheme is "http" or "https". Address is host:port; the host is looked up
	// for every probe.
	Scheme, Address string
	// Trust says how the backend is believed; nil without TLS.
	Trust *trust.Client
	// SendProxy is the version of the PROXY header that each connection begins
	// with, "v1" or "v2"; empty: none. It says that nobody else is behind it.
	SendProxy string
	// Spec says how and how often. It must be valid as config.Load sees to;
	// probes of one that is not fail and say why.
	Spec config.Health
	// InitialUp is the state of a target that was not there before.
	InitialUp bool
	// Report gets the verdict of every probe, on the target's own goroutine:
	// one call at a time for one target, at the same time for several. It must
	// return soon and must not call Reconcile or Close, which wait for it.
	Report func(Verdict)
}

// Verdict is what one probe has shown.
type Verdict struct {
	Up      bool          // state of the backend from now on
	Changed bool          // this probe has changed it
	OK      bool          // this probe has passed
	Why     string        // outcome in a few words without addresses: "status 200", "connection refused"
	At      time.Time     // when the probe had its answer
	Latency time.Duration // from the probe's start to At
	// Report is what the backend says of itself and is believed; nil: nothing.
	// Nobody changes it.
	Report *LoadReport
}
