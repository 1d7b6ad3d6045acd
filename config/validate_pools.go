package config

import (
	"maps"
	"slices"
	"strings"
)

const (
	maxWeight = 1000
	// maxWarm is enough for a burst of handshakes, and little for a backend.
	maxWarm = 1000
	// maxEntries keeps a slip of the pen from ending the process, with all its
	// sockets, for want of memory: a table of so many takes 1.6 GB.
	maxEntries = 100_000_000
	// minSecret is half the length of the HMAC's own output: fewer bytes are
	// within reach of guessing.
	minSecret = 16
)

func (v validator) pools(c *Config) {
	used := map[string]bool{}
	for _, r := range c.Routes {
		used[r.Pool] = true
	}
	for _, name := range slices.Sorted(maps.Keys(c.Pools)) {
		pool, path := c.Pools[name], joinKey("pools", name)
		v.name(path, name)
		if !used[name] && !v.hasFailed("routes") {
			v.warn(path, "no route uses this pool, remove it or name it in a route")
		}
		v.balance(path, pool)
		if pool.Sticky != nil {
			v.sticky(path+".sticky", *pool.Sticky)
		}
		if len(pool.Backends) > 0 || pool.Discovery == nil {
			v.backends(path+".backends", pool.Backends)
		}
		if pool.Discovery != nil {
			v.discovery(path+".discovery", *pool.Discovery)
		}
		v.backendTLS(path+".backend_tls", pool)
		if pool.SendProxy != "" {
			v.oneOf(path+".send_proxy", pool.SendProxy, "v1", "v2")
		}
		v.warm(path, pool)
		v.health(path+".health", pool.Health)
		v.oneOf(path+".when_all_down", pool.WhenAllDown, "fail", "try")
		v.drain(path+".drain", pool.Drain)
		v.slowStart(path, pool)
		v.governor(path, pool)
		if pool.Passive != nil {
			v.passive(path+".passive", *pool.Passive)
		}
	}
}

func (v validator) warm(path string, p Pool) {
	if p.Warm < 0 || p.Warm > maxWarm {
		v.check(path+".warm", "%d is out of range, write 0 for none, up to %d", p.Warm, maxWarm)
	}
	if p.Warm == 0 || p.SendProxy == "" {
		return
	}
	for i, b := range p.Backends {
		if scheme, _, err := parseTarget(b.URL); err == nil && scheme == "https" {
			v.check(path+".warm", "cannot be had with send_proxy and the https backend %d: whose the connection is goes before TLS, remove one of them", i)
			return
		}
	}
}

func (v validator) balance(path string, p Pool) {
	v.oneOf(path+".balance", p.Balance, "least_conn", "p2c", "round_robin", "random", "hash", "first")
	const forms = "source_ip, path, header:NAME, query:NAME or cookie:NAME"
	if p.Balance != "hash" {
		if p.HashKey != "" {
			v.warn(path+".hash_key", "has no effect with balance %s, remove it or write balance: hash", p.Balance)
		}
		return
	}
	kind, name, named := strings.Cut(p.HashKey, ":")
	switch {
	case p.HashKey == "":
		v.check(path+".hash_key", "is missing, balance hash needs one of %s", forms)
	case !named && (kind == "source_ip" || kind == "path"):
	case named && (kind == "header" || kind == "cookie") && isToken(name):
	case named && kind == "query" && name != "":
	default:
		v.check(path+".hash_key", "%q is not known, write %s", p.HashKey, forms)
	}
}

