package e2e

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

var long = flag.Bool("long", false, "run the tests at full size, which takes minutes")

// program is the path of the holdfast under test.
var program string

func TestMain(m *testing.M) {
	if isChild() {
		runChild()
		return
	}
	if isAttacker() {
		runAttacker()
		return
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	testkit.Parallel(6)
	if program = os.Getenv("E2E_NETWORK"); program != "" {
		return testkit.Run(m) // in a network of its own: see apart
	}
	dir, err := os.MkdirTemp("", "holdfast-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "make a directory for the binary:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "holdfast")
	args := []string{"build", "-o", program}
	if raceEnabled {
		args = append(args, "-race")
	}
	build := exec.Command("go", append(args, "github.com/holdfast-lb/holdfast/cmd/holdfast")...)
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build holdfast: %v\n%s", err, out)
		return 1
	}
	return testkit.Run(m)
}

// scale chooses how much of something a test does: full with -long, short
// otherwise, and raced under the race detector, which makes everything about
// ten times slower.
func scale(full, short, raced int) int {
	switch {
	case raceEnabled:
		return raced
	case *long:
		return full
	}
	return short
}
