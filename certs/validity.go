package certs

import (
	"crypto/x509"
	"fmt"
	"strings"
	"time"
)

// longNotice is how long before its end a certificate is warned of. One with a
// short life is warned of when a third of it is left, or a sixth if Holdfast
// itself should have renewed it by then.
const longNotice = 14 * 24 * time.Hour

func notice(leaf *x509.Certificate, ordered bool) time.Duration {
	part := time.Duration(3)
	if ordered {
		part = 6
	}
	return min(longNotice, leaf.NotAfter.Sub(leaf.NotBefore)/part)
}

// validity is how a certificate stands to the time.
type validity uint8

const (
	valid   validity = iota
	ending           // soon
	invalid          // not yet, or no longer
)

// validity tells how the certificate stands to now, and says so unless it is
// valid and stays so for a while.
func (c *certificate) validity(now time.Time) (validity, string) {
	say := func(format string, args ...any) string {
		return mistake{c.key, c.file, fmt.Sprintf(format, args...)}.Error()
	}
	leaf := c.Leaf
	switch left := leaf.NotAfter.Sub(now); {
	case left <= 0:
		return invalid, say("EXPIRED on %s, %s ago: clients refuse it, put a renewed one there", day(leaf.NotAfter), rough(-left))
	case now.Before(leaf.NotBefore):
		return invalid, say("is not valid before %s, in %s: clients refuse it until then; is the clock of this machine right?", day(leaf.NotBefore), rough(leaf.NotBefore.Sub(now)))
	case left < notice(leaf, c.ordered):
		return ending, say("expires on %s, in %s: renew it", day(leaf.NotAfter), rough(left))
	}
	return valid, ""
}

// day writes a time as operators compare it.
func day(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// rough writes a duration in whole days, or in hours and minutes below two.
func rough(d time.Duration) string {
	if d >= 48*time.Hour {
		return fmt.Sprintf("%d days", int(d.Hours()/24))
	}
	if d < time.Minute {
		return "less than a minute"
	}
	return strings.TrimSuffix(d.Truncate(time.Minute).String(), "0s")
}
