package terminal

import (
	"io"
	"reflect"
	"strings"
	"unicode"
)

// tame makes every text in what v points to one line that does not steer a
// terminal. An answer quotes backends and files, whatever is in them.
func tame(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		tame(v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			tame(v.Field(i))
		}
	case reflect.Slice:
		for i := range v.Len() {
			tame(v.Index(i))
		}
	case reflect.String:
		if v.CanSet() {
			v.SetString(strings.Map(printable, v.String()))
		}
	}
}

// printable is r, or a question mark in its place.
func printable(r rune) rune {
	if unicode.IsPrint(r) {
		return r
	}
	return '?'
}

// tamed is a writer for what quotes whoever is at the other end, a Write a line
// or more: it makes no difference to a terminal but text and lines.
type tamed struct{ w io.Writer }

func (t tamed) Write(p []byte) (int, error) {
	_, err := io.WriteString(t.w, strings.Map(func(r rune) rune {
		if r == '\n' {
			return r
		}
		return printable(r)
	}, string(p)))
	return len(p), err
}
