package accesslog

import (
	"bytes"
	"os"
	"time"
)

// use makes f, which the logger owns, what is written to.
func (l *Logger) use(f *os.File) {
	if was := l.file.Swap(f); was != nil {
		was.Close()
	}
	l.out = f
}

// write is the logger's goroutine. It ends after the batch that it found when
// the logger was closed, and closes the logger's file.
func (l *Logger) write() {
	defer close(l.done)
	var (
		spare []byte
		torn  bool // what is written to ends within a line
	)
	pause := time.NewTimer(flushEvery)
	defer pause.Stop()
	for {
		<-l.wake
		pause.Reset(flushEvery)
		select {
		case <-pause.C:
		case <-l.hurry:
		}
		l.mu.Lock()
		batch := l.batch
		l.batch = spare[:0]
		next := l.next
		l.next = nil
		last := l.closed
		l.mu.Unlock()
		if next != nil {
			l.use(next)
			torn = false
		}
		torn = l.flush(batch, torn)
		spare = batch
		if last {
			if f := l.file.Load(); f != nil {
				f.Close()
			}
			return
		}
	}
}

// flush writes a batch and reports whether it ended within a line. Lines that
// could not be written whole count as dropped.
func (l *Logger) flush(batch []byte, torn bool) bool {
	if len(batch) == 0 {
		return torn
	}
	if torn {
		if _, err := l.out.Write([]byte{'\n'}); err != nil {
			l.dropped.Add(uint64(bytes.Count(batch, []byte{'\n'}))) // #nosec G115 -- a count
			return true
		}
	}
	n, err := l.out.Write(batch)
	if err == nil {
		return false
	}
	l.dropped.Add(uint64(bytes.Count(batch[n:], []byte{'\n'}))) // #nosec G115 -- a count
	if n == 0 {
		return false
	}
	return batch[n-1] != '\n'
}
