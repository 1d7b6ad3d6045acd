package report

import (
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// What an idle socket takes is said in several places: by all of them what the
// summary in docs/performance.md says, to a tenth.
func TestMemoryInTheDocumentation(t *testing.T) {
	read := func(name string) string {
		t.Helper()
		text, err := os.ReadFile(filepath.Join("../..", name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	bytes := func(name, pattern string) float64 {
		t.Helper()
		found := regexp.MustCompile(pattern).FindStringSubmatch(read(name))
		if found == nil {
			t.Fatalf("%s says nothing like %s", name, pattern)
		}
		n, err := strconv.ParseFloat(strings.ReplaceAll(found[1], ",", ""), 64)
		if err != nil {
			t.Fatal(err)
		}
		if found[2] == "KB" {
			n *= 1000
		}
		return n
	}
	f := func(summary, name, pattern string) {
		t.Helper()
		want := bytes("docs/performance.md", `\| `+summary+` +\| +([\d,]+) (B)/socket`)
		if is := bytes(name, pattern); math.Abs(is-want) > want/10 {
			t.Errorf("%s: %s is %v bytes, the summary of docs/performance.md has %v", name, summary, is, want)
		}
	}
	const figure = ` \| ([\d.,]+) (K?B) \|`
	f("idle", "README.md", `an idle socket, 9,000 open`+figure)
	f("idle-wss", "README.md", `an idle wss socket, 4,000 open`+figure)
	f("idle", "docs/performance.md", `process, ws`+figure)
	f("idle-wss", "docs/performance.md", `process, wss to the client`+figure)
	f("idle", "docs/performance.md", `memory, ws \| N × \(([\d.]+) \+ 7.5\) (KB)`)
	f("idle-wss", "docs/performance.md", `memory, wss \| N × \(([\d.]+) \+ 7.5\) (KB)`)
	f("idle", "docs/operations.md", `about ([\d.]+) (KB) in the process`)
	f("idle-wss", "docs/operations.md", `([\d.]+) (KB) with TLS to the client`)
	f("idle-wss", "docs/architecture.md", `([\d.]+) (KB) in place of [\d.]+ KB an idle wss socket`)
}
