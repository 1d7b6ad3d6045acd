package discovery

import (
	"context"
	"io"
	"os"
	"time"

	"github.com/holdfast-lb/holdfast/config"
)

const (
	// lookEvery is how often a file is looked at. It is read when two looks in a
	// row find the same, so that nobody is overheard while he writes.
	lookEvery = time.Second
	// maxList bounds a list, in bytes: 10,000 backends, with room.
	maxList = 2 << 20
)

// fileSource reads a file when it has changed. It is for one goroutine.
type fileSource struct {
	path  string
	most  int
	every time.Duration

	looked bool        // before
	seen   os.FileInfo // at the last look; nil: there was no file, or none yet
	read   os.FileInfo // that was read last, good or bad; nil: none
	list   []config.Backend
	err    error // what was wrong with it, or that it was not there
}

func newFileSource(c config.FileDiscovery, most int) *fileSource {
	return &fileSource{path: c.Path, most: most, every: lookEvery}
}

// fetch reads the file if it has changed. One that is there at the first look is
// read at once; one that comes later may still be written.
func (s *fileSource) fetch(context.Context) (answer, error) {
	first := !s.looked
	s.looked = true
	info, err := os.Stat(s.path)
	if err != nil {
		s.seen, s.read, s.err = nil, nil, err
		return answer{}, err
	}
	steady := first || unchanged(info, s.seen)
	s.seen = info
	if steady && !unchanged(info, s.read) {
		s.read = info
		s.list, s.err = s.parse()
	}
	return answer{backends: s.list, good: s.every}, s.err
}

// parse reads the file, which must be a regular one: to open a pipe waits for
// whoever writes into it, and nobody may come.
func (s *fileSource) parse() ([]config.Backend, error) {
	if !s.read.Mode().IsRegular() {
		return nil, troubled("unreadable", "%s is no file: write the list into one", s.path)
	}
	f, err := os.Open(s.path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	data, err := readBounded(f)
	if err != nil {
		return nil, err
	}
	return config.ParseBackends(data, s.path, s.most)
}

func unchanged(a, b os.FileInfo) bool {
	return b != nil && os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// readBounded reads a list that is not longer than maxList.
func readBounded(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxList+1))
	if err == nil && len(data) > maxList {
		err = errTooLong
	}
	return data, err
}

var errTooLong = troubled("too many", "the list is longer than %d MiB", maxList>>20)
