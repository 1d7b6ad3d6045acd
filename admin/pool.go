package admin

import (
	"slices"
	"time"

	"github.com/valyala/fasthttp"
)

// Pool is one pool as /api/v1/pools shows it.
type Pool struct {
	Name    string `json:"name"`
	Balance string `json:"balance"`
	Usable  int    `json:"usable"` // computed by this package: backends that can be picked
	// Panic: ejections leave less than half of the pool, so they are ignored.
	Panic    bool      `json:"panic"`
	Governor *Governor `json:"governor,omitempty"` // nil: nothing bounds handshakes, and nobody waits
	Backends []Backend `json:"backends"`
	// Discovery is where backends are found; nil: the file lists all.
	Discovery *Discovery `json:"discovery,omitempty"`
}

// Discovery is the source of a pool's backends.
type Discovery struct {
	Source   string    `json:"source"`
	Backends int       `json:"backends"`          // in the last good answer
	Trouble  string    `json:"trouble,omitempty"` // why the last answer was not taken
	Answered time.Time `json:"answered,omitzero"` // when the last good one came
}

// Governor is what bounds the WebSocket handshakes of a pool, and who waits.
type Governor struct {
	PerSecond        int `json:"handshakes_per_second"`             // in the pool; 0: no limit
	PerSecondBackend int `json:"handshakes_per_second_per_backend"` // 0: no limit
	Waiting          int `json:"waiting"`
	Room             int `json:"room"` // for how many to wait
}

// Down tells that nobody can be picked although the configuration names
// backends, or a place where they are found. A pool that it does not name any
// more, and that is shown for the sockets of its retired backends, is not down.
func (p *Pool) Down() bool { return p.Usable == 0 && (p.Configured() || p.Discovery != nil) }

// Configured tells that the configuration names a backend of the pool.
func (p *Pool) Configured() bool {
	return slices.ContainsFunc(p.Backends, func(b Backend) bool { return !b.Retired })
}

// Meant are the backends that an order for a name is for, or for all if it is
// empty: retired ones only where there are no others.
func (p *Pool) Meant(name string) []Backend {
	var current, retired []Backend
	for _, b := range p.Backends {
		switch {
		case name != "" && b.Name != name:
		case b.Retired:
			retired = append(retired, b)
		default:
			current = append(current, b)
		}
	}
	if len(current) > 0 {
		return current
	}
	return retired
}

// Backend is one server of a pool.
type Backend struct {
	Name           string    `json:"name"`
	Address        string    `json:"address"` // scheme://host:port
	State          State     `json:"state"`   // what health checks find
	Mode           string    `json:"mode"`    // what the operator wants: ready, drain or maintenance
	Usable         bool      `json:"usable"`  // new requests may be given to it
	Retired        bool      `json:"retired"` // no longer configured, kept for the sockets that it still serves
	Weight         int       `json:"weight"`
	MaxConnections int       `json:"max_connections"` // 0: no limit
	Active         Active    `json:"active"`
	Handshakes     uint64    `json:"handshakes"`     // that it was picked for, since it is known
	Why            string    `json:"why"`            // of State
	Since          time.Time `json:"since,omitzero"` // when State was found first
	LastProbe      *Probe    `json:"last_probe,omitempty"`
	Drain          *Drain    `json:"drain,omitempty"` // how far a drain has come
	Ejected        *Ejection `json:"ejected,omitempty"`
	// Report is what the backend says of itself; nil: nothing that is believed.
	Report *LoadReport `json:"report,omitempty"`
}

// AsksDrain tells that the backend itself wants to be drained.
func (b *Backend) AsksDrain() bool { return b.Report != nil && b.Report.Drain }

// LoadReport is how full a backend says that it is.
type LoadReport struct {
	Load     *float64  `json:"load"`     // 0 to 1; nil: not told
	Capacity int       `json:"capacity"` // 0: not told
	Drain    bool      `json:"drain"`    // it wants to be drained
	At       time.Time `json:"at"`
}

// Ejection is why live traffic keeps new sockets and requests from a backend.
type Ejection struct {
	Why     string    `json:"why"`
	Until   time.Time `json:"until"`
	Ignored bool      `json:"ignored"` // too few backends would be left, so it is used all the same
}

// Drain is the progress of a drain.
type Drain struct {
	Began    time.Time `json:"began"`
	Deadline time.Time `json:"deadline"` // when the last sockets are closed
	Expected time.Time `json:"expected"` // when the last one will have been told
	Sockets  int64     `json:"sockets"`  // open when it began
	Left     int64     `json:"left"`
	Closed   int64     `json:"closed"` // that were told Close before the deadline
	Forced   int64     `json:"forced"` // that were told at the deadline, all together
}

// State is what health checks find.
type State string

// The states. A backend that is not checked is up.
const (
	Up   State = "up"
	Down State = "down"
)

// Active is what a backend carries now.
type Active struct {
	Sockets    int64 `json:"sockets"`
	Requests   int64 `json:"requests"`
	Handshakes int64 `json:"handshakes"`
}

// Probe is the last verdict on a backend, which need not have changed State.
type Probe struct {
	OK      bool      `json:"ok"`
	Why     string    `json:"why"`
	At      time.Time `json:"at"`
	Seconds float64   `json:"seconds"` // that the probe took
}

// snapshot asks for the pools and fills in what is counted here.
func (s *Server) snapshot() []Pool {
	pools := s.opts.Pools()
	if pools == nil {
		pools = []Pool{} // [] in JSON, not null
	}
	for i := range pools {
		p := &pools[i]
		if p.Backends == nil {
			p.Backends = []Backend{}
		}
		p.Usable = 0
		for _, b := range p.Backends {
			if b.Usable && !b.Retired {
				p.Usable++
			}
		}
	}
	return pools
}

func (s *Server) pools(ctx *fasthttp.RequestCtx, _ params) {
	sendJSON(ctx, fasthttp.StatusOK, struct {
		Pools []Pool `json:"pools"`
	}{s.snapshot()})
}

func (s *Server) pool(ctx *fasthttp.RequestCtx, p params) {
	for _, pool := range s.snapshot() {
		if pool.Name == p[0] {
			sendJSON(ctx, fasthttp.StatusOK, pool)
			return
		}
	}
	NoPool(p[0]).send(ctx)
}

func (s *Server) backends(ctx *fasthttp.RequestCtx, p params) {
	for _, pool := range s.snapshot() {
		if pool.Name == p[0] {
			sendJSON(ctx, fasthttp.StatusOK, struct {
				Backends []Backend `json:"backends"`
			}{pool.Backends})
			return
		}
	}
	NoPool(p[0]).send(ctx)
}

func (s *Server) backend(ctx *fasthttp.RequestCtx, p params) {
	for _, pool := range s.snapshot() {
		if pool.Name != p[0] {
			continue
		}
		for _, b := range pool.Backends {
			if b.Name == p[1] {
				sendJSON(ctx, fasthttp.StatusOK, b)
				return
			}
		}
		NoBackend(p[0], p[1]).send(ctx)
		return
	}
	NoPool(p[0]).send(ctx)
}
