package load

import "context"

// timetable: message k of a worker is due at start + k*every, on socket
// k % sockets. Nothing has to be remembered for a message: the j-th echo on a
// socket belongs to the j-th message sent on it.
type timetable struct {
	w     *worker
	start int64
	every float64 // nanoseconds between messages
}

// begin has it begin now. index of each socket is its place in it.
func (t *timetable) begin() {
	w := t.w
	t.every = 1e9 / (float64(w.plan.Rate) / float64(w.plan.Threads))
	for i, s := range w.sockets {
		s.index = i
	}
	t.start = w.now()
}

// due is when message k must be sent.
func (t *timetable) due(k int) int64 { return t.start + int64(float64(k)*t.every) }

// dueOf is due of the n-th message of a socket.
func (t *timetable) dueOf(s *socket, n int) int64 { return t.due(s.index + n*len(t.w.sockets)) }

// run has send send the n-th message of a socket whenever one is due, until the
// measured time is over, or over says so.
func (t *timetable) run(ctx context.Context, send func(s *socket, n int), over func() bool) error {
	w := t.w
	for k := 0; !over(); {
		due := t.due(k)
		if due >= w.until {
			break
		}
		if due > w.now() {
			if err := w.turn(ctx, due); err != nil {
				return err
			}
			continue
		}
		send(w.sockets[k%len(w.sockets)], k/len(w.sockets))
		k++
	}
	return nil
}
