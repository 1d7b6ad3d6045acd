package discovery

import (
	"context"
	"log/slog"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/internal/explain"
)

const (
	// firstWait bounds how long Prepare waits for sources that are new.
	firstWait = 5 * time.Second
	// fetchLimit bounds one fetch, whatever its parts may take.
	fetchLimit = 30 * time.Second
	// mostAtOnce is how many sources Prepare asks at the same time: a list of
	// pools may be anybody's who may propose one.
	mostAtOnce = 64
	// jitterShare is how much longer than its least a pause may be, as a share of
	// it. It keeps several balancers from falling into step.
	jitterShare = 0.1
	// minPause keeps a pause that nobody validated from becoming a spin.
	minPause = 10 * time.Millisecond
)

// source is one place where backends are found.
type source interface {
	// fetch asks it once. It returns within ctx and leaves no goroutine behind.
	// Backends of an answer may be more than are allowed.
	fetch(ctx context.Context) (answer, error)
}

// Set is the sources of all pools. Its methods may be called from any goroutine,
// but Prepare and Commit not at the same time.
type Set struct {
	logger    *slog.Logger
	changed   func()
	newSource func(config.Discovery) source // a seam for tests

	mu      sync.Mutex         // guards what follows, and every worker's book
	workers map[string]*worker // by pool
	closed  bool
}

// New returns a Set without sources, which writes to log. Close ends it. changed
// hears that some list is another one now: it is called from several goroutines,
// must return soon, and must not call the Set.
func New(log *slog.Logger, changed func()) *Set {
	return &Set{logger: log, changed: changed, newSource: newSource, workers: map[string]*worker{}}
}

// newSource makes the source that a valid configuration describes. It asks
// nobody.
func newSource(c config.Discovery) source {
	switch {
	case c.DNS != nil:
		return newDNSSource(*c.DNS, c.MaxBackends)
	case c.File != nil:
		return newFileSource(*c.File, c.MaxBackends)
	default:
		return newHTTPSource(*c.HTTP, c.MaxBackends)
	}
}

// Describe names a source for people: "dns srv _game._tcp.arena", "file
// /etc/arena.yaml", "http https://directory/arena". It shows no secret.
func Describe(c config.Discovery) string {
	switch {
	case c.DNS != nil:
		return "dns " + c.DNS.Type + " " + c.DNS.Name
	case c.File != nil:
		return "file " + c.File.Path
	default:
		address, _, _ := strings.Cut(c.HTTP.URL, "?")
		return "http " + address
	}
}

// worker asks the source of one pool, on one goroutine.
type worker struct {
	pool   string
	c      config.Discovery
	name   string // Describe
	source source
	cancel context.CancelFunc
	done   chan struct{} // closed when run has returned

	// Guarded by Set.mu.
	book    book
	good    time.Time     // when the last good answer came; zero: none has
	pause   time.Duration // until the next question
	changed bool          // the book's list, and the Set's owner is still to hear of it
	tell    []func()      // what the log is still to hear
}

// Change is what Prepare has prepared.
type Change struct {
	s       *Set
	workers map[string]*worker
	fresh   []*worker
}

// Prepare asks the sources of pools that are not known yet, some at a time and
// for at most five seconds, and changes nothing. It cannot fail: a source that
// does not answer has no backends yet, or those that its pool had until now.
func (s *Set) Prepare(pools map[string]config.Pool) *Change {
	c := &Change{s: s, workers: map[string]*worker{}}
	s.mu.Lock()
	for name, p := range pools {
		d := p.Discovery
		if d == nil {
			continue
		}
		was := s.workers[name]
		if was != nil && reflect.DeepEqual(was.c, *d) {
			c.workers[name] = was
			continue
		}
		w := &worker{pool: name, c: *d, name: Describe(*d), source: s.newSource(*d), done: make(chan struct{})}
		if was != nil {
			w.book = book{backends: was.book.backends, answered: was.book.answered}
		}
		c.workers[name] = w
		c.fresh = append(c.fresh, w)
	}
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), firstWait)
	defer cancel()
	var wg sync.WaitGroup
	places := make(chan struct{}, mostAtOnce)
	for _, w := range c.fresh {
		places <- struct{}{}
		wg.Go(func() {
			s.ask(ctx, w)
			<-places
		})
	}
	wg.Wait()
	return c
}

// Backends are the lists once c is committed, by pool.
func (c *Change) Backends() map[string][]config.Backend {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	return lists(c.workers)
}

// Status is how the sources do once c is committed.
func (c *Change) Status() map[string]Status {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	return statuses(c.workers)
}

// Drop gives up what was prepared.
func (c *Change) Drop() {
	for _, w := range c.fresh {
		w.close()
	}
}

