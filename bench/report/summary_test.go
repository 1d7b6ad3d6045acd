package report

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestSummary(t *testing.T) {
	f := func(want string, runs ...*Report) {
		t.Helper()
		var out strings.Builder
		if err := WriteSummary(&out, "holdfast", runs...); err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.Split(out.String(), "\n") {
			if strings.HasPrefix(line, "| pingpong") {
				if got := strings.Join(strings.Fields(line), " "); got != want {
					t.Errorf("\n got %s\nwant %s", got, want)
				}
				return
			}
		}
		t.Errorf("no line of pingpong in:\n%s", out.String())
	}
	const pingpong = "at least 1.00 of the best peer: %; at most 1.15 of floor: open |"
	wanted := func(word string) string { return strings.Replace(pingpong, "%", word, 1) }

	a := sample() // 110, 100, 120; 60, 50, failed
	f("| pingpong | 85.0 op/s | 75.0 haproxy | 1.06 | 75.0 | 1.15 | – : – | "+wanted("met"), a)

	b := sample()
	for i := range b.Runs {
		if b.Runs[i].Scenario == "pingpong" && b.Runs[i].Peer == "holdfast" {
			b.Runs[i].Result.Rate /= 2
		}
	}
	// Ratios to the best: 110/120 and 60/50, then 55/120 and 30/50.
	f("| pingpong | 57.5 op/s | 75.0 haproxy | 0.76 (1.06, 0.53) | 75.0 | 0.85 (1.15, 0.57) | – : – | "+wanted("**missed**"), a, b)

	if err := WriteSummary(broken{}, "holdfast", a); err == nil {
		t.Error("want the writer's error")
	}
}

// The tables in docs/performance.md are those of the runs that they name.
func TestSummariesInTheDocumentation(t *testing.T) {
	const root = "../.."
	text, err := os.ReadFile(filepath.Join(root, "docs", "performance.md"))
	if err != nil {
		t.Fatal(err)
	}
	tables := regexp.MustCompile(`(?s)<!-- bench summary ([^\n]*) -->\n\n(.*?)\n\n`).FindAllStringSubmatch(string(text), -1)
	if len(tables) == 0 {
		t.Fatal("docs/performance.md has no table marked <!-- bench summary DIR... -->")
	}
	for _, table := range tables {
		var runs []*Report
		for _, dir := range strings.Fields(table[1]) {
			data, err := os.ReadFile(filepath.Join(root, dir, "raw.json"))
			if err != nil {
				t.Fatal(err)
			}
			var r Report
			if err := json.Unmarshal(data, &r); err != nil {
				t.Fatalf("%s: %v", dir, err)
			}
			runs = append(runs, &r)
		}
		var want strings.Builder
		if err := WriteSummary(&want, Subject, runs...); err != nil {
			t.Fatal(err)
		}
		if table[2] != strings.TrimSpace(want.String()) {
			t.Errorf("docs/performance.md: the table marked %q is not what this prints: go run ./bench/cmd/bench summary %s", table[1], table[1])
		}
	}
}
