package config

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Error is one mistake in a configuration.
type Error struct {
	// File is where the value came from: the file, the name of an environment
	// variable, or "flags".
	File string
	// Path is the key, such as pools.arena.backends[1].url. It is empty when
	// the mistake concerns the whole file.
	Path string
	// Msg is what is wrong and what would be right.
	Msg string
}

// Error is one line: "FILE: key.path: what is wrong, what would be right".
// Keys and values that it quotes neither end that line nor steer a terminal.
func (e Error) Error() string {
	text := e.File + ": " + e.Msg
	if e.Path != "" {
		text = e.File + ": " + e.Path + ": " + e.Msg
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, text)
}

// Errors are all the mistakes of one configuration, or the first thousand,
// sorted by path.
type Errors []Error

// Error is one line for each mistake.
func (es Errors) Error() string {
	lines := make([]string, len(es))
	for i, e := range es {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

// Warning is something that is legal and probably not meant: an environment
// variable that no key answers to, a key that has no effect beside another, a
// pool that no route uses.
type Warning Error

// String is the warning in the form of [Error.Error].
func (w Warning) String() string { return Error(w).Error() }

// problems collects what is wrong with one configuration.
type problems struct {
	file     string
	sources  map[string]string // key path → where it came from, if not from the file
	given    map[string]bool   // key paths that somebody wrote
	failed   []string          // key paths whose value could not be decoded
	errs     Errors
	warnings []Warning
}

// maxMistakes is how many mistakes are told. Who sends a list of backends could
// have us tell of more than the list is long.
const maxMistakes = 1000

// full tells whether no more is told.
func (p *problems) full() bool { return len(p.errs) >= maxMistakes }

func (p *problems) add(path, format string, args ...any) {
	if p.full() {
		return
	}
	p.errs = append(p.errs, Error{File: p.source(path), Path: path, Msg: fmt.Sprintf(format, args...)})
}

// fail is add for a value that could not be decoded. What stands in its place
// is a default, so nothing more is said about it.
func (p *problems) fail(path, format string, args ...any) {
	p.add(path, format, args...)
	p.failed = append(p.failed, path)
}

// check is add for validation: silent where decoding has already failed.
func (p *problems) check(path, format string, args ...any) {
	if !p.hasFailed(path) {
		p.add(path, format, args...)
	}
}

func (p *problems) warn(path, format string, args ...any) {
	p.warnings = append(p.warnings, Warning{File: p.source(path), Path: path, Msg: fmt.Sprintf(format, args...)})
}

// hasFailed tells whether path, or something that contains it, did not decode.
func (p *problems) hasFailed(path string) bool {
	return slices.ContainsFunc(p.failed, func(failed string) bool {
		rest, ok := strings.CutPrefix(path, failed)
		return ok && (failed == "" || rest == "" || rest[0] == '.' || rest[0] == '[')
	})
}

func (p *problems) source(path string) string {
	if source, ok := p.sources[path]; ok {
		return source
	}
	return p.file
}

// result is the sorted answer. The error is nil when nothing is wrong.
func (p *problems) result() ([]Warning, error) {
	slices.SortStableFunc(p.warnings, func(a, b Warning) int { return compareErrors(Error(a), Error(b)) })
	if len(p.errs) == 0 {
		return p.warnings, nil
	}
	slices.SortStableFunc(p.errs, compareErrors)
	return p.warnings, p.errs
}

func compareErrors(a, b Error) int {
	return cmp.Or(comparePaths(a.Path, b.Path), cmp.Compare(a.File, b.File), cmp.Compare(a.Msg, b.Msg))
}

// comparePaths orders key paths so that routes[2] comes before routes[10].
func comparePaths(a, b string) int {
	for a != "" && b != "" {
		da, db := digits(a), digits(b)
		if da > 0 && db > 0 {
			na, _ := strconv.ParseUint(a[:da], 10, 64)
			nb, _ := strconv.ParseUint(b[:db], 10, 64)
			if c := cmp.Or(cmp.Compare(na, nb), cmp.Compare(a[:da], b[:db])); c != 0 {
				return c
			}
			a, b = a[da:], b[db:]
			continue
		}
		if a[0] != b[0] {
			return cmp.Compare(a[0], b[0])
		}
		a, b = a[1:], b[1:]
	}
	return cmp.Compare(len(a), len(b))
}

// digits counts the decimal digits that text begins with.
func digits(text string) int {
	n := 0
	for n < len(text) && text[n] >= '0' && text[n] <= '9' {
		n++
	}
	return n
}
