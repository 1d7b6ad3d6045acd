package fleet

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/bench/internal/wire"
	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// TestMain is a game server where it is told to be one.
func TestMain(m *testing.M) {
	if len(os.Args) == 6 && os.Args[1] == "server" {
		ln, err := net.Listen("tcp", os.Args[5])
		if err != nil {
			os.Exit(1)
		}
		Serve(ln, os.Args[3])
		_, _ = os.Stdout.WriteString(ln.Addr().String() + "\n")
		select {}
	}
	testkit.Main(m)
}

func TestMost(t *testing.T) {
	f := func(want int, times ...int64) {
		t.Helper()
		if got := most(times, 1); got != want {
			t.Errorf("%v: %d in a second, want %d", times, got, want)
		}
	}
	f(0)
	f(1, 5)
	f(2, 0, 999, 1999)
	f(3, 0, 1, 2, 1002)
	if got := most([]int64{0, 1000, 4999, 5000}, 5); got != 3 {
		t.Errorf("%d in five seconds, want 3", got)
	}
	f(4, 0, 500, 1400, 1450, 1499)
}

func TestPerSecond(t *testing.T) {
	line := perSecond([]int{3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1})
	if line[0].Y != 3 || line[9].Y != 3 || line[10].Y != 1 || line[len(line)-1].Y != 0 {
		t.Errorf("got %v", line)
	}
}

// A server says its name when asked, answers a Close, and tells when handshakes came.
func TestServer(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := Serve(ln, "b7")
	defer s.Close()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	r := bufio.NewReader(c)
	if _, err := c.Write(wire.Handshake("game.example", "/")); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("answer %v, %v", resp, err)
	}
	if _, err := c.Write([]byte("\x81\x81\x00\x00\x00\x00x\x88\x82\x00\x00\x00\x00\x03\xe8")); err != nil {
		t.Fatal(err)
	}
	if got := readFrame(t, r); got != "\x81\x02b7" {
		t.Errorf("answer to a message %q", got)
	}
	if got := readFrame(t, r); got != "\x88\x02\x03\xe8" {
		t.Errorf("answer to a Close %q", got)
	}
	if _, err := r.ReadByte(); err != io.EOF {
		t.Errorf("then comes %v", err)
	}
	f := &fleet{addrs: []string{ln.Addr().String()}}
	times, err := f.handshakes(0)
	if err != nil || len(times) != 1 || time.Since(time.UnixMilli(times[0])) > time.Minute {
		t.Errorf("handshakes %v, %v", times, err)
	}
}

func readFrame(t *testing.T, r io.Reader) string {
	t.Helper()
	b := make([]byte, 4)
	if _, err := io.ReadFull(r, b); err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// The runs at a small size: each passes, leaves its files, and fails when what
// it shows is not so.
func TestFleet(t *testing.T) {
	if testing.Short() {
		t.Skip("k6 takes a minute")
	}
	k6, err := exec.LookPath("k6")
	if err != nil {
		t.Skip("there is no program k6: go install go.k6.io/k6@v1.8.1")
	}
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Holdfast: testkit.Build(t, "cmd/holdfast"), K6: k6, Scripts: "../k6", Backend: []string{self, "server"}, Out: dir, Sockets: 300}

	d, err := Drain(t.Context(), o, 100)
	if err != nil || d.Codes["1012"] != 300 || d.After["b1"] != 0 || d.Most > 100 {
		t.Errorf("drain: %v\n%+v", err, d)
	}
	// The governor holds, and without it there is none.
	governed, free, err := Storms(t.Context(), o, 50)
	if err != nil || governed.Most["b2"] > 60 || free.Most["b2"] < 60 {
		t.Errorf("storm: %v\n%+v\n%+v", err, governed, free)
	}
	for _, name := range []string{"drain.json", "drain.svg", "storm.json", "storm.svg"} {
		if data, err := os.ReadFile(filepath.Join(dir, name)); err != nil || len(data) < 500 {
			t.Errorf("%s has %d bytes: %v", name, len(data), err)
		}
	}
	// A drain whose deadline comes before its pace allows breaks the pace.
	if _, err := Drain(t.Context(), o, 5); err == nil || !strings.Contains(err.Error(), "fleet_drain.js") {
		t.Errorf("a drain that closes the rest at once: %v", err)
	}
}
