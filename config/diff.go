package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Of names in one list of a Diff, and of keys behind one name, so many are
// shown. The others are counted.
const (
	diffNames = 8
	diffKeys  = 6
)

// Diff is one line about what new has otherwise than old, by name: + added,
// - removed, ~ changed, with the keys that changed, and a pool's backends, in
// parentheses, such as
//
//	listeners +secure; routes ~arena(timeouts.idle); pools -old ~arena(balance +arena-3 ~arena-1(weight)); log(level)
//
// It is empty when the two mean the same, and has a bound on its length. Neither
// is changed. Values are not shown, and so no secret is.
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
		byName(new.Listeners, func(l Listener) string { return l.Name }), diffKeysOf))
	add("routes", diffNamed(
		byName(old.Routes, func(r Route) string { return r.Name }),
		byName(new.Routes, func(r Route) string { return r.Name }), diffKeysOf))
	add("pools", diffNamed(old.Pools, new.Pools, diffPool))
	add("webhooks", diffNamed(
		byName(old.Webhooks, func(w Webhook) string { return w.Name }),
		byName(new.Webhooks, func(w Webhook) string { return w.Name }), diffKeysOf))
	whole := func(section, changes string) {
		if changes != "" {
			parts = append(parts, section+"("+changes+")")
		}
	}
	whole("admin", diffKeysOf(old.Admin, new.Admin))
	whole("log", diffKeysOf(old.Log, new.Log))
	whole("tracing", diffKeysOf(old.Tracing, new.Tracing))
	whole("shutdown", diffKeysOf(old.Shutdown, new.Shutdown))
	return strings.Join(parts, "; ")
}

// diffNamed compares two sets of named things. inside says what changed within
// a thing that both have.
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
			if detail := inside(before, after); detail != "" {
				name += "(" + detail + ")"
			}
			changed = append(changed, "~"+name)
		}
	}
	return strings.Join(slices.Concat(some(added, diffNames), some(removed, diffNames), some(changed, diffNames)), " ")
}

// some is the beginning of a list, and how many more there are.
func some(list []string, most int) []string {
	if n := len(list) - most; n > 0 {
		return append(slices.Clone(list[:most]), fmt.Sprintf("and %d more", n))
	}
	return list
}

// diffPool is what changed within a pool: its keys, then its backends. It is
// empty when the order of backends is all that changed.
func diffPool(old, new Pool) string {
	name := func(b Backend) string { return b.Name }
	backends := diffNamed(byName(old.Backends, name), byName(new.Backends, name), diffKeysOf)
	old.Backends, new.Backends = nil, nil
	return strings.TrimSpace(diffKeysOf(old, new) + " " + backends)
}

// diffKeysOf names the keys whose values are not the same.
func diffKeysOf[T any](old, new T) string {
	return strings.Join(some(changedKeys(nil, "", reflect.ValueOf(old), reflect.ValueOf(new)), diffKeys), " ")
}

// changedKeys appends the paths below path of the keys in which two values of
// one type differ. It goes into structs, and not into lists and maps.
func changedKeys(keys []string, path string, old, new reflect.Value) []string {
	if reflect.DeepEqual(old.Interface(), new.Interface()) {
		return keys
	}
	if old.Kind() == reflect.Pointer && !old.IsNil() && !new.IsNil() {
		old, new = old.Elem(), new.Elem()
	}
	if old.Kind() != reflect.Struct {
		return append(keys, path)
	}
	for i := range old.NumField() {
		key := old.Type().Field(i).Tag.Get("koanf")
		if path != "" {
			key = path + "." + key
		}
		keys = changedKeys(keys, key, old.Field(i), new.Field(i))
	}
	return keys
}

func byName[T any](list []T, name func(T) string) map[string]T {
	m := make(map[string]T, len(list))
	for _, item := range list {
		m[name(item)] = item
	}
	return m
}