// Commit makes the change, or drops it if the Set is closed. It waits for sources
// that are not asked any more to be left alone, which is at once.
func (c *Change) Commit() {
	s := c.s
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		c.Drop() // nobody else will
		return
	}
	var gone []*worker
	for name, w := range s.workers {
		if c.workers[name] != w {
			gone = append(gone, w)
		}
	}
	s.workers = c.workers
	for _, w := range c.fresh {
		defer s.report(w)
		w.changed = false // whoever commits has the list
		var ctx context.Context
		ctx, w.cancel = context.WithCancel(context.Background())
		go s.run(ctx, w)
	}
	s.mu.Unlock()
	stop(gone)
}

// stop ends the workers, all at the same time, and returns when they have ended.
func stop(workers []*worker) {
	for _, w := range workers {
		w.cancel()
	}
	for _, w := range workers {
		<-w.done
		w.close()
	}
}

// Backends are the lists now, by pool. The caller does not change them.
func (s *Set) Backends() map[string][]config.Backend {
	s.mu.Lock()
	defer s.mu.Unlock()
	return lists(s.workers)
}

func lists(workers map[string]*worker) map[string][]config.Backend {
	all := make(map[string][]config.Backend, len(workers))
	for name, w := range workers {
		all[name] = w.book.backends
	}
	return all
}

// Status is how one source does.
type Status struct {
	Source   string // what it is
	Backends int    // in the last good answer
	// Trouble is why the last answer was not taken; empty: it was.
	Trouble string
	// Answered is when the last good one came; zero: none has.
	Answered time.Time
}

// Status is how each pool's source does.
func (s *Set) Status() map[string]Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return statuses(s.workers)
}

func statuses(workers map[string]*worker) map[string]Status {
	all := make(map[string]Status, len(workers))
	for name, w := range workers {
		all[name] = Status{Source: w.name, Backends: len(w.book.backends), Trouble: w.book.why, Answered: w.good}
	}
	return all
}

// Close ends all questions and returns when nothing of them runs. Closing again
// does nothing.
func (s *Set) Close() {
	s.mu.Lock()
	workers := slices.Collect(maps.Values(s.workers))
	s.workers, s.closed = nil, true
	s.mu.Unlock()
	stop(workers)
}

// run asks w's source until ctx ends.
func (s *Set) run(ctx context.Context, w *worker) {
	defer close(w.done)
	for {
		s.mu.Lock()
		pause := w.pause
		s.mu.Unlock()
		timer := time.NewTimer(jitter(pause))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		s.ask(ctx, w)
		if ctx.Err() != nil {
			return
		}
		s.report(w)
		s.mu.Lock()
		changed := w.changed
		w.changed = false
		s.mu.Unlock()
		if changed {
			s.changed()
		}
	}
}

// ask asks w's source once and takes note of the answer.
func (s *Set) ask(ctx context.Context, w *worker) {
	limited, cancel := context.WithTimeout(ctx, fetchLimit)
	a, err := w.source.fetch(limited)
	cancel()
	if ctx.Err() == context.Canceled {
		return // nobody waits for it any more
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	first := !w.book.answered
	n := w.book.take(a, err, rules{most: w.c.MaxBackends, allowEmpty: w.c.AllowEmpty})
	w.pause = w.again()
	if w.book.why == "" {
		w.good, w.pause = time.Now(), a.good
	}
	w.changed = w.changed || n.list
	why, now := w.book.why, len(w.book.backends)
	tell := func(level slog.Level, text string, more ...slog.Attr) {
		attrs := append([]slog.Attr{slog.String("pool", w.pool), slog.String("source", w.name)}, more...)
		w.tell = append(w.tell, func() { s.logger.LogAttrs(context.Background(), level, text, attrs...) })
	}
	if n.trouble {
		tell(slog.LevelWarn, "discovery fails, the backends found before stay", append([]slog.Attr{
			slog.String("why", why), slog.Int("backends", now)}, explain.Named("discovery_failed").Page().Attrs()...)...)
	}
	if n.over {
		tell(slog.LevelInfo, "discovery answers again", slog.Int("backends", now))
	}
	if n.list && first {
		tell(slog.LevelInfo, "backends found", slog.Int("backends", now)) // later ones are told by name
	}
}

// report tells what w's answers were.
func (s *Set) report(w *worker) {
	s.mu.Lock()
	all := w.tell
	w.tell = nil
	s.mu.Unlock()
	for _, tell := range all {
		tell()
	}
}

// again is when to ask again after a trouble.
func (w *worker) again() time.Duration {
	switch {
	case w.c.DNS != nil:
		return w.c.DNS.MinTTL
	case w.c.HTTP != nil:
		return w.c.HTTP.Interval
	}
	return lookEvery
}

// close lets go of what the source holds.
func (w *worker) close() {
	if c, ok := w.source.(interface{ close() }); ok {
		c.close()
	}
}

// jitter returns d or somewhat more.
func jitter(d time.Duration) time.Duration {
	return time.Duration(float64(max(d, minPause)) * (1 + jitterShare*rand.Float64()))
}
