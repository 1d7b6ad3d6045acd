// Package webhook tells other servers what has happened: one POST an event,
// signed as the Standard Webhooks specification has it.
//
// A [Sender] has one goroutine and one bounded queue for each server, so a slow
// or dead one holds up neither who sends nor the other servers. What finds no
// room is counted and dropped. Events of one server arrive in order.
//
// The package knows no event: it gets an id, a kind and a body.
package webhook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-lb/holdfast/config"
)

const (
	// queueSize is how many events wait for one server.
	queueSize = 256
	// leaveWithin is how long a server that a reload removes gets what waits
	// for it.
	leaveWithin = 5 * time.Second
)

// Message is one event. Nothing of it is changed once it is sent.
type Message struct {
	ID   string // of the event, the same at every attempt
	Kind string // one of [config.EventKinds]
	Body []byte // JSON
}

// Result says what became of a message for one server.
type Result uint8

// The results.
const (
	Delivered Result = iota
	Failed           // after all attempts
	Dropped          // it found no room, or the process ended
)

// Options are what a Sender needs.
type Options struct {
	Log       *slog.Logger
	UserAgent string
	// Count is told what became of each message. It must not block.
	Count func(webhook string, r Result)
}

// Sender sends messages to the servers of a configuration. Its methods may be
// called from any goroutine.
type Sender struct {
	opts    Options
	running sync.WaitGroup
	ctx     context.Context
	cancel  context.CancelFunc // drops what waits anywhere

	mu     sync.Mutex // guards what follows, and that no queue is closed while it is sent to
	hooks  map[string]*hook
	closed bool

	pause time.Duration // before the second attempt; tests have less
}

// New returns a Sender that sends nothing before the first Commit. Close ends
// it.
func New(opts Options) *Sender {
	s := &Sender{opts: opts, hooks: map[string]*hook{}, pause: time.Second}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Change is what Prepare has found to be possible.
type Change struct {
	s     *Sender
	specs []*spec
}

// Prepare reads the secrets of list, which is valid. It leaves no trace, and
// the error joins one of every webhook that cannot be had. It may be called on
// a nil Sender, to find what is wrong.
func (s *Sender) Prepare(list []config.Webhook) (*Change, error) {
	c := &Change{s: s}
	var all error
	for i, w := range list {
		key, err := loadSecret(w.SecretFile)
		if err != nil {
			all = errors.Join(all, fmt.Errorf("webhooks[%d].secret_file: %w", i, err))
			continue
		}
		c.specs = append(c.specs, &spec{Webhook: w, key: key})
	}
	return c, all
}

// Commit has messages go to the servers of the Change. One of the same name
// keeps what waits for it, and gets it at the new URL if that has changed; one
// that is gone gets what waits for it within leaveWithin.
func (c *Change) Commit() {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	gone := s.hooks
	s.hooks = make(map[string]*hook, len(c.specs))
	for _, sp := range c.specs {
		h := gone[sp.Name]
		delete(gone, sp.Name)
		if h == nil {
			h = s.start(sp)
		} else if was := h.current(); !reflect.DeepEqual(was.Webhook, sp.Webhook) || !bytes.Equal(was.key, sp.key) {
			h.use(sp)
		}
		s.hooks[sp.Name] = h
	}
	for _, h := range gone {
		close(h.queue)
		time.AfterFunc(leaveWithin, h.cancel)
	}
}

// start makes a hook. s.mu is held.
func (s *Sender) start(sp *spec) *hook {
	h := &hook{s: s, name: sp.Name, queue: make(chan Message, queueSize), client: newClient(s.pause)}
	h.ctx, h.cancel = context.WithCancel(s.ctx)
	h.use(sp)
	s.running.Go(h.run)
	return h
}

// Send has m go to the servers that want its kind. It never blocks.
func (s *Sender) Send(m Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	for _, h := range s.hooks {
		if kinds := h.current().Events; len(kinds) > 0 && !slices.Contains(kinds, m.Kind) {
			continue
		}
		select {
		case h.queue <- m:
		default:
			h.dropped.Add(1)
			s.opts.Count(h.name, Dropped)
		}
	}
}

// Close gives the servers until ctx ends to take what waits for them, drops
// the rest, and returns when no goroutine is left.
func (s *Sender) Close(ctx context.Context) {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		for _, h := range s.hooks {
			close(h.queue)
		}
	}
	s.mu.Unlock()
	stop := context.AfterFunc(ctx, s.cancel)
	defer stop()
	s.running.Wait()
	s.cancel()
}
