package config

// Redirect answers every request of a route with another address.
type Redirect struct {
	Status int    `koanf:"status"` // 301 | 302 | 303 | 307 | 308
	To     string `koanf:"to"`     // a template of RedirectVariables
}

// Respond answers every request of a route with the same text.
type Respond struct {
	Status int    `koanf:"status"` // 200 to 599
	Body   string `koanf:"body"`   // text/plain, unless headers.response says otherwise
}

// Rewrite changes the path that a backend sees, after strip_prefix.
type Rewrite struct {
	Pattern     string `koanf:"pattern"`     // regular expression (RE2) for the path alone
	Replacement string `koanf:"replacement"` // of each match; $1 or ${name} is a group
}

// Headers are the rules for both directions of a route.
type Headers struct {
	Request  HeaderRules `koanf:"request"`
	Response HeaderRules `koanf:"response"`
}

// HeaderRules change header fields. A name stands in one of the three only.
// Values are templates of HeaderVariables.
type HeaderRules struct {
	Set    map[string]string `koanf:"set"`    // in place of all fields of the name
	Add    map[string]string `koanf:"add"`    // beside the fields of the name
	Remove []string          `koanf:"remove"` // all fields of the name
}

// IsZero tells that there is no rule.
func (r HeaderRules) IsZero() bool { return len(r.Set)+len(r.Add)+len(r.Remove) == 0 }

func (r *Redirect) setDefaults() { r.Status = 302 }

func (r *Respond) setDefaults() { r.Status = 200 }
