package admin

import "time"

// Pool is one pool as /api/v1/pools shows it.
type Pool struct {
	Name     string    `json:"name"`
	Balance  string    `json:"balance"`
	Usable   int       `json:"usable"` // computed by this package: backends that can be picked
	Backends []Backend `json:"backends"`
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
	Why            string    `json:"why"`            // of State
	Since          time.Time `json:"since,omitzero"` // when State was found first
	LastProbe      *Probe    `json:"last_probe,omitempty"`
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
