package archtest

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// docs/from-apache.md names a test for each of the 35 things that a guide to
// Apache teaches, and every test that it names exists.
func TestApacheRowsAreTested(t *testing.T) {
	_, text, _ := strings.Cut(read(t, root+"/docs/from-apache.md"), "\n## The test of each\n")
	next := 1
	for _, row := range regexp.MustCompile(`(?m)^\| (\d+) \| [^|]+ \| ([^|]+) \|$`).FindAllStringSubmatch(text, -1) {
		if row[1] != fmt.Sprint(next) {
			t.Errorf("row %s stands where %d should", row[1], next)
		}
		next++
		names := regexp.MustCompile("`([a-z0-9/]+)\\.(Test[A-Za-z0-9]+)`").FindAllStringSubmatch(row[2], -1)
		if len(names) == 0 {
			t.Errorf("row %s names no test", row[1])
		}
		for _, name := range names {
			dir := name[1]
			if dir == "archtest" {
				dir = "internal/archtest"
			}
			if !hasTest(t, dir, name[2]) {
				t.Errorf("row %s: there is no %s in %s", row[1], name[2], dir)
			}
		}
	}
	if next != 36 {
		t.Errorf("there are %d rows, want 35", next-1)
	}
}

func hasTest(t *testing.T, dir, name string) bool {
	files, err := filepath.Glob(filepath.Join(root, dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.Contains(read(t, file), "\nfunc "+name+"(") {
			return true
		}
	}
	return false
}

// The unit confines the process, so that no policy of the host's is needed for
// that.
func TestUnitIsConfined(t *testing.T) {
	unit := read(t, root+"/deploy/holdfast.service")
	for _, line := range []string{"NoNewPrivileges=yes", "ProtectSystem=strict", "ProtectHome=yes", "PrivateDevices=yes", "CapabilityBoundingSet=CAP_NET_BIND_SERVICE"} {
		if !strings.Contains(unit, "\n"+line+"\n") {
			t.Errorf("the unit lacks %s", line)
		}
	}
}