func (v validator) sticky(path string, s Sticky) {
	v.oneOf(path+".by", s.By, "cookie", "query", "header", "source_ip", "token")
	switch s.By {
	case "cookie", "header":
		if !isToken(s.Name) {
			v.check(path+".name", "%q cannot name a %s, write letters, digits and -_", s.Name, s.By)
		}
	case "query":
		if s.Name == "" {
			v.check(path+".name", "is missing, write the name of the query parameter")
		}
	case "token":
		if refusedHeader("set", s.Name, toClient) != "" {
			v.check(path+".name", "%q cannot name a token, which answers bear in a header of that name, write another such as X-Seat", s.Name)
		}
	case "source_ip":
		if s.Name != "" {
			v.warn(path+".name", "has no effect with by: source_ip, remove it")
		}
	}
	if s.By == "cookie" || s.By == "token" {
		if s.Secret != "" && len(s.Secret) < minSecret {
			v.check(path+".secret", "has %d bytes, write %d at least, or none for a random one", len(s.Secret), minSecret)
		}
		if v.given[path+".max_entries"] {
			v.warn(path+".max_entries", "has no effect with by: %s, which needs no table, remove it", s.By)
		}
	} else if s.Secret != "" {
		v.warn(path+".secret", "has no effect with by: %s, remove it", s.By)
	}
	v.positive(path+".ttl", s.TTL)
	v.between(path+".max_entries", s.MaxEntries, 1, maxEntries)
}

func (v validator) backends(path string, backends []Backend) {
	if len(backends) == 0 {
		v.check(path, `there are none, write at least one, such as {url: "http://127.0.0.1:9000"}`)
	}
	names, addresses := map[string]string{}, map[string]string{}
	for i, b := range backends {
		here := joinIndex(path, i)
		_, address, err := parseTarget(b.URL)
		if err != nil {
			v.check(here+".url", "%v", err)
		}
		v.unique(addresses, "address", address, here, here+".url")
		if b.Name != "" || err == nil { // the name follows from a URL that is reported
			v.name(here+".name", b.Name)
		}
		// A second backend at an address has the first one's name too, unless
		// somebody wrote another; one mistake is told once.
		if v.given[here+".name"] || addresses[address] == here {
			v.unique(names, "name", b.Name, here, here+".name")
		}
		if b.Weight == 0 {
			v.check(here+".weight", "0 gives it nothing to do, write 1 to %d or remove the backend", maxWeight)
		} else {
			v.between(here+".weight", b.Weight, 1, maxWeight)
		}
		v.notNegative(here+".max_connections", b.MaxConnections)
	}
}

func (v validator) health(path string, h Health) {
	if h.Type == "" {
		// Whoever writes an interval believes that probes run.
		if v.given[path] && !v.given[path+".type"] {
			v.check(path+".type", "is missing, so nothing would be probed, use one of http, tcp, websocket")
		}
	} else {
		v.oneOf(path+".type", h.Type, "http", "tcp", "websocket")
	}
	v.httpPath(path+".path", h.Path)
	if _, err := ParseStatuses(h.Expect); err != nil {
		v.check(path+".expect", "%v", err)
	}
	v.positive(path+".interval", h.Interval)
	v.positive(path+".timeout", h.Timeout)
	if h.Timeout > h.Interval && h.Interval > 0 {
		v.check(path+".timeout", "%s is longer than the interval of %s, write %[2]s or less", h.Timeout, h.Interval)
	}
	if h.Rise < 1 {
		v.check(path+".rise", "%d would never bring a backend up, write 1 or more", h.Rise)
	}
	if h.Fall < 1 {
		v.check(path+".fall", "%d would never take a backend down, write 1 or more", h.Fall)
	}
	v.oneOf(path+".initial", h.Initial, "down", "up")
	v.between(path+".retries", h.Retries, 0, maxRetries)
	v.healthUnused(path, h)
}

// healthUnused warns of keys that the chosen check does not look at.
func (v validator) healthUnused(path string, h Health) {
	var unused []string
	switch h.Type {
	case "tcp":
		unused = []string{"path", "expect", "retries", "load_reports"}
	case "websocket":
		unused = []string{"expect", "retries"}
	}
	for _, key := range unused {
		if v.given[path+"."+key] {
			v.warn(path+"."+key, "has no effect with type: %s, remove it", h.Type)
		}
	}
}
