package testkit

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// Build builds a program of this module, such as "cmd/holdfast", and returns
// the path of the binary, which the test's end removes.
func Build(t testing.TB, dir string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), filepath.Base(dir))
	build := exec.Command("go", "build", "-o", program, "github.com/holdfast-lb/holdfast/"+dir)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", dir, err, out)
	}
	return program
}
