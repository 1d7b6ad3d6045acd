package tracing

import (
	"regexp"
	"strings"
	"testing"
	"time"
)

var (
	// W3C Trace Context, sections 3.2 and 3.3: what may be sent.
	wellFormed = regexp.MustCompile(`^traceparent: 00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]\r\n(tracestate: [\x20-\x7e]+\r\n)?$`)
	version00  = regexp.MustCompile(`^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`)
)

// FuzzTraceContext: whatever comes as trace context, the backend gets a
// well-formed one; who is not trusted chooses no part of it.
func FuzzTraceContext(f *testing.F) {
	for _, p := range []string{parent("01"), parent("00"), "cc" + parent("01")[2:] + "-what", "ff" + parent("01")[2:], strings.ToUpper(parent("01")),
		"00-" + strings.Repeat("0", 32) + "-" + remoteSpan + "-01", "00", ""} {
		f.Add(p, "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", true)
	}
	f.Add(parent("01"), "a=b,,c=d\r\nX: y", true)
	f.Add(parent("01"), strings.Repeat("a=b,", 40), false)
	// Nothing is kept that a trusted peer does not want kept, and nothing ends,
	// so that there is nothing to send to a collector.
	r := newRig(f, "http://127.0.0.1:1/v1/traces", 0)
	f.Fuzz(func(t *testing.T, parent, state string, trusted bool) {
		s := r.Begin(Remote{Parent: parent, State: state, Trusted: trusted}, time.Now())
		whole, attempt := string(s.AppendFields(nil)), string(s.Attempt("p", "b", "10.0.0.1:80", "GET", 0).AppendFields(nil))
		for _, fields := range []string{whole, attempt} {
			if !wellFormed.MatchString(fields) {
				t.Errorf("%q, %q: the backend gets %q", parent, state, fields)
			}
		}
		id := whole[len("traceparent: 00-"):][:32]
		if !strings.Contains(attempt, id) {
			t.Errorf("%q: the attempt %q is of another trace than %q", parent, attempt, whole)
		}
		switch follows := len(parent) >= 35 && id == parent[3:35]; {
		case follows && !trusted:
			t.Errorf("%q: a stranger chooses the trace %q", parent, whole)
		case trusted && !follows && version00.MatchString(parent) && !strings.Contains(parent, strings.Repeat("0", 16)):
			t.Errorf("%q is not followed: %q", parent, whole)
		case !trusted && strings.Contains(whole, "tracestate"):
			t.Errorf("%q: a stranger's state goes on: %q", state, whole)
		}
	})
}
