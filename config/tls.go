package config

import "slices"

// TLS ends the clients' TLS at a listener.
type TLS struct {
	Certificates []KeyPair `koanf:"certificates"`  // by server name; the first for clients that name none
	MinVersion   string    `koanf:"min_version"`   // 1.2 | 1.3
	CipherSuites []string  `koanf:"cipher_suites"` // of TLS 1.2, see [CipherSuite]; empty: the strong ones
	ClientCA     string    `koanf:"client_ca"`     // PEM file; set: clients must show a certificate that it signed
}

// KeyPair names the files of a certificate.
type KeyPair struct {
	Cert string `koanf:"cert"` // PEM: the certificate, then its chain
	Key  string `koanf:"key"`  // PEM, not encrypted
}

func (t *TLS) setDefaults() { t.MinVersion = "1.2" }

// complete makes the paths absolute.
func (t *TLS) complete(absolute func(string) string) {
	for i := range t.Certificates {
		p := &t.Certificates[i]
		p.Cert, p.Key = absolute(p.Cert), absolute(p.Key)
	}
	t.ClientCA = absolute(t.ClientCA)
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
	}
	return slices.DeleteFunc(files, func(path string) bool { return path == "" })
}

// tls checks what the files that are named do not show.
func (v validator) tls(path string, t *TLS) {
	if len(t.Certificates) == 0 {
		v.check(path+".certificates", "there are none, write at least one, such as {cert: game.crt, key: game.key}")
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
