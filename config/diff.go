package config

import (
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Diff is one line about what new has otherwise than old, by name: + added,
// - removed, ~ changed, with a pool's backends in parentheses, such as
//
//	listeners +secure; routes ~arena; pools -old ~arena(+arena-3 ~arena-1); log
//
// It is empty when the two mean the same. Neither is changed. Values are not
// shown, and so no secret is.
func Diff(old, new *Config) string {
	var parts []string
	add := func(section, changes string) {
		if changes != "" {
			parts = append(parts, section+" "+changes)
		}
	}
	// No two listeners or routes can be confused, so their order means nothing.
	add("listeners", diffNamed(
		byName(old.Listeners, func(l Listener) string { return l.Name }),
		byName(new.Listeners, func(l Listener) string { return l.Name }), nil))
	add("routes", diffNamed(
		byName(old.Routes, func(r Route) string { return r.Name }),
		byName(new.Routes, func(r Route) string { return r.Name }), nil))
	add("pools", diffNamed(old.Pools, new.Pools, diffBackends))
	add("webhooks", diffNamed(
		byName(old.Webhooks, func(w Webhook) string { return w.Name }),
		byName(new.Webhooks, func(w Webhook) string { return w.Name }), nil))
	if old.Admin != new.Admin {
		parts = append(parts, "admin")
	}
	if old.Log != new.Log {
		parts = append(parts, "log")
	}
	if !reflect.DeepEqual(old.Tracing, new.Tracing) {
		parts = append(parts, "tracing")
	}
	if old.Shutdown != new.Shutdown {
		parts = append(parts, "shutdown")
	}
	return strings.Join(parts, "; ")
}

// diffNamed compares two sets of named things. The optional inside adds what
// changed within a thing that both have.
func diffNamed[T any](old, new map[string]T, inside func(old, new T) string) string {
	names := maps.Clone(old)
	if names == nil {
		names = map[string]T{}
	}
	maps.Copy(names, new)
	var added, removed, changed []string
	for _, name := range slices.Sorted(maps.Keys(names)) {
		before, had := old[name]
		after, has := new[name]
		switch {
		case !had:
			added = append(added, "+"+name)
		case !has:
			removed = append(removed, "-"+name)
		case !reflect.DeepEqual(before, after):
			detail := ""
			if inside != nil {
				detail = inside(before, after)
			}
			changed = append(changed, "~"+name+detail)
		}
	}
	return strings.Join(slices.Concat(added, removed, changed), " ")
}

// diffBackends is the parenthesis behind a pool. It is empty when the pool
// itself, or the order of its backends, is all that changed.
func diffBackends(old, new Pool) string {
	name := func(b Backend) string { return b.Name }
	changes := diffNamed(byName(old.Backends, name), byName(new.Backends, name), nil)
	if changes == "" {
		return ""
	}
	return "(" + changes + ")"
}

func byName[T any](list []T, name func(T) string) map[string]T {
	m := make(map[string]T, len(list))
	for _, item := range list {
		m[name(item)] = item
	}
	return m
}
