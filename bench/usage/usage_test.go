package usage

import (
	"os"
	"runtime"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	f := func(in string, want stat, ok bool) {
		t.Helper()
		got, err := parseStat([]byte(in))
		if got != want || (err == nil) != ok {
			t.Errorf("%q: got %+v, %v; want %+v", in, got, err, want)
		}
	}
	f("7 (a) b) (c) S 3 7 7 0 -1 4194560 10 0 0 0 150 50 2 1 20 0 1 0 9 9 9", stat{3, 2030 * time.Millisecond}, true)
	f("7 (nginx) S 3", stat{}, false)
	f("", stat{}, false)
}

func TestParseMachine(t *testing.T) {
	got, err := parseMachine([]byte("cpu  100 1 200 9999 88 3 4 50 7 0\ncpu0 1 2\n"))
	if err != nil || got != 308*tick {
		t.Errorf("got %v, %v; want %v", got, err, 308*tick)
	}
	if _, err := parseMachine([]byte("intr 1 2 3")); err == nil {
		t.Error("want an error for a line that is not about cpu")
	}
}

func TestField(t *testing.T) {
	if got := field([]byte("Name:\tx\nRssAnon:\t    1234 kB\n"), "RssAnon:"); got != 1234<<10 {
		t.Errorf("got %d, want %d", got, 1234<<10)
	}
}

func TestReadSelf(t *testing.T) {
	if runtime.GOOS != "linux" {
		if _, err := Read(os.Getpid()); err == nil {
			t.Error("want an error without /proc")
		}
		return
	}
	u, err := Read(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if u.Memory <= 0 || u.Machine <= 0 || u.MachineMem <= u.Memory || u.Machine < u.CPU {
		t.Errorf("implausible usage %+v", u)
	}
	if _, err := Read(1 << 30); err == nil {
		t.Error("want an error for a process that does not exist")
	}
}
