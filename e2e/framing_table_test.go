package e2e

import (
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

var haproxy = flag.String("haproxy", "", "path of a haproxy; TestFramingTable asks it every case and writes docs/framing.md")

const framingTable = "../docs/framing.md"

// TestFramingTable holds docs/framing.md to the cases: what it says of Holdfast
// is what TestFraming and TestAnswers have seen. With -haproxy it writes the
// page; see scripts/framing.sh.
func TestFramingTable(t *testing.T) {
	if *haproxy != "" {
		writeFramingTable(t)
		return
	}
	var is []string // rows without HAProxy's column
	for _, line := range strings.Split(mustRead(t, framingTable), "\n") {
		if cells := strings.Split(strings.ReplaceAll(line, `\|`, "\x00"), " | "); strings.HasPrefix(line, "| ") && len(cells) == 3 {
			is = append(is, strings.ReplaceAll(cells[0]+" | "+cells[2], "\x00", `\|`))
		}
	}
	var want []string
	add := func(name, outcome string) { want = append(want, framingRow(name, outcome)) }
	for _, g := range framingCases() {
		add("case", "Holdfast")
		for _, c := range g.cases {
			add(c.name, c.want)
		}
	}
	for _, g := range answerCases() {
		add("case", "Holdfast")
		for _, c := range g.cases {
			add(c.name, c.want)
		}
	}
	for i := range max(len(is), len(want)) {
		switch {
		case i >= len(is):
			t.Fatalf("docs/framing.md lacks %q; run scripts/framing.sh", want[i])
		case i >= len(want):
			t.Fatalf("docs/framing.md has %q, which is no case; run scripts/framing.sh", is[i])
		case is[i] != want[i]:
			t.Fatalf("docs/framing.md has %q, want %q; run scripts/framing.sh", is[i], want[i])
		}
	}
}

// framingRow is a row of the table.
func framingRow(cells ...string) string {
	for i, c := range cells {
		cells[i] = strings.ReplaceAll(c, "|", `\|`)
	}
	return "| " + strings.Join(cells, " | ") + " |"
}

func writeFramingTable(t *testing.T) {
	version, err := exec.Command(*haproxy, "-v").Output()
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(version), " 20")
	page := strings.ReplaceAll(strings.ReplaceAll(framingHead, "HAPROXY", line), "COUNT", fmt.Sprint(countCases()))
	r := testkit.StartRecorder(t)
	addr := startHAProxy(t, r.Addr)
	for _, g := range framingCases() {
		page += "\n### " + g.title + "\n\n" + g.why + "\n\n" + framingRow("case", "HAProxy", "Holdfast") + "\n|---|---|---|\n"
		for _, c := range g.cases {
			page += framingRow(c.name, ask(t, addr, r, c.sent), c.want) + "\n"
		}
	}
	page += "\n## What backends send\n"
	h := startHostile(t)
	addr = startHAProxy(t, h.addr)
	for _, g := range answerCases() {
		page += "\n### " + g.title + "\n\n" + g.why + "\n\n" + framingRow("case", "HAProxy", "Holdfast") + "\n|---|---|---|\n"
		for _, c := range g.cases {
			page += framingRow(c.name, h.ask(t, addr, c), c.want) + "\n"
		}
	}
	if err := os.WriteFile(framingTable, []byte(page), 0o600); err != nil {
		t.Fatal(err)
	}
}

func countCases() (n int) {
	for _, g := range framingCases() {
		n += len(g.cases)
	}
	for _, g := range answerCases() {
		n += len(g.cases)
	}
	return n
}

const framingHead = `# Framing, case by case

COUNT cases of what clients and backends may send, what HAProxy and Holdfast make of each, and why Holdfast does
right. ` + "`scripts/framing.sh`" + ` sends each to both through raw sockets and writes this page (HAPROXY, defaults
and timeouts of two seconds); ` + "`go test ./e2e -run 'TestFraming|TestAnswers'`" + ` holds Holdfast to it. A backend
that parses as strictly as RFC 9112 allows takes down what reaches it.

- **refused**: the client gets that status, its connection ends, no backend has seen anything. "goes on": the
  connection is kept.
- **forwarded**: the backend has seen exactly one well-formed request, or as many as are said, and none that was
  smuggled. **PASSED ON**: it has seen what another parser may read otherwise.
- **whole**, **cut short**: the answer's own framing says so, so the client knows. **THE NEXT CLIENT GETS** what was
  not meant for it.

A pool of one backend, routes ` + "`/` and `/admin`" + `. HAProxy has no such routes: what its rules make of paths is
the operator's.

## What clients send
`

// startHAProxy runs haproxy in front of a backend until the test ends.
func startHAProxy(t *testing.T, backend string) (addr string) {
	t.Helper()
	addr = freeAddr(t)
	file := filepath.Join(t.TempDir(), "haproxy.cfg")
	conf := fmt.Sprintf(`defaults
  mode http
  timeout connect 2s
  timeout client 2s
  timeout server 2s
  timeout http-request 2s
  retries 1
frontend web
  bind %s
  default_backend game
backend game
  server b1 %s
`, addr, backend)
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(*haproxy, "-db", "-f", file)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	testkit.Eventually(t, patience, func() bool {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
		}
		return err == nil
	}, "haproxy accepts")
	return addr
}
