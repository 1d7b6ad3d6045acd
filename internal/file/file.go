// Package file reads the files that an operator names: whole, up to a bound, and
// without waiting for a pipe that nobody writes to, unless that is asked for.
package file

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// Read returns what a regular file holds, or one that a link leads to: up to
// limit bytes. Its errors say what is wrong and what helps, and leave the name
// to the caller; there is a [fs.PathError] in each.
func Read(name string, limit int64) ([]byte, error) {
	switch info, err := os.Stat(name); {
	case err != nil:
		return nil, unread(err)
	case !info.Mode().IsRegular():
		return nil, refuse(name, "is not a regular file, name one that is")
	case info.Size() > limit:
		return nil, refuse(name, fmt.Sprintf("has %d bytes, use %d at most", info.Size(), limit))
	}
	return ReadAny(name, limit)
}

// ReadAny is [Read] for what may be a pipe too. It waits for whoever writes to
// that.
func ReadAny(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name) // #nosec G304 -- the operator's choice
	if err != nil {
		return nil, unread(err)
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	switch {
	case err != nil:
		return nil, unread(err)
	case int64(len(data)) > limit:
		return nil, refuse(name, fmt.Sprintf("has more than %d bytes, use that many at most", limit))
	}
	return data, nil
}

// failure is a text, and the error behind it.
type failure struct {
	text string
	err  error
}

func (f *failure) Error() string { return f.text }

func (f *failure) Unwrap() error { return f.err }

// refuse is for a file that is not read on.
func refuse(name, text string) error {
	return &failure{text, &fs.PathError{Op: "read", Path: name, Err: errors.New(text)}}
}

// unread is for one that the system does not let us read.
func unread(err error) error {
	f := &failure{"cannot be read: " + err.Error(), err}
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		f.text = "cannot be read: " + p.Err.Error() // the caller says the path
	}
	if errors.Is(err, fs.ErrPermission) {
		f.text += ", let the user that Holdfast runs as read it"
	}
	return f
}
