package tlsconn

import (
	"os"
	"runtime"
	"time"
)

// gate lets a bounded number in; the others wait in the order of their coming.
type gate chan struct{}

// computing is the gate of the process's handshakes: its processors are the
// process's as well.
var computing = make(gate, max(1, runtime.GOMAXPROCS(0)/2))

// enter waits for a place, until by unless that is zero. Who has one leaves
// once.
func (g gate) enter(by time.Time) error {
	select {
	case g <- struct{}{}:
		return nil
	default:
	}
	if by.IsZero() {
		g <- struct{}{}
		return nil
	}
	late := time.NewTimer(time.Until(by))
	defer late.Stop()
	select {
	case g <- struct{}{}:
		return nil
	case <-late.C:
		return os.ErrDeadlineExceeded
	}
}

func (g gate) leave() { <-g }
