//go:build linux && (amd64 || arm64)

package relay

import "sync"

// ordersATurn is how many orders a loop obeys before its pairs have a turn. The
// most that one of them does is to send as many frames as a chunk has pairs.
const ordersATurn = 64

// order is done on a loop, and done again in its next turn while it is true.
type order func() (more bool)

// inbox holds the orders that other goroutines have for a loop.
type inbox struct {
	mu     sync.Mutex // guards orders
	orders []order
}

// take empties the inbox.
func (i *inbox) take() []order {
	i.mu.Lock()
	defer i.mu.Unlock()
	all := i.orders
	i.orders = nil
	return all
}

// post has the loop do o. It is woken for the first order only; it takes all.
// A loop that has ended does nothing any more.
func (l *loop) post(o order) {
	l.inbox.mu.Lock()
	l.inbox.orders = append(l.inbox.orders, o)
	first := len(l.inbox.orders) == 1
	l.inbox.mu.Unlock()
	if first {
		l.poll.Wake()
	}
}

// ask has the loop do f and waits for it. It is false if the loop has ended.
func (l *loop) ask(f func(*loop)) bool {
	done := make(chan struct{})
	l.post(func() bool {
		f(l)
		close(done)
		return false
	})
	select {
	case <-done:
		return true
	case <-l.done:
		return false
	}
}

// obey does some of the orders.
func (l *loop) obey() {
	for range min(len(l.todo), ordersATurn) {
		o := l.todo[0]
		l.todo[0] = nil
		l.todo = l.todo[1:]
		if o() {
			l.todo = append(l.todo, o)
		}
	}
	if len(l.todo) == 0 {
		l.todo = nil // what a burst has grown
	}
}

// farewell has every pair leave, a chunk of the table a turn.
func (l *loop) farewell(f *farewell) {
	l.hurry()
	i := 0
	l.post(func() bool {
		l.bye = f
		more := l.table.some(i, func(p *pair) { l.leave(p, &f.Fault, l.at(f.at)) })
		i++
		return more
	})
}

// dismiss has one pair leave.
func (l *loop) dismiss(id uint64, f *farewell) bool {
	p := l.table.find(id)
	if p == nil {
		return false
	}
	l.post(func() bool {
		l.leave(p, &f.Fault, l.at(f.at))
		return false
	})
	return true
}

// each has the loop look at one chunk of its table after the other.
func (l *loop) each(yield func(*Live) bool) bool {
	batch := make([]Live, 0, chunkSize)
	looked := make(chan bool, 1)
	for i := 0; ; i++ {
		l.post(func() bool {
			batch = batch[:0]
			looked <- l.table.some(i, func(p *pair) {
				if p.state == open || p.state == leaving || p.state == resting {
					batch = append(batch, p.live(l.now))
				}
			})
			return false
		})
		select {
		case more := <-looked:
			if !more {
				return true
			}
		case <-l.done:
			return true
		}
		for k := range batch {
			if !yield(&batch[k]) {
				return false
			}
		}
	}
}
