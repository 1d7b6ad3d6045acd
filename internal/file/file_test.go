package file

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestRead(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "file")
	link := filepath.Join(dir, "link") // as Kubernetes mounts its files
	if err := errors.Join(os.WriteFile(name, []byte("12345"), 0o600), os.Symlink(name, link)); err != nil {
		t.Fatal(err)
	}
	f := func(read func(string, int64) ([]byte, error), name string, limit int64, want, wrong string) {
		t.Helper()
		data, err := read(name, limit)
		if wrong == "" && (err != nil || string(data) != want) {
			t.Errorf("%s: %q (%v), want %q", name, data, err, want)
		}
		if _, named := errors.AsType[*fs.PathError](err); wrong != "" && (err == nil || !strings.Contains(err.Error(), wrong) || !named) {
			t.Errorf("%s: %q, error %v, want %q", name, data, err, wrong)
		}
		if err != nil && strings.Contains(err.Error(), name) {
			t.Errorf("%v names the file, as the caller does", err)
		}
	}
	f(Read, name, 5, "12345", "")
	f(Read, link, 5, "12345", "")
	f(ReadAny, link, 5, "12345", "")
	f(Read, name, 4, "", "has 5 bytes, use 4 at most")
	f(ReadAny, name, 4, "", "has more than 4 bytes, use that many at most")
	f(Read, dir, 5, "", "is not a regular file, name one that is")
	f(ReadAny, dir, 5, "", "cannot be read: ")
	f(Read, name+"s", 5, "", "cannot be read: ")

	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = r.Close(), w.Close() }()
	_, _ = w.WriteString("12345")
	pipe := filepath.Join("/dev/fd", strconv.Itoa(int(r.Fd())))
	if _, err := os.Stat(pipe); err != nil {
		t.Skipf("pipes have no names here: %v", err)
	}
	f(Read, pipe, 5, "", "is not a regular file, name one that is")
	_ = w.Close()
	f(ReadAny, pipe, 5, "12345", "")
	if _, err := os.Stat("/dev/zero"); err == nil {
		f(ReadAny, "/dev/zero", 5, "", "has more than 5 bytes")
	}
}
