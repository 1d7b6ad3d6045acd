// Package archtest holds the documents against the code: the import table of
// docs/architecture.md (and the linter's rules against the same table), the
// files that are named, the list of dependencies, the README's configuration.
package archtest

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/holdfast-lb/holdfast/config"
)

const (
	root   = "../.."
	page   = root + "/docs/architecture.md"
	module = "github.com/holdfast-lb/holdfast"
)

// imports are those of one row of the table, sorted.
type imports struct{ ours, outside []string }

// The table says which packages exist and what each imports, no more and no
// less.
func TestImportTable(t *testing.T) {
	says, is := documented(t), real(t)
	found := make(map[string]*imports)
	for dir, of := range is {
		row := rowOf(says, dir)
		if row == "" {
			t.Errorf("package %s has no row in %s", dir, page)
			continue
		}
		sum := found[row]
		if sum == nil {
			sum = &imports{}
			found[row] = sum
		}
		for _, name := range of.ours {
			if rowOf(says, name) != row { // a family's own affair
				sum.ours = append(sum.ours, name)
			}
		}
		sum.outside = append(sum.outside, of.outside...)
	}
	for row, want := range says {
		got := found[row]
		if got == nil {
			t.Errorf("%s has a row for %s, where no package is", page, row)
			continue
		}
		if ours := sorted(got.ours); !slices.Equal(ours, want.ours) {
			t.Errorf("%s imports of ours %q, the table says %q", row, ours, want.ours)
		}
		if outside := sorted(got.outside); !slices.Equal(outside, want.outside) {
			t.Errorf("%s imports from outside %q, the table says %q", row, outside, want.outside)
		}
	}
}

// Every file that a page names is there, and has the function that is named
// behind it.
func TestNamedFilesExist(t *testing.T) {
	pages, err := filepath.Glob(root + "/docs/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatalf("no pages: %v", err)
	}
	named := regexp.MustCompile("`([a-z_0-9]+/[a-z_/0-9.]+\\.(?:go|md|sh|service|yaml))`(?: `([A-Za-z]+)`)?")
	count := 0
	for _, p := range append(pages, root+"/README.md") {
		for _, m := range named.FindAllStringSubmatch(read(t, p), -1) {
			count++
			text, err := os.ReadFile(filepath.Join(root, m[1]))
			if err != nil {
				t.Errorf("%s names %s: %v", p, m[1], err)
			} else if m[2] != "" && !regexp.MustCompile(`(?m)^func (\([^)]+\) )?`+m[2]+`\(`).Match(text) {
				t.Errorf("%s names %s in %s, which has no such function", p, m[2], m[1])
			}
		}
	}
	if count < 20 {
		t.Errorf("found %d names of files, the pattern has gone blind", count)
	}
}

// docs/dependencies.md lists the direct modules with their versions, and no
// others.
func TestDependencies(t *testing.T) {
	_, text, _ := strings.Cut(read(t, root+"/go.mod"), "require (")
	text, _, _ = strings.Cut(text, ")")
	var wants []string
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		wants = append(wants, strings.TrimSpace(line))
	}
	var says []string
	for _, m := range regexp.MustCompile(`(?m)^\| (\S+) \| (v[0-9]\S*) \|`).FindAllStringSubmatch(read(t, root+"/docs/dependencies.md"), -1) {
		says = append(says, m[1]+" "+m[2])
	}
	if wants, says = sorted(wants), sorted(says); !slices.Equal(says, wants) {
		t.Errorf("docs/dependencies.md lists\n%s\ngo.mod requires\n%s", strings.Join(says, "\n"), strings.Join(wants, "\n"))
	}
}

// The README's configuration has the ten lines that it is said to have, and is
// valid.
func TestReadmeConfiguration(t *testing.T) {
	_, text, _ := strings.Cut(read(t, root+"/README.md"), "```yaml\n")
	text, _, _ = strings.Cut(text, "```")
	if n := strings.Count(text, "\n"); n != 10 {
		t.Errorf("it has %d lines", n)
	}
	if _, warnings, err := config.Parse([]byte(text), "yaml", "README.md", config.Options{}); err != nil || len(warnings) > 0 {
		t.Errorf("it is not valid: %v %v", err, warnings)
	}
}

