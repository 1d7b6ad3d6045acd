// Package accesslog writes one line for each request and each ended socket,
// and never makes traffic wait for it.
//
// [Logger.Log] encodes on the caller's goroutine into the batch that is being
// filled; one goroutine writes full batches. When what it writes to is slow or
// stuck (a full disk, a pipe that nobody reads), lines are dropped and counted
// once two batches are full, and nothing else happens.
//
// The encoding is by hand because a log library's fields and levels have no
// use here and cost an allocation a line; a fuzz test holds that every line is
// valid JSON, or one line of the combined format.
//
// The package imports no other package of this module.
package accesslog

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// batchSize is how many bytes wait to be written before lines are dropped.
	// There are two batches: one is filled while the other is written.
	batchSize = 1 << 20
	// flushEvery is how long a line may wait for others.
	flushEvery = 50 * time.Millisecond
	// closeWait bounds what Close waits for a writer that is stuck.
	closeWait = 2 * time.Second
)

// Logger writes records to one place. A nil *Logger is off: its methods do
// nothing. All methods may be called from any goroutine.
type Logger struct {
	path   string // empty: out is not a file of ours
	encode func([]byte, *Record) []byte

	dropped atomic.Uint64

	mu     sync.Mutex // guards batch, closed
	batch  []byte
	closed bool

	wake chan struct{} // the batch is not empty; room for one
	quit chan struct{}
	done chan struct{}

	outMu sync.Mutex // guards out; never held together with mu
	out   io.Writer
}

// Open returns a logger to target ("stdout", "stderr" or a path, which is
// created if need be) in format ("json" or "combined"). The caller calls Close.
func Open(target, format string) (*Logger, error) {
	l := &Logger{}
	switch target {
	case "stdout":
		l.out = os.Stdout
	case "stderr":
		l.out = os.Stderr
	default:
		f, err := openFile(target)
		if err != nil {
			return nil, err
		}
		l.path, l.out = target, f
	}
	if err := l.start(format); err != nil {
		l.closeFile()
		return nil, err
	}
	return l, nil
}

// New returns a logger to w, which the caller closes after Close.
func New(w io.Writer, format string) (*Logger, error) {
	l := &Logger{out: w}
	return l, l.start(format)
}

func (l *Logger) start(format string) error {
	switch format {
	case "json":
		l.encode = appendJSON
	case "combined":
		l.encode = appendCombined
	default:
		return fmt.Errorf("open access log: format %q is neither json nor combined", format)
	}
	l.batch = make([]byte, 0, 4096)
	l.wake, l.quit, l.done = make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
	go l.write()
	return nil
}

func openFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640) // #nosec G304 -- the operator's choice
	if err != nil {
		return nil, fmt.Errorf("open access log: %w", err)
	}
	return f, nil
}

// Log writes r soon. It does not block: a line that finds no room is dropped.
func (l *Logger) Log(r *Record) {
	if l == nil {
		return
	}
	l.mu.Lock()
	if l.closed || len(l.batch) >= batchSize {
		l.mu.Unlock()
		l.dropped.Add(1)
		return
	}
	first := len(l.batch) == 0
	l.batch = l.encode(l.batch, r)
	l.mu.Unlock()
	if first {
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
}

// Dropped returns how many lines were lost.
func (l *Logger) Dropped() uint64 {
	if l == nil {
		return 0
	}
	return l.dropped.Load()
}

// Reopen opens the file again under its path, for logrotate. Without a file it
// does nothing. On error the file that is open stays in use.
func (l *Logger) Reopen() error {
	if l == nil || l.path == "" {
		return nil
	}
	f, err := openFile(l.path)
	if err != nil {
		return err
	}
	l.outMu.Lock()
	defer l.outMu.Unlock()
	was := l.out.(*os.File)
	l.out = f
	return was.Close()
}

// Close writes what waits and ends the logger. It waits two seconds at most
// for a writer that is stuck. Later records are dropped.
func (l *Logger) Close() error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	l.mu.Unlock()
	close(l.quit)
	select {
	case <-l.done:
		return l.closeFile()
	case <-time.After(closeWait):
		return errors.New("close access log: what it writes to is stuck")
	}
}

func (l *Logger) closeFile() error {
	if l.path == "" {
		return nil
	}
	return l.out.(*os.File).Close()
}

// write is the logger's goroutine.
func (l *Logger) write() {
	defer close(l.done)
	spare := make([]byte, 0, 4096)
	for {
		select {
		case <-l.wake:
			select {
			case <-time.After(flushEvery):
			case <-l.quit:
			}
		case <-l.quit:
		}
		l.mu.Lock()
		full := l.batch
		l.batch = spare[:0]
		end := l.closed
		l.mu.Unlock()
		if len(full) > 0 {
			l.flush(full)
		}
		if spare = full; cap(spare) > batchSize {
			spare = make([]byte, 0, 4096)
		}
		if end && len(full) == 0 {
			return
		}
	}
}

// flush writes a batch; the lines that could not be written count as dropped.
func (l *Logger) flush(b []byte) {
	l.outMu.Lock()
	n, err := l.out.Write(b)
	l.outMu.Unlock()
	if err == nil {
		return
	}
	lost := uint64(0)
	for _, c := range b[n:] {
		if c == '\n' {
			lost++
		}
	}
	l.dropped.Add(lost)
}
