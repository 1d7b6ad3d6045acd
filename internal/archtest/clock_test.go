package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// calendars are the files that read a clock which may jump, and why they do.
// Everything else measures time as the difference of two times that have a
// monotonic reading each, which time.Since, Sub and After compare.
var calendars = map[string]string{
	"accesslog/encode.go":      "the date of a line",
	"admin/history.go":         "dates for the dashboard",
	"certs/source.go":          "a file's date tells whether it has changed",
	"certs/validity.go":        "a certificate's dates in a text",
	"cmd/holdfast/control.go":  "dates for the dashboard",
	"metrics/backend.go":       "dates, by which others compute",
	"metrics/certificate.go":   "dates, by which others compute",
	"metrics/discovery.go":     "dates, by which others compute",
	"metrics/metrics.go":       "dates, by which others compute",
	"proxy/backendtls.go":      "a certificate's dates in a text",
	"proxy/errors.go":          "a date that has passed, for a deadline",
	"terminal/handshake.go":    "a certificate's dates in a text",
	"internal/handoff/conn.go": "a date that has passed, for a deadline",
	"listener/deadline.go":     "a date that has passed, for a deadline",
	"webhook/hook.go":          "the date of a delivery, which its receiver compares",
	"bench/":                   "no part of the balancer",
	"internal/testkit/":        "no part of the balancer",
	"internal/demo/":           "no part of the balancer",
}

// strips are what makes a time of the calendar alone, or takes the monotonic
// reading from one.
var strips = []string{"Unix", "UnixMilli", "UnixMicro", "UnixNano", "UTC", "Date"}

// A clock that jumps changes no timeout, interval, rate or age: nobody but
// calendars asks it.
func TestClocksAreMonotonic(t *testing.T) {
	found := make(map[string]bool)
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return err
		}
		name, _ := filepath.Rel(root, file)
		fset := token.NewFileSet()
		tree, err := parser.ParseFile(fset, file, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok && asksCalendar(call) {
				if of := calendarOf(name); of != "" {
					found[of] = true
				} else {
					t.Errorf("%s: %s reads the calendar, which may jump: take a difference of times, or give a reason in calendars",
						fset.Position(call.Pos()), name)
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(calendars)) {
		if !found[name] && !strings.HasSuffix(name, "/") {
			t.Errorf("%s does not read the calendar any more", name)
		}
	}
}

func calendarOf(file string) string {
	for name := range calendars {
		if file == name || strings.HasSuffix(name, "/") && strings.HasPrefix(file, name) {
			return name
		}
	}
	return ""
}

// asksCalendar goes by names, since types would take a minute. Round(0) is how a
// time loses its monotonic reading.
func asksCalendar(call *ast.CallExpr) bool {
	f, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	switch name := f.Sel.Name; name {
	case "Round", "Truncate":
		by, ok := call.Args[0].(*ast.BasicLit)
		return ok && by.Value == "0"
	case "Parse", "ParseInLocation":
		of, ok := f.X.(*ast.Ident)
		return ok && of.Name == "time"
	default:
		return slices.Contains(strips, name)
	}
}