// By the linter's rules a package may import of ours what the table says that
// it does, and nothing else.
func TestLinterRules(t *testing.T) {
	var file struct {
		Linters struct {
			Settings struct {
				Depguard struct {
					Rules map[string]rule
				}
			}
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, root+"/.golangci.yml")), &file); err != nil {
		t.Fatal(err)
	}
	rules := file.Linters.Settings.Depguard.Rules
	says := documented(t)
	for row, want := range says {
		dir := strings.TrimSuffix(row, "/...")
		if dir == "e2e" || dir == "internal/archtest" {
			continue // nothing but tests, to which the rules do not apply
		}
		for other := range says {
			other = strings.TrimSuffix(other, "/...")
			if other == dir || other == "cmd/holdfast" || other == "e2e" || other == "internal/archtest" {
				continue // a program and tests: nobody can import them
			}
			allowed := true
			for _, r := range rules {
				if r.covers(dir) {
					allowed = allowed && r.allows(module+"/"+other)
				}
			}
			switch does := slices.Contains(want.ours, other); {
			case does && !allowed:
				t.Errorf("%s imports %s, the linter's rules forbid it", dir, other)
			case !does && allowed:
				t.Errorf("%s does not import %s, the linter's rules allow it", dir, other)
			}
		}
	}
}

// rule is one of depguard's, in its lax mode.
type rule struct {
	Files []string
	Allow []string
	Deny  []struct{ Pkg string }
}

// covers tells whether files in dir are the rule's business.
func (r rule) covers(dir string) bool {
	positive, covered := 0, false
	for _, glob := range r.Files {
		if glob == "!$test" {
			continue
		}
		pattern, not := strings.CutPrefix(glob, "!")
		matches := matchDir(strings.TrimPrefix(path.Dir(pattern), "**/"), dir)
		if not && matches {
			return false
		}
		if !not {
			positive++
			covered = covered || matches
		}
	}
	return covered || positive == 0
}

func matchDir(pattern, dir string) bool {
	if family, ok := strings.CutSuffix(pattern, "/**"); ok {
		return dir == family || strings.HasPrefix(dir, family+"/")
	}
	return dir == pattern
}

// allows tells whether the rule lets an import pass: the longest prefix wins.
func (r rule) allows(name string) bool {
	longest := func(prefixes []string) (n int) {
		for _, p := range prefixes {
			if strings.HasPrefix(name, p) {
				n = max(n, len(p))
			}
		}
		return n
	}
	var denied []string
	for _, d := range r.Deny {
		denied = append(denied, d.Pkg)
	}
	deny := longest(denied)
	return deny == 0 || longest(r.Allow) > deny
}

// documented reads the table.
func documented(t *testing.T) map[string]imports {
	t.Helper()
	_, text, ok := strings.Cut(read(t, page), "\n## Who imports whom\n")
	if !ok {
		t.Fatalf("%s has no section about imports", page)
	}
	text, _, _ = strings.Cut(text, "\n## ")
	list := func(cell string) []string {
		return sorted(strings.FieldsFunc(cell, func(r rune) bool { return strings.ContainsRune(" ,`–", r) }))
	}
	says := make(map[string]imports)
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\| ([^|]+) \\| ([^|]+) \\|$").FindAllStringSubmatch(text, -1) {
		says[m[1]] = imports{list(m[2]), list(m[3])}
	}
	return says
}

// rowOf is the row that speaks of a package: its own, or its family's.
func rowOf(says map[string]imports, dir string) string {
	if _, ok := says[dir]; ok {
		return dir
	}
	for row := range says {
		if family, ok := strings.CutSuffix(row, "..."); ok && strings.HasPrefix(dir+"/", family) {
			return row
		}
	}
	return ""
}

// real reads the imports of every package, for every system, tests aside.
func real(t *testing.T) map[string]imports {
	t.Helper()
	ignored := strings.Fields(read(t, root+"/.gitignore"))
	is := make(map[string]imports)
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(root, file)
		name = filepath.ToSlash(name)
		switch {
		case d.IsDir() && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && name != "." || slices.Contains(ignored, "/"+name+"/")):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go"):
			return nil
		}
		dir := path.Dir(name)
		of := is[dir]
		if !strings.HasSuffix(name, "_test.go") {
			f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
			if err != nil {
				return err
			}
			for _, spec := range f.Imports {
				of.add(spec.Path.Value)
			}
		}
		is[dir] = of
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return is
}

// add takes one import, quoted as in the source.
func (i *imports) add(quoted string) {
	name, _ := strconv.Unquote(quoted)
	first, _, _ := strings.Cut(name, "/")
	switch {
	case strings.HasPrefix(name, module+"/"):
		i.ours = append(i.ours, strings.TrimPrefix(name, module+"/"))
	case first == "github.com":
		parts := strings.Split(name, "/")
		i.outside = append(i.outside, strings.Join(parts[1:3], "/"))
	case strings.HasPrefix(name, "golang.org/x/"):
		parts := strings.Split(name, "/")
		i.outside = append(i.outside, strings.Join(parts[:3], "/"))
	case strings.Contains(first, "."):
		parts := strings.Split(name, "/")
		i.outside = append(i.outside, strings.Join(parts[:2], "/"))
	}
}

func sorted(names []string) []string {
	slices.Sort(names)
	return slices.Compact(names)
}

func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
