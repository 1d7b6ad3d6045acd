package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/holdfast-lb/holdfast/internal/explain"
)

// A shell completes the codes that there are, and no files.
func TestCodesAreCompleted(t *testing.T) {
	f := func(args string, want int) {
		t.Helper()
		root := newExplain()
		var out bytes.Buffer
		root.SetOut(&out)
		root.SetErr(new(bytes.Buffer))
		root.SetArgs(strings.Split("__complete "+args, " "))
		if err := root.Execute(); err != nil {
			t.Fatal(err)
		}
		if got := strings.Count(out.String(), "HF-"); got != want || !strings.HasSuffix(out.String(), ":4\n") {
			t.Errorf("%q: %d codes, want %d:\n%s", args, got, want, &out)
		}
	}
	f("", len(explain.Pages()))
	f("HF-2003 ", 0)
}
