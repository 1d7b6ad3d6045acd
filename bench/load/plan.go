package load

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Names of scenarios.
const (
	PingPong = "pingpong"
	Churn    = "churn"
	Idle     = "idle"
	Paced    = "paced"
	Push     = "push"
	Storm    = "storm"
	Draining = "drain"
)

// Scenarios lists the names that Plan.Scenario may have.
var Scenarios = []string{PingPong, Churn, Idle, Paced, Push, Storm, Draining}

// What Plan.TLS may be beside empty: every connection has a whole handshake, or
// all but the first of a worker resume a session by its ticket.
const (
	TLSFull   = "full"
	TLSResume = "resume"
)

// maxSize bounds a message in bytes.
const maxSize = 64 << 20

// Plan is one measurement.
type Plan struct {
	Scenario string
	Targets  []netip.AddrPort // IPv4; sockets are dealt out to them in turn
	Path     string           // of the handshake request
	Sockets  int              // open at once; for churn: workers
	Size     int              // bytes of payload in a message
	Rate     int              // paced: messages a second, all sockets together
	Threads  int              // loops, each with its share of the sockets
	Sources  int              // addresses 127.0.0.2… to connect from when a target is on 127.0.0.0/8: each has its own ports
	Warmup   time.Duration    // runs before the measured time
	Duration time.Duration    // measured; for idle: how long memory may settle
	Grace    time.Duration    // for opening, and for answers still due at the end
	Watch    int              // pid of the balancer, whose CPU time and memory are read; 0: none
	TLS      string           // for package wss: full or resume; "" here
	Victim   netip.AddrPort   // storm: the backend whose sockets are to die
	Order    string           // drain: URL that is asked, by POST, when the balancer is to empty its first backend
}

// Default returns the plan that the flags of `bench load` start from.
func Default() Plan {
	return Plan{
		Scenario: PingPong, Path: "/", Sockets: 200, Size: 64, Rate: 5000, Threads: 1, Sources: 32,
		Warmup: time.Second, Duration: 5 * time.Second, Grace: 10 * time.Second,
	}
}

// Validate returns all that is wrong with the plan, joined.
func (p Plan) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("check plan: "+format, args...))
		}
	}
	check(slices.Contains(Scenarios, p.Scenario), "scenario %q is none of %v", p.Scenario, Scenarios)
	check(len(p.Targets) > 0, "no target; give at least one host:port")
	for _, t := range p.Targets {
		check(t.Addr().Is4() && t.Port() != 0, "target %s is not an IPv4 address with a port", t)
	}
	check(p.Path != "" && p.Path[0] == '/', "path %q does not begin with /", p.Path)
	check(p.Threads >= 1 && p.Threads <= 64, "%d threads; 1 to 64 are possible", p.Threads)
	check(p.Sockets >= p.Threads, "%d sockets for %d threads; each needs one", p.Sockets, p.Threads)
	check(p.Size >= 1 && p.Size <= maxSize, "messages of %d bytes; 1 to %d are possible", p.Size, maxSize)
	check(p.Scenario != Paced && p.Scenario != Draining || p.Rate >= p.Threads, "rate %d/s; paced needs at least one message a second for each thread", p.Rate)
	check(p.Scenario != Push || p.Threads == 1, "%d threads; push has one sender, so one", p.Threads)
	check(p.Scenario != Storm || p.Victim.IsValid(), "no victim; storm needs the backend that is to die")
	check(p.Scenario != Draining || p.Order != "", "no order; drain needs a URL to ask")
	check(p.Sources >= 0 && p.Sources <= 250, "%d source addresses; 0 to 250 are possible", p.Sources)
	check(p.Warmup >= 0 && p.Duration > 0 && p.Grace > 0, "warm-up %s, duration %s, grace %s; the last two must be positive", p.Warmup, p.Duration, p.Grace)
	return errors.Join(errs...)
}

// Limit is the longest time that Run takes for this plan.
func (p Plan) Limit() time.Duration {
	return p.Grace + p.Warmup + p.Duration + p.Grace + time.Second
}
