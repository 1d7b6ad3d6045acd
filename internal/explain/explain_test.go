package explain

import (
	"flag"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/troubleshooting.md")

const (
	root     = "../.."
	document = root + "/docs/troubleshooting.md"
)

// Rows are sorted, in the file of their thousand, complete and whole sentences.
func TestRows(t *testing.T) {
	names := map[string]Code{}
	last := Code(0)
	for i := range Chapters {
		for _, p := range Chapters[i].pages {
			if p.Code <= last || int(p.Code)/1000 != i+1 {
				t.Errorf("%s stands behind %s in chapter %d", p.Code, last, i+1)
			}
			last = p.Code
			if p.Status != 0 && (p.Status < 400 || p.Status > 599) {
				t.Errorf("%s has status %d", p.Code, p.Status)
			}
			if !regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`).MatchString(p.Name) || names[p.Name] != 0 {
				t.Errorf("%s: name %q is malformed, or that of %s too", p.Code, p.Name, names[p.Name])
			}
			names[p.Name] = p.Code
			if p.Title == "" || strings.HasSuffix(p.Title, ".") {
				t.Errorf("%s: title %q", p.Code, p.Title)
			}
			for _, text := range []string{p.Cause, p.Look, p.Remedy} {
				if !strings.HasSuffix(text, ".") || strings.ContainsAny(text, "\n|") {
					t.Errorf("%s: %q is not whole sentences", p.Code, text)
				}
			}
		}
	}
}

// docs/troubleshooting.md is what the table says.
func TestDocument(t *testing.T) {
	if *update {
		if err := os.WriteFile(document, []byte(Markdown()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	if string(data) != Markdown() {
		t.Errorf("%s is out of date: go test ./internal/explain -update", document)
	}
	for _, s := range symptoms {
		for _, c := range s.codes {
			if c.Page() == nil {
				t.Errorf("%q names %s, which is no code", s.text, c)
			}
		}
	}
}

// Every failure is provoked by some test, which has its code.
func TestEveryCodeIsProvoked(t *testing.T) {
	var tests strings.Builder
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "explain" || strings.HasPrefix(d.Name(), ".") && len(d.Name()) > 2):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(file, "_test.go") && !strings.HasSuffix(file, ".txtar"):
			return nil
		}
		data, err := os.ReadFile(file)
		tests.Write(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range pages {
		if id := pages[i].Code.String(); !strings.Contains(tests.String(), id) {
			t.Errorf("no test outside of this package has %s (%s): write one that provokes it, as e2e/codes_test.go does", id, pages[i].Name)
		}
	}
}

func TestFind(t *testing.T) {
	f := func(text string, code Code, found bool) {
		t.Helper()
		p, ok := Find(text)
		var got Code // 0: none is near
		if p != nil {
			got = p.Code
		}
		if got != code || ok != found {
			t.Errorf("%q: %s %t, want %s %t", text, got, ok, code, found)
		}
	}
	f("HF-2003", 2003, true)
	f(" hf2003", 2003, true)
	f("2003", 2003, true)
	f("connect_failed", 2003, true)
	f("Connect-Failed", 2003, true)
	f("HF-1014", 1013, false)
	f("203", 2003, false)
	f("20033", 2003, false)
	f("conect_fail", 2003, false)
	f("0", 0, false)
	f("HF-9999", 0, false)
	f("banana", 0, false)
	f("", 0, false)
}

func TestText(t *testing.T) {
	p, _ := Find("HF-2003")
	text := p.Text()
	for _, want := range []string{"HF-2003  backend refused the connection\n", "Status 502", "connect_failed", "\nCause\n  Nothing listens", "\nLook at\n", "\nRemedy\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	for line := range strings.Lines(text) {
		if len(line) > width+1 {
			t.Errorf("%q is too long", line)
		}
	}
	for i := range pages {
		if !strings.Contains(List(), "  "+pages[i].Code.String()+"  ") {
			t.Errorf("the list lacks %s", pages[i].Code)
		}
	}
}

// The log speaks of what clients do all the time at debug level, of what they
// are refused at info, and of what the operator has to mend as a warning.
func TestLevels(t *testing.T) {
	f := func(name string, want slog.Level) {
		t.Helper()
		if got := Named(name).Page().Level(); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	f("token_missing", slog.LevelDebug)
	f("token_expired", slog.LevelInfo)
	f("auth_denied", slog.LevelInfo)
	f("keys_missing", slog.LevelWarn)
	f("auth_unavailable", slog.LevelWarn)
	f("auth_broken", slog.LevelWarn)
	f("connect_failed", slog.LevelWarn)
}
