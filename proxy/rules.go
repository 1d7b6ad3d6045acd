package proxy

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/config"
)

// fieldRules are the compiled headers rules of one direction. A nil
// *fieldRules has none.
type fieldRules struct {
	drop  []string // in lower case, with hyphens; of set and remove
	write []fieldRule

	host template // of requests; nil: no rule
	// Fields that this proxy writes itself and that a rule stands in for.
	instead omitted
}

// fieldRule is a field to write.
type fieldRule struct {
	name  string
	value template
}

// omitted are fields that this proxy writes unless told otherwise.
type omitted struct{ forwardedFor, proto, forwardedHost, id, forwarded, trace bool }

// compileRules compiles the rules of one direction.
func compileRules(r config.HeaderRules) (*fieldRules, error) {
	if r.IsZero() {
		return nil, nil
	}
	rules := &fieldRules{}
	for _, fields := range []map[string]string{r.Set, r.Add} {
		for _, name := range slices.Sorted(maps.Keys(fields)) {
			value, err := compileTemplate(fields[name], config.HeaderVariables)
			if err != nil {
				return nil, fmt.Errorf("value of %q: %w", name, err)
			}
			if isName([]byte(name), "host") {
				rules.host = value
				continue
			}
			rules.write = append(rules.write, fieldRule{name: name, value: value})
		}
	}
	for _, name := range slices.Concat(slices.Sorted(maps.Keys(r.Set)), r.Remove) {
		lower := bytes.ReplaceAll(bytes.ToLower([]byte(name)), []byte("_"), []byte("-"))
		rules.drop = append(rules.drop, string(lower))
		switch classify(lower) {
		case forwardedFor:
			rules.instead.forwardedFor = true
		case forwardedProto:
			rules.instead.proto = true
		case forwardedHost:
			rules.instead.forwardedHost = true
		case requestIDField:
			rules.instead.id = true
		case plain:
			rules.instead.trace = rules.instead.trace || isTraceContext(lower)
		case forwardedOther:
			rules.instead.forwarded = rules.instead.forwarded || isName(lower, "forwarded")
		}
	}
	return rules, nil
}

// drops tells whether a field of that name does not pass.
func (r *fieldRules) drops(name []byte) bool {
	for _, d := range r.drop {
		if isNameOrUnderscored(name, d) {
			return true
		}
	}
	return false
}

// appendFields appends the fields that the rules write.
func (r *fieldRules) appendFields(dst []byte, f *facts) []byte {
	for i := range r.write {
		rule := &r.write[i]
		start := len(dst)
		dst = append(dst, rule.name...)
		dst = append(dst, ':', ' ')
		value := len(dst)
		dst = rule.value.appendTo(dst, f)
		if len(dst) == value {
			dst = dst[:start] // empty: not written
			continue
		}
		dst = append(dst, '\r', '\n')
	}
	return dst
}

// apply changes the header of an answer. buf is memory to write values with,
// which is returned.
func (r *fieldRules) apply(h *fasthttp.ResponseHeader, f *facts, buf []byte) []byte {
	h.DisableNormalizing() // names stay as they are spelt
	for _, name := range r.drop {
		for {
			found := r.find(h, name)
			if found == nil {
				break
			}
			buf = append(buf[:0], found...)
			h.DelBytes(buf)
		}
	}
	for i := range r.write {
		rule := &r.write[i]
		if buf = rule.value.appendTo(buf[:0], f); len(buf) > 0 {
			h.AddBytesV(rule.name, buf)
		}
	}
	return buf
}

// find returns the name of the first field that a rule for name drops, as it
// is spelt.
func (r *fieldRules) find(h *fasthttp.ResponseHeader, name string) []byte {
	for n := range h.All() {
		if isNameOrUnderscored(n, name) {
			return n
		}
	}
	return nil
}
