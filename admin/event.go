package admin

import (
	"crypto/rand"
	"encoding/hex"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Event is something that has happened.
type Event struct {
	ID      string    `json:"id"` // filled in by [Events.Publish]
	Time    time.Time `json:"time"`
	Kind    string    `json:"kind"` // health | mode | drain | reload | upgrade | discovery | socket | memory | lost
	Level   string    `json:"level"`
	Pool    string    `json:"pool,omitempty"`
	Backend string    `json:"backend,omitempty"`
	// State is what has become of it in a word, for programs:
	//
	//	health     up, down, ejected, returned, withheld, panic, panic_over
	//	mode       ready, drain, maintenance
	//	drain      begun, done, asked (by the backend), withdrawn
	//	reload     started, reloaded, unchanged, refused
	//	upgrade    succeeded, failed
	//	discovery  changed
	//	socket     closing
	//	memory     short, enough
	State   string `json:"state,omitempty"`
	Message string `json:"message"`
}

// Levels of an event.
const (
	Info  = "info"
	Warn  = "warn"
	Error = "error"
)

// Events are the last things that have happened, and a way to wait for the
// next. Publishing never waits for a reader: one that falls behind by more
// than the ring holds is told how many it has missed. All methods are safe for
// concurrent use.
type Events struct {
	run  string // tells this process's ids from another's
	tell func(Event)

	mu   sync.Mutex // guards what follows
	ring []Event    // that of number n is at n modulo its length
	next uint64     // number of the next event; the first is 0
	wake chan struct{}
}

// NewRun returns a word that tells this process's ids from another's.
func NewRun() string {
	var run [4]byte
	rand.Read(run[:]) // never fails, by its contract
	return hex.EncodeToString(run[:])
}

// NewEvents keeps the last size events, with ids that begin with run.
func NewEvents(run string, size int) *Events {
	return &Events{run: run, ring: make([]Event, size), wake: make(chan struct{})}
}

// OnPublish has f told of each event, in order. It must not block, nor use the
// Events. It is called before the first Publish.
func (es *Events) OnPublish(f func(Event)) { es.tell = f }

// Publish adds e, at the time that it names or now.
func (es *Events) Publish(e Event) {
	es.mu.Lock()
	defer es.mu.Unlock()
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	e.ID = es.run + "-" + strconv.FormatUint(es.next, 10)
	es.ring[es.next%uint64(len(es.ring))] = e
	es.next++
	close(es.wake)
	es.wake = make(chan struct{})
	if es.tell != nil {
		es.tell(e)
	}
}

// since copies the events from number at on, oldest first. lost is how many of
// them are gone, next the number to go on with, and wake is closed when there
// is more.
func (es *Events) since(at uint64) (list []Event, lost, next uint64, wake <-chan struct{}) {
	es.mu.Lock()
	defer es.mu.Unlock()
	first := uint64(0)
	if size := uint64(len(es.ring)); es.next > size {
		first = es.next - size
	}
	if at < first {
		lost, at = first-at, first
	}
	for n := at; n < es.next; n++ {
		list = append(list, es.ring[n%uint64(len(es.ring))])
	}
	return list, lost, es.next, es.wake
}

// after returns the number of the event after the one with that id: 0, so
// everything there is, if this process has given no such id.
func (es *Events) after(id string) uint64 {
	text, mine := strings.CutPrefix(id, es.run+"-")
	n, err := strconv.ParseUint(text, 10, 63)
	es.mu.Lock()
	defer es.mu.Unlock()
	if !mine || err != nil || n >= es.next {
		return 0
	}
	return n + 1
}
