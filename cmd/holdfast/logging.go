package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/holdfast-lb/holdfast/config"
)

// journal is the process's own log, whose place and level a reload may change.
// Its format is settled at the start.
type journal struct {
	*slog.Logger
	level  slog.LevelVar
	format string

	mu   sync.Mutex // guards what follows
	path string
	w    io.Writer
}

// pipePatience is how long a line waits for room in a named pipe.
const pipePatience = 100 * time.Millisecond

// newJournal opens a log as cfg wants it.
func newJournal(cfg config.Log) (*journal, error) {
	w, err := openLog(cfg.File)
	if err != nil {
		return nil, err
	}
	j := &journal{format: cfg.Format, path: cfg.File, w: w}
	j.setLevel(cfg.Level)
	opts := &slog.HandlerOptions{Level: &j.level}
	if cfg.Format == "text" {
		j.Logger = slog.New(slog.NewTextHandler(j, opts))
	} else {
		j.Logger = slog.New(slog.NewJSONHandler(j, opts))
	}
	return j, nil
}

// setLevel takes a validated log.level.
func (j *journal) setLevel(name string) {
	var l slog.Level
	_ = l.UnmarshalText([]byte(name)) // validated: info otherwise
	j.level.Set(l)
}

// Write implements io.Writer, for the handler. A line that a named pipe does not
// take in time is lost: nobody reads there.
func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if f, ok := j.w.(*os.File); ok && f != os.Stderr && f != os.Stdout {
		_ = f.SetWriteDeadline(time.Now().Add(pipePatience)) // files on disks have none
	}
	return j.w.Write(b)
}

// prepare opens what cfg wants to be written to, and returns what makes it so
// and what gives it up.
func (j *journal) prepare(cfg config.Log) (commit, abort func(), err error) {
	j.mu.Lock()
	same := cfg.File == j.path
	j.mu.Unlock()
	w := io.Writer(nil)
	if !same {
		if w, err = openLog(cfg.File); err != nil {
			return nil, nil, err
		}
	}
	commit = func() {
		j.setLevel(cfg.Level)
		if w != nil {
			j.use(cfg.File, w)
		}
		if cfg.Format != j.format {
			j.Warn("log.format is settled at the start: restart to change it", "runs", j.format, "configured", cfg.Format)
		}
	}
	return commit, func() { closeLog(w) }, nil
}

// reopen opens the file again under its path, for logrotate.
func (j *journal) reopen() error {
	w, err := openLog(j.path)
	if err != nil {
		return err
	}
	j.use(j.path, w)
	return nil
}

func (j *journal) use(path string, w io.Writer) {
	j.mu.Lock()
	was := j.w
	j.path, j.w = path, w
	j.mu.Unlock()
	closeLog(was)
}

func openLog(path string) (io.Writer, error) {
	switch path {
	case "stderr", "":
		return os.Stderr, nil
	case "stdout":
		return os.Stdout, nil
	}
	flags := os.O_CREATE | os.O_APPEND | os.O_WRONLY
	if info, err := os.Stat(path); err == nil && info.Mode().Type() == os.ModeNamedPipe {
		flags = os.O_RDWR // without a reader the system would keep us waiting otherwise
	}
	f, err := os.OpenFile(path, flags, 0o640) // #nosec G304 -- the operator's choice
	if err != nil {
		return nil, fmt.Errorf("open log.file: %w", err)
	}
	return f, nil
}

// closeLog closes a file, and leaves the standard streams alone.
func closeLog(w io.Writer) {
	if f, ok := w.(*os.File); ok && f != os.Stderr && f != os.Stdout {
		_ = f.Close()
	}
}
