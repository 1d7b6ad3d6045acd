package discovery

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/internal/testkit"
)

func TestFileSource(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "fleet.yaml")
	s := newFileSource(config.FileDiscovery{Path: path}, 3)
	f := func(what, want string) {
		t.Helper()
		if got := told(t, s); got != want {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
	}
	age := time.Now().Add(-time.Hour)
	write := func(text string) { // as an editor that replaces the file
		t.Helper()
		next := filepath.Join(dir, "next")
		if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		age = age.Add(time.Second)
		if err := os.Chtimes(next, age, age); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, path); err != nil {
			t.Fatal(err)
		}
	}
	write("- {url: 'http://a:1'}\n")
	f("the first one is read at once", "a:1=http://a:1 1s")
	write("- {url: 'http://b:1'}\n")
	f("somebody may still be writing", "a:1=http://a:1 1s")
	f("it is whole", "b:1=http://b:1 1s")
	write("- {url: 'http://b:1', wei\n")
	f("somebody may still be writing", "b:1=http://b:1 1s")
	f("nonsense", "trouble: nonsense")
	f("the same nonsense", "trouble: nonsense")
	write("[]\n")
	told(t, s)
	f("none", "1s")
	write("[{}, {}, {}, {}]\n")
	told(t, s)
	f("too many", "trouble: too many")
	write("- {url: 'http://c:1', weight: 3}\n")
	told(t, s)
	f("good again", "c:1=http://c:1*3 1s")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	f("gone", "trouble: unreadable")
	write("- {url: 'http://c:1', weight: 3}\n")
	f("back, but somebody may still be writing", "trouble: unreadable")
	f("back", "c:1=http://c:1*3 1s")
	write(strings.Repeat("# long\n", maxList/7+1))
	told(t, s)
	f("too long", "trouble: too many")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	told(t, s)
	f("a directory", "trouble: unreadable")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	told(t, s)
	f("a pipe into which nobody writes", "trouble: unreadable")
}

// A file that is not there at first, and is then written piece by piece, is read
// when it is whole.
func TestFileSourceBegins(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fleet.yaml")
	s := newFileSource(config.FileDiscovery{Path: path}, 3)
	f := func(what, want string) {
		t.Helper()
		if got := told(t, s); got != want {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
	}
	f("no file", "trouble: unreadable")
	const first, second = "- {url: 'http://a:1'}\n", "- {url: 'http://b:1'}\n"
	testkit.WriteFile(t, filepath.Dir(path), filepath.Base(path), []byte(first))
	f("half of it", "trouble: unreadable")
	testkit.WriteFile(t, filepath.Dir(path), filepath.Base(path), []byte(first+second))
	f("all of it, as far as anybody knows", "trouble: unreadable")
	f("it is whole", "a:1=http://a:1 b:1=http://b:1 1s")
}
