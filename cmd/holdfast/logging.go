package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"

	"github.com/holdfast-lb/holdfast/config"
)

// levelOf returns the level of a validated log.level.
func levelOf(name string) slog.Level {
	var l slog.Level
	_ = l.UnmarshalText([]byte(name)) // validated: info otherwise
	return l
}

// newLog returns a log as cfg wants it, with the level to change while it
// runs, and the file that it writes to.
func newLog(cfg config.Log) (*slog.Logger, *slog.LevelVar, *logFile, error) {
	f := &logFile{path: cfg.File}
	if err := f.reopen(); err != nil {
		return nil, nil, nil, err
	}
	level := &slog.LevelVar{}
	level.Set(levelOf(cfg.Level))
	opts := &slog.HandlerOptions{Level: level}
	if cfg.Format == "text" {
		return slog.New(slog.NewTextHandler(f, opts)), level, f, nil
	}
	return slog.New(slog.NewJSONHandler(f, opts)), level, f, nil
}

// logFile is where the log goes: a standard stream, or a file that can be
// opened anew after it was renamed. It is safe for concurrent use.
type logFile struct {
	path string

	mu sync.Mutex
	w  io.Writer
}

// Write implements io.Writer.
func (f *logFile) Write(b []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.w.Write(b)
}

// reopen opens the path again; for the standard streams it does nothing new.
func (f *logFile) reopen() error {
	var w io.Writer
	switch f.path {
	case "stderr", "":
		w = os.Stderr
	case "stdout":
		w = os.Stdout
	default:
		file, err := os.OpenFile(f.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
		if err != nil {
			return fmt.Errorf("open log.file: %w", err)
		}
		w = file
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if was, ok := f.w.(*os.File); ok && was != os.Stderr && was != os.Stdout {
		_ = was.Close()
	}
	f.w = w
	return nil
}
