package config

import (
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// TLS ends the clients' TLS at a listener: with certificates from files, from
// an authority that speaks ACME, or both.
type TLS struct {
	Certificates []KeyPair `koanf:"certificates"`  // by server name; the first for clients that name none
	ACME         *ACME     `koanf:"acme"`          // nil: certificates come from files alone
	MinVersion   string    `koanf:"min_version"`   // 1.2 | 1.3
	CipherSuites []string  `koanf:"cipher_suites"` // of TLS 1.2, see [CipherSuite]; empty: the strong ones
	ClientCA     string    `koanf:"client_ca"`     // PEM file; set: clients must show a certificate that it signed
}

// KeyPair names the files of a certificate.
type KeyPair struct {
	Cert string `koanf:"cert"` // PEM: the certificate, then its chain
	Key  string `koanf:"key"`  // PEM, not encrypted
}

// ACME has certificates made and renewed by an authority (RFC 8555).
type ACME struct {
	Email     string   `koanf:"email"`     // of the account; empty: none
	Domains   []string `koanf:"domains"`   // a certificate each
	Directory string   `koanf:"directory"` // URL; empty: Let's Encrypt
	CA        string   `koanf:"ca"`        // PEM file by which the directory is verified; empty: the system's authorities
	Storage   string   `koanf:"storage"`   // directory
}

func (t *TLS) setDefaults() { t.MinVersion = "1.2" }

func (a *ACME) setDefaults() { a.Storage = "acme" }

// complete makes the paths absolute, and the domains lower case.
func (t *TLS) complete(absolute func(string) string) {
	for i := range t.Certificates {
		p := &t.Certificates[i]
		p.Cert, p.Key = absolute(p.Cert), absolute(p.Key)
	}
	t.ClientCA = absolute(t.ClientCA)
	if a := t.ACME; a != nil {
		a.CA, a.Storage = absolute(a.CA), absolute(a.Storage)
		for i := range a.Domains {
			a.Domains[i] = strings.ToLower(a.Domains[i])
		}
	}
}

// listenerFiles lists the files of all listeners.
func (c *Config) listenerFiles() []string {
	var files []string
	for _, l := range c.Listeners {
		if l.TLS == nil {
			continue
		}
		for _, p := range l.TLS.Certificates {
			files = append(files, p.Cert, p.Key)
		}
		files = append(files, l.TLS.ClientCA)
		if l.TLS.ACME != nil {
			files = append(files, l.TLS.ACME.CA)
		}
	}
	return slices.DeleteFunc(files, func(path string) bool { return path == "" })
}

// tls checks what the files that are named do not show.
func (v validator) tls(path string, t *TLS) {
	if len(t.Certificates) == 0 && t.ACME == nil {
		v.check(path+".certificates", "there are none, write at least one, such as {cert: game.crt, key: game.key}, or acme")
	}
	if t.ACME != nil {
		v.acme(path+".acme", *t.ACME)
	}
	for i, p := range t.Certificates {
		path := joinIndex(path+".certificates", i)
		if p.Cert == "" {
			v.check(path+".cert", "is missing, write the path of a PEM file with the certificate and its chain")
		}
		if p.Key == "" {
			v.check(path+".key", "is missing, write the path of the PEM file with the key that belongs to cert")
		}
	}
	v.oneOf(path+".min_version", t.MinVersion, "1.2", "1.3")
	for i, name := range t.CipherSuites {
		if _, err := CipherSuite(name); err != nil {
			v.check(joinIndex(path+".cipher_suites", i), "%v", err)
		}
	}
	if t.MinVersion == "1.3" && len(t.CipherSuites) > 0 {
		v.warn(path+".cipher_suites", "has no effect with min_version 1.3, whose suites are fixed, remove one of them")
	}
}

func (v validator) acme(path string, a ACME) {
	if len(a.Domains) == 0 {
		v.check(path+".domains", "there are none, write at least one, such as game.example.com")
	}
	owners := map[string]string{}
	for i, name := range a.Domains {
		path := joinIndex(path+".domains", i)
		_, notIP := netip.ParseAddr(name)
		switch {
		case strings.HasPrefix(name, "*."):
			v.check(path, "%q is a wildcard, which an authority only gives to who changes the DNS for it: name each host, or have another program order it and write its files under certificates", name)
		case notIP == nil || !isHostname(name):
			v.check(path, "%q is not a host name, write one such as game.example.com, without scheme, port and path", name)
		}
		v.unique(owners, "domain", name, path, path)
	}
	if _, domain, ok := strings.Cut(a.Email, "@"); a.Email != "" && (!ok || !isHostname(domain)) {
		v.check(path+".email", "%q is not an address, write one such as ops@example.com, or leave it out", a.Email)
	}
	if a.Directory != "" {
		u, err := url.Parse(a.Directory)
		if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
			v.check(path+".directory", "%q is not the URL of a directory, write it as https://acme.example/directory, or leave it out for Let's Encrypt", a.Directory)
		}
	} else if a.CA != "" {
		v.warn(path+".ca", "has no effect on Let's Encrypt's own directory but to distrust it, remove it or write directory")
	}
	if a.Storage == "" {
		v.check(path+".storage", "is empty, write the path of a directory that Holdfast may write to")
	}
}
