package config

import (
	"reflect"
	"strconv"
	"strings"
)

// joinKey is the path of a key within the mapping at path. A key that would
// be misread in a path stands in quotes.
func joinKey(path, key string) string {
	if key == "" || strings.ContainsFunc(key, func(r rune) bool {
		return r != '_' && r != '-' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}) {
		key = strconv.Quote(key)
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

// joinIndex is the path of an element of the list at path.
func joinIndex(path string, i int) string {
	return path + "[" + strconv.Itoa(i) + "]"
}

// keys maps the keys of a struct to the indices of their fields.
func keys(t reflect.Type) map[string]int {
	m := make(map[string]int, t.NumField())
	for i := range t.NumField() {
		m[t.Field(i).Tag.Get("koanf")] = i
	}
	return m
}

// scalarPaths lists the keys below t that are neither in a list nor in a map
// nor optional as a whole: those that have one place in any configuration.
func scalarPaths(t reflect.Type, path string) []string {
	var paths []string
	for i := range t.NumField() {
		field := t.Field(i)
		fieldPath := joinKey(path, field.Tag.Get("koanf"))
		switch field.Type.Kind() {
		case reflect.Struct:
			paths = append(paths, scalarPaths(field.Type, fieldPath)...)
		case reflect.Slice, reflect.Map, reflect.Pointer:
		default:
			paths = append(paths, fieldPath)
		}
	}
	return paths
}
