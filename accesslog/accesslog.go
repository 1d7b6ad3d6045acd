// Package accesslog writes one line for each request and each ended socket,
// and never makes traffic wait for it.
//
// [Logger.Log] encodes on the caller's goroutine, into a buffer from a pool,
// and appends the line to the batch that is being filled; one goroutine writes
// batches. When what it writes to is slow or stuck (a full disk, a pipe that
// nobody reads), lines are dropped and counted once two batches are full, and
// nothing else happens. Lines are whole even then: if only a part of one could
// be written, the next begins on a line of its own.
//
// The encoding is by hand: there are two fixed formats and no levels, so a log
// library would add its own line format to take care of, and the fields of
// slog an allocation each. A fuzz test holds that every line is valid JSON, or
// one line of the combined format.
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
	// There are two batches: one is filled while the other is written. It is
	// what 100,000 requests a second log in a tenth of a second.
	batchSize = 4 << 20
	// flushEvery is how long a line may wait for others, unless the batch is
	// half full before.
	flushEvery = 50 * time.Millisecond
	// closeWait bounds what Close waits for a writer that is stuck.
	closeWait = time.Second
	// maxPooled is the capacity from which on a line's buffer is not kept.
	maxPooled = 16 << 10
)

// Logger writes records to one place. A nil *Logger is off: its methods do
// nothing. All methods may be called from any goroutine.
type Logger struct {
	path   string // empty: out is not a file of ours
	encode func([]byte, *Record) []byte
	lines  sync.Pool // of *[]byte

	dropped atomic.Uint64

	mu     sync.Mutex // held for no longer than it takes to copy a line
	batch  []byte     // guarded by mu
	next   *os.File   // guarded by mu: write to this from now on; nil: no change
	closed bool       // guarded by mu

	wake  chan struct{} // there is something to do; room for one
	hurry chan struct{} // the batch is half full; room for one
	done  chan struct{} // closed when the writer has ended

	file atomic.Pointer[os.File] // the writer's, if it is a file of ours
	out  io.Writer               // the writer's
}

// Open returns a logger to target ("stdout", "stderr" or a path, which is
// created if need be, with mode 0640) in format ("json" or "combined"). The
// caller calls Close.
func Open(target, format string) (*Logger, error) {
	l, err := newLogger(format)
	if err != nil {
		return nil, err
	}
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
		l.path = target
		l.use(f)
	}
	go l.write()
	return l, nil
}

// New returns a logger to w, which the caller closes after Close.
func New(w io.Writer, format string) (*Logger, error) {
	l, err := newLogger(format)
	if err != nil {
		return nil, err
	}
	l.out = w
	go l.write()
	return l, nil
}

func newLogger(format string) (*Logger, error) {
	l := &Logger{
		lines: sync.Pool{New: func() any { return new([]byte) }},
		wake:  make(chan struct{}, 1),
		hurry: make(chan struct{}, 1),
		done:  make(chan struct{}),
	}
	switch format {
	case "json":
		l.encode = appendJSON
	case "combined":
		l.encode = appendCombined
	default:
		return nil, fmt.Errorf("open access log: format %q is neither json nor combined", format)
	}
	return l, nil
}

// openFile opens a file for appending. A named pipe is opened for reading too:
// without a reader the system would keep us waiting otherwise, and with one that
// leaves, lines would be lost that the next one could read.
func openFile(path string) (*os.File, error) {
	flags := os.O_CREATE | os.O_APPEND | os.O_WRONLY
	if info, err := os.Stat(path); err == nil && info.Mode().Type() == os.ModeNamedPipe {
		flags = os.O_RDWR
	}
	f, err := os.OpenFile(path, flags, 0o640) // #nosec G304 -- the operator's choice
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
	line := l.lines.Get().(*[]byte)
	*line = l.encode((*line)[:0], r)
	l.add(*line)
	if cap(*line) <= maxPooled {
		l.lines.Put(line)
	}
}

// add appends a line to the batch, or drops it.
func (l *Logger) add(line []byte) {
	l.mu.Lock()
	before := len(l.batch)
	if l.closed || before+len(line) > batchSize {
		l.mu.Unlock()
		l.dropped.Add(1)
		return
	}
	l.batch = append(l.batch, line...)
	after := len(l.batch)
	l.mu.Unlock()
	if before == 0 {
		signal(l.wake)
	}
	if before < batchSize/2 && after >= batchSize/2 {
		signal(l.hurry)
	}
}

func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
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
// does nothing. It does not wait for the writer: a batch that is being written
// still ends in the old file, which is closed then. On error the file that is
// open stays in use.
func (l *Logger) Reopen() error {
	if l == nil || l.path == "" {
		return nil
	}
	f, err := openFile(l.path)
	if err != nil {
		return err
	}
	l.mu.Lock()
	unused := f // closed already: nobody will use it
	if !l.closed {
		unused, l.next = l.next, f
	}
	l.mu.Unlock()
	signal(l.wake)
	if unused != nil {
		unused.Close()
	}
	return nil
}

// Close writes what waits and ends the logger. It waits a second at most for a
// writer that is stuck. Later records are dropped.
func (l *Logger) Close() error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	again := l.closed
	l.closed = true
	l.mu.Unlock()
	if again {
		return nil
	}
	signal(l.wake)
	signal(l.hurry)
	timer := time.NewTimer(closeWait)
	defer timer.Stop()
	select {
	case <-l.done:
		return nil
	case <-timer.C:
	}
	// Closing a pipe ends the write that is stuck in it. Other people's files
	// and stuck disks have to be left to themselves. The writer may be about to
	// go on to the file of a Reopen.
	for i := 0; i < 20 && l.path != ""; i++ {
		l.mu.Lock()
		next := l.next
		l.next = nil
		l.mu.Unlock()
		for _, f := range []*os.File{next, l.file.Load()} {
			if f != nil {
				f.Close()
			}
		}
		timer.Reset(closeWait / 100)
		select {
		case <-l.done:
		case <-timer.C:
			continue
		}
		break
	}
	return errors.New("close access log: what it is written to takes no more, lines are lost")
}
