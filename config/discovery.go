package config

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Discovery says where backends are found beside those that the file lists. One
// of DNS, File and HTTP is set.
type Discovery struct {
	DNS  *DNSDiscovery  `koanf:"dns"`
	File *FileDiscovery `koanf:"file"`
	HTTP *HTTPDiscovery `koanf:"http"`

	MaxBackends int  `koanf:"max_backends"` // an answer with more is not taken
	AllowEmpty  bool `koanf:"allow_empty"`  // an empty answer is taken
}

// DNSDiscovery finds backends by a name.
type DNSDiscovery struct {
	Name    string        `koanf:"name"`
	Type    string        `koanf:"type"`    // a: A and AAAA | srv
	Port    int           `koanf:"port"`    // of backends; srv has its own
	Scheme  string        `koanf:"scheme"`  // http | https
	Server  string        `koanf:"server"`  // host:port; empty: the system's
	MinTTL  time.Duration `koanf:"min_ttl"` // an answer is used for its TTL, but not for less
	Timeout time.Duration `koanf:"timeout"` // of one question to one server

	MaxConnections int `koanf:"max_connections"` // of each backend; 0: no limit
}

// FileDiscovery finds backends in a file that others write: a list as that of
// Pool.Backends, in YAML or JSON by its ending.
type FileDiscovery struct {
	Path string `koanf:"path"`
}

// HTTPDiscovery finds backends in a list that a server has, in JSON.
type HTTPDiscovery struct {
	URL      string        `koanf:"url"`
	Interval time.Duration `koanf:"interval"`
	Timeout  time.Duration `koanf:"timeout"`
	Token    Secret        `koanf:"token"` // shown as a Bearer token; empty: none
}

func (d *Discovery) setDefaults() { d.MaxBackends = 1000 }

func (d *DNSDiscovery) setDefaults() {
	*d = DNSDiscovery{Type: "a", Scheme: "http", MinTTL: 5 * time.Second, Timeout: 2 * time.Second}
}

func (d *HTTPDiscovery) setDefaults() {
	d.Interval, d.Timeout = 5*time.Second, 2*time.Second
}

// finds tells whether backends of the scheme may be found.
func (d *Discovery) finds(scheme string) bool {
	return d != nil && (d.DNS == nil || d.DNS.Scheme == scheme)
}

// WithBackends is c with backends beside those of its pools, by pool. What the
// file lists comes first: a found backend at the same address is left out, and
// one that has somebody else's name is called by its address.
func (c *Config) WithBackends(found map[string][]Backend) *Config {
	all := *c
	all.Pools = make(map[string]Pool, len(c.Pools))
	for name, p := range c.Pools {
		p.Backends = join(p.Backends, found[name])
		all.Pools[name] = p
	}
	return &all
}

func join(listed, found []Backend) []Backend {
	all := slices.Clone(listed)
	names, addresses := map[string]bool{}, map[string]bool{}
	for _, b := range listed {
		_, address := b.Target()
		names[b.Name], addresses[address] = true, true
	}
	for _, b := range found {
		_, address := b.Target()
		if addresses[address] {
			continue
		}
		if b.Name = cmp.Or(b.Name, address); names[b.Name] {
			b.Name = address
		}
		if names[b.Name] { // somebody's name is another's address
			continue
		}
		names[b.Name], addresses[address] = true, true
		all = append(all, b)
	}
	return all
}

const (
	// minPause keeps a source from being asked in a loop.
	minPause = 100 * time.Millisecond
	// maxFound bounds what one source may find.
	maxFound = 10_000
)

func (v validator) discovery(path string, d Discovery) {
	ways := 0
	if d.DNS != nil {
		ways++
		v.dnsDiscovery(path+".dns", *d.DNS)
	}
	if d.File != nil {
		ways++
		if d.File.Path == "" {
			v.check(path+".file.path", "is missing, write the path of a list of backends")
		} else if !isListFile(d.File.Path) {
			v.check(path+".file.path", "the ending of %q names no format, rename the file to end in .yaml, .yml or .json", d.File.Path)
		}
	}
	if d.HTTP != nil {
		ways++
		v.httpDiscovery(path+".http", *d.HTTP)
	}
	if ways != 1 {
		v.check(path, "holds %d sources, write one of dns, file and http", ways)
	}
	v.between(path+".max_backends", d.MaxBackends, 1, maxFound)
}

func (v validator) dnsDiscovery(path string, d DNSDiscovery) {
	if !isHostname(strings.TrimSuffix(d.Name, ".")) {
		v.check(path+".name", "%q is not a name in the DNS, write it as arena.default.svc.cluster.local", d.Name)
	}
	v.oneOf(path+".type", d.Type, "a", "srv")
	v.oneOf(path+".scheme", d.Scheme, "http", "https")
	switch d.Type {
	case "a":
		v.between(path+".port", d.Port, 1, 65535)
	case "srv":
		if v.given[path+".port"] {
			v.warn(path+".port", "has no effect with type: srv, whose records have ports, remove it")
		}
	}
	if d.Server != "" {
		if a, err := parseListenAddress(d.Server); err != nil || a.port == 0 || a.host == "" && a.unix == "" || a.unix != "" {
			v.check(path+".server", "%q is not host:port, write it as 10.0.0.2:53", d.Server)
		}
	}
	v.pause(path+".min_ttl", d.MinTTL)
	v.positive(path+".timeout", d.Timeout)
	v.notNegative(path+".max_connections", d.MaxConnections)
}

func (v validator) httpDiscovery(path string, d HTTPDiscovery) {
	if d.URL == "" {
		v.check(path+".url", "is missing, write the URL of a list of backends, such as http://127.0.0.1:8500/arena.json")
	} else {
		v.peerURL(path+".url", d.URL, "decides where players go")
	}
	v.pause(path+".interval", d.Interval)
	v.positive(path+".timeout", d.Timeout)
}

// pause checks how long somebody else is left alone.
func (v validator) pause(path string, d time.Duration) {
	if d < minPause {
		v.check(path, "%s is too short, write %s or more", d, minPause)
	}
}
