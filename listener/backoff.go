package listener

import "time"

const (
	firstPause = 5 * time.Millisecond
	longPause  = time.Second
)

// backoff is how long to wait after failures in a row. Its zero value is
// ready to use.
type backoff struct{ last time.Duration }

// next returns the pause after one more failure: 5 ms, then twice the last, 1 s
// at most.
func (b *backoff) next() time.Duration {
	b.last = min(max(2*b.last, firstPause), longPause)
	return b.last
}

// reset is for a success.
func (b *backoff) reset() { b.last = 0 }
