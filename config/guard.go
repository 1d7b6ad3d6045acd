package config

import (
	"slices"
	"time"
)

// Access says from which addresses clients may come: blocks and addresses as
// [ParsePrefix] reads them. Deny wins; an empty Allow allows all others.
type Access struct {
	Allow []string `koanf:"allow"`
	Deny  []string `koanf:"deny"`
}

// Auth is how clients prove who they are: exactly one of its fields is set.
type Auth struct {
	Basic   *BasicAuth   `koanf:"basic"`
	JWT     *JWTAuth     `koanf:"jwt"`
	Forward *ForwardAuth `koanf:"forward"`
}

// BasicAuth asks for a name and a password (RFC 7617).
type BasicAuth struct {
	Realm     string `koanf:"realm"`
	UsersFile string `koanf:"users_file"` // NAME:HASH lines, as htpasswd -B writes them
}

// JWTAuth asks for a signed token (RFC 7519). One of JWKSURL and SecretFile
// is set.
type JWTAuth struct {
	JWKSURL    string `koanf:"jwks_url"`    // of a JSON Web Key Set (RFC 7517)
	SecretFile string `koanf:"secret_file"` // holds the secret of HS256, HS384 and HS512
	Audience   string `koanf:"audience"`    // that the token must name; empty: any
	From       string `koanf:"from"`        // header | query:NAME | cookie:NAME
}

// ForwardAuth has another server decide over each request.
type ForwardAuth struct {
	URL         string        `koanf:"url"`
	CopyHeaders []string      `koanf:"copy_headers"` // from its answer to the backend's request
	Timeout     time.Duration `koanf:"timeout"`
}

func (b *BasicAuth) setDefaults() { b.Realm = "restricted" }

func (j *JWTAuth) setDefaults() { j.From = "header" }

func (f *ForwardAuth) setDefaults() { f.Timeout = 5 * time.Second }

// Files lists the files whose contents belong to the configuration, as the
// configuration names them: what runs may change with them although the
// configuration's own file does not.
func (c *Config) Files() []string {
	var files []string
	for _, r := range c.Routes {
		switch a := r.Auth; {
		case a == nil:
		case a.Basic != nil:
			files = append(files, a.Basic.UsersFile)
		case a.JWT != nil && a.JWT.SecretFile != "":
			files = append(files, a.JWT.SecretFile)
		}
	}
	return slices.Concat(files, c.listenerFiles(), c.poolFiles(), c.webhookFiles())
}
