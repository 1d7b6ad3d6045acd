package listener

import "time"

const (
	// maxResting is how many goroutines of one socket wait for another
	// connection: what a burst of new sockets keeps busy on a few processors.
	maxResting = 64
	// restFor is how long each of them waits.
	restFor = time.Second
)

// crew are the goroutines that serve a socket's connections. Each serves one
// after the other: the stack that a first request grows, which costs as much
// as the rest of a goroutine's life, is there for the next.
type crew struct {
	next    chan *Conn // unbuffered: only to one that waits
	resting chan struct{}
	over    <-chan struct{}
	serve   func(*Conn)
}

func newCrew(over <-chan struct{}, serve func(*Conn)) *crew {
	return &crew{next: make(chan *Conn), resting: make(chan struct{}, maxResting), over: over, serve: serve}
}

// take has c served, by one that rests or a new one. It does not wait.
func (w *crew) take(c *Conn) {
	select {
	case w.next <- c:
	default:
		go w.work(c)
	}
}

// work serves c and then, as long as there is room to rest and work to do,
// further ones. It ends with the socket.
func (w *crew) work(c *Conn) {
	patience := time.NewTimer(restFor)
	defer patience.Stop()
	for c != nil {
		w.serve(c)
		patience.Reset(restFor)
		c = w.rest(patience.C)
	}
}

// rest waits for another connection; nil: there is no room, none came, or none
// will come any more.
func (w *crew) rest(enough <-chan time.Time) *Conn {
	select {
	case w.resting <- struct{}{}:
	default:
		return nil
	}
	defer func() { <-w.resting }()
	select {
	case c := <-w.next:
		return c
	case <-enough:
		return nil
	case <-w.over:
		return nil
	}
}
