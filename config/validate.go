package config

import (
	"strings"
	"time"
	"unicode"
)

// validator checks a decoded configuration. It reports through problems and
// changes nothing.
type validator struct{ *problems }

func validate(p *problems, c *Config) {
	v := validator{p}
	v.log(c.Log)
	v.accessLogFiles(c)
	v.listeners(c)
	v.routes(c)
	v.pools(c)
	v.webhooks(c.Webhooks)
	v.tracing(c.Tracing)
	v.positive("shutdown.deadline", c.Shutdown.Deadline)
}

func (v validator) log(l Log) {
	v.oneOf("log.level", l.Level, "debug", "info", "warn", "error")
	v.oneOf("log.format", l.Format, "json", "text")
	v.oneOf("log.access_format", l.AccessFormat, "json", "combined")
	switch l.File {
	case "":
		v.check("log.file", "is empty, write stderr, stdout or a path")
	case "off":
		v.check("log.file", "cannot be off, write stderr, stdout or a path, and raise log.level to see less")
	}
	if l.Access == "" {
		v.check("log.access", "is empty, write off, stdout, stderr or a path")
	}
}

// oneOf checks a word against the legal ones.
func (v validator) oneOf(path, value string, legal ...string) {
	for _, word := range legal {
		if value == word {
			return
		}
	}
	v.check(path, "%q is not known, use one of %s", value, strings.Join(legal, ", "))
}

// positive checks a duration that has no meaning at 0.
func (v validator) positive(path string, d time.Duration) {
	if d <= 0 {
		v.check(path, "%s is not a time to wait, write more than 0, such as 10s", d)
	}
}

// between checks a number against both its bounds.
func (v validator) between(path string, n, low, high int) {
	if n < low || n > high {
		v.check(path, "%d is out of range, write %d to %d", n, low, high)
	}
}

// notNegative checks a number that may be 0.
func (v validator) notNegative(path string, n int) {
	if n < 0 {
		v.check(path, "%d is negative, write 0 or more", n)
	}
}

// maxName bounds a name, in bytes.
const maxName = 128

// IsName tells whether a backend may be called that.
func IsName(name string) bool { return name != "" && len(name) <= maxName && isPlain(name) }

func isPlain(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) })
}

// name checks what becomes a metric label, a log field and part of a URL.
func (v validator) name(path, name string) {
	switch {
	case name == "":
		v.check(path, "is missing, write a name that no other one has")
	case len(name) > maxName:
		v.check(path, "has %d bytes, use %d at most", len(name), maxName)
	case !isPlain(name):
		v.check(path, "%q has a space or an unprintable character, use letters, digits and -._ instead", name)
	}
}

// unique reports the second owner of a value that only one may have. The owner
// is the key path of what it belongs to, path that of the value itself, and
// owners holds what was met so far.
func (v validator) unique(owners map[string]string, what, value, owner, path string) {
	if value == "" {
		return
	}
	if first, taken := owners[value]; taken {
		v.check(path, "%s %q is taken by %s, give each its own", what, value, first)
		return
	}
	owners[value] = owner
}

// httpPath checks what is compared with the path of a request.
func (v validator) httpPath(path, value string) {
	switch {
	case !strings.HasPrefix(value, "/"):
		v.check(path, "%q does not start with a slash, write %q", value, "/"+value)
	case strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '?' || r == '#' }):
		v.check(path, "%q has a space, a query or a fragment, write the path alone, percent-encoded", value)
	}
}

// isToken checks the name of a header or cookie (RFC 9110, section 5.6.2).
func isToken(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}
