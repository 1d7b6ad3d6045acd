package config

import (
	"maps"
	"slices"
)

// BackendTLS says how the https backends of a pool are spoken to. Its zero
// value verifies them by the system's own authorities and by the host of their
// URL.
type BackendTLS struct {
	CA                 string `koanf:"ca"`          // PEM file of authorities; empty: the system's
	ServerName         string `koanf:"server_name"` // asked for (SNI) and verified; empty: the URL's host
	InsecureSkipVerify bool   `koanf:"insecure_skip_verify"`
	Cert               string `koanf:"cert"` // PEM file of the client certificate and its chain; empty: none
	Key                string `koanf:"key"`  // PEM file of its key
}

// complete makes the paths absolute.
func (b *BackendTLS) complete(absolute func(string) string) {
	b.CA, b.Cert, b.Key = absolute(b.CA), absolute(b.Cert), absolute(b.Key)
}

// files lists those that are named.
func (b BackendTLS) files() []string {
	return slices.DeleteFunc([]string{b.CA, b.Cert, b.Key}, func(path string) bool { return path == "" })
}

// HasTLS tells whether any backend of the pool is spoken to over TLS, or may be
// once it is found.
func (p Pool) HasTLS() bool {
	return p.Discovery.finds("https") || slices.ContainsFunc(p.Backends, func(b Backend) bool {
		scheme, _ := b.Target()
		return scheme == "https"
	})
}

// poolFiles lists the files of all pools, in the order of their names.
func (c *Config) poolFiles() []string {
	var files []string
	for _, name := range slices.Sorted(maps.Keys(c.Pools)) {
		if p := c.Pools[name]; p.HasTLS() {
			files = append(files, p.BackendTLS.files()...)
		}
	}
	return files
}

func (v validator) backendTLS(path string, p Pool) {
	b := p.BackendTLS
	if v.given[path] && !p.HasTLS() && !v.hasFailed(path) {
		v.warn(path, "has no effect: no backend of this pool is https or wss, write https://host:port or remove it")
	}
	switch {
	case b.Cert != "" && b.Key == "":
		v.check(path+".key", "is missing, write the path of the key that belongs to cert")
	case b.Key != "" && b.Cert == "":
		v.check(path+".cert", "is missing, write the path of the certificate that key belongs to")
	}
	if b.ServerName != "" && !isHostname(b.ServerName) {
		v.check(path+".server_name", "%q is not a host name, write a name that stands in the backends' certificate, or leave it out for the host of each URL", b.ServerName)
	}
	if !b.InsecureSkipVerify {
		return
	}
	v.warn(path+".insecure_skip_verify", "is true: whoever is on the way to the backends can read and change everything, write ca: with the certificate of the authority that signed theirs")
	if b.CA != "" {
		v.warn(path+".ca", "has no effect with insecure_skip_verify: true, remove one of them")
	}
}
