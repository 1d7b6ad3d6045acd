package config

// Secret is text that must not reach a log or a terminal. Every way of
// printing it shows [redacted]; string(s) gives the text itself.
type Secret string

const redacted = "[redacted]"

// String hides the secret from fmt's %v, %s, %q and %x.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// GoString hides the secret from fmt's %#v.
func (s Secret) GoString() string { return `"` + s.String() + `"` }

// MarshalText hides the secret from encoding/json and log/slog.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
