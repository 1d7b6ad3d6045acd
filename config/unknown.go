package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/holdfast-lb/holdfast/internal/spelling"
)

// unknownKey is the message for a key that the struct t does not have.
func unknownKey(key string, t reflect.Type) string {
	known := slices.Sorted(maps.Keys(keys(t)))
	if near, ok := spelling.Nearest(key, known); ok {
		return fmt.Sprintf("unknown key, did you mean %q?", near)
	}
	// A key at the wrong depth: max_connections beside limits, not within.
	for i := range t.NumField() {
		field := t.Field(i)
		if field.Type.Kind() == reflect.Struct {
			if _, ok := keys(field.Type)[key]; ok {
				return fmt.Sprintf("unknown key here, did you mean %q?", field.Tag.Get("koanf")+"."+key)
			}
		}
	}
	return "unknown key, the keys known here are " + strings.Join(known, ", ")
}
