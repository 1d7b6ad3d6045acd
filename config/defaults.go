package config

import (
	"path/filepath"
	"strings"
	"time"
)

// defaulter is a struct whose absent keys mean something other than Go's zero
// values. Decoding calls it on each struct that it makes, before it looks at
// the keys that are there: an explicit 0 stays 0, in lists and maps too.
type defaulter interface{ setDefaults() }

func (c *Config) setDefaults() {
	c.Admin.Address = "127.0.0.1:9090"
	c.Log = Log{Level: "info", Format: "json", File: "stderr", Access: "stdout", AccessFormat: "json"}
	c.Shutdown.Deadline = 30 * time.Second
	c.Tracing.setDefaults()
}

func (l *Listener) setDefaults() {
	l.Limits.MaxHeaderBytes = 16 << 10
	l.Timeouts = ListenerTimeouts{Header: 10 * time.Second, Body: 30 * time.Second, Idle: 120 * time.Second}
}

func (r *Route) setDefaults() {
	r.Path = "/"
	r.PreserveHost = true
	r.Retries = 2
	r.Timeouts = RouteTimeouts{
		Connect:  2 * time.Second,
		Response: 30 * time.Second,
		Body:     60 * time.Second,
		Idle:     10 * time.Minute,
	}
	r.WebSocket.OverLimit = "close"
}

func (p *Pool) setDefaults() {
	p.Balance = "least_conn"
	p.WhenAllDown = "fail"
	p.Queue.Timeout = 5 * time.Second
	p.Drain = DefaultDrain()
	p.Health = Health{
		Path:     "/health",
		Expect:   "200-399",
		Interval: 2 * time.Second,
		Timeout:  1 * time.Second,
		Rise:     2,
		Fall:     3,
		Initial:  "down",
	}
}

// DefaultDrain is how a pool is drained that says nothing of it.
func DefaultDrain() Drain {
	return Drain{Deadline: 5 * time.Minute, CloseCode: 1012, ClosesPerSecond: 100, WhenRemoved: "keep"}
}

func (p *Passive) setDefaults() {
	*p = Passive{Failures: 5, Window: 10 * time.Second, Eject: 30 * time.Second, MaxEjectedPercent: 50}
}

func (s *Sticky) setDefaults() {
	s.TTL = 30 * time.Minute
	s.MaxEntries = 1_000_000
}

func (b *Backend) setDefaults() {
	b.Weight = 1
}

// complete fills what follows from other keys and brings values into the one
// form that readers expect: relative paths start at dir, hosts are in lower
// case, strip_prefix ends without a slash. given holds the key paths that
// somebody wrote.
func (c *Config) complete(dir string, given map[string]bool) {
	absolute := func(path string) string {
		if path == "" || filepath.IsAbs(path) {
			return path
		}
		return filepath.Join(dir, path)
	}
	if !isStream(c.Log.File) {
		c.Log.File = absolute(c.Log.File)
	}
	if !isStream(c.Log.Access) {
		c.Log.Access = absolute(c.Log.Access)
	}
	c.completeAccessLogs(absolute)
	for i := range c.Listeners {
		if path, ok := strings.CutPrefix(c.Listeners[i].Address, unixPrefix); ok {
			c.Listeners[i].Address = unixPrefix + absolute(path)
		}
		if t := c.Listeners[i].TLS; t != nil {
			t.complete(absolute)
		}
	}
	for i := range c.Routes {
		r := &c.Routes[i]
		for j := range r.Hosts {
			r.Hosts[j] = strings.ToLower(r.Hosts[j])
		}
		if r.Name == "" {
			r.Name = r.Path
			if len(r.Hosts) > 0 {
				r.Name = r.Hosts[0] + r.Path
			}
		}
		r.StripPrefix = strings.TrimRight(r.StripPrefix, "/")
		if a := r.Auth; a != nil && a.Basic != nil {
			a.Basic.UsersFile = absolute(a.Basic.UsersFile)
		}
		if a := r.Auth; a != nil && a.JWT != nil {
			a.JWT.SecretFile = absolute(a.JWT.SecretFile)
		}
	}
	c.Tracing.complete()
	for i := range c.Webhooks {
		c.Webhooks[i].complete(absolute)
	}
	for name, pool := range c.Pools {
		// Who asks for quick probes need not ask for quick answers too.
		if h := &pool.Health; h.Timeout > h.Interval && h.Interval > 0 && !given["pools."+name+".health.timeout"] {
			h.Timeout = h.Interval
		}
		pool.BackendTLS.complete(absolute)
		if d := pool.Discovery; d != nil && d.File != nil {
			d.File.Path = absolute(d.File.Path)
		}
		c.Pools[name] = pool
		for i := range pool.Backends {
			if b := &pool.Backends[i]; b.Name == "" {
				_, b.Name = b.Target()
			}
		}
	}
}
