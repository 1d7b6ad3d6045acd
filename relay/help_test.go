//go:build linux && (amd64 || arm64)

package relay

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/sys"
)

// stalled returns a relay of n loops whose goroutines never have their turn,
// until the test ends.
func stalled(t *testing.T, n int) *Relay {
	t.Helper()
	r := &Relay{}
	for range n {
		l, err := makeLoop()
		if err != nil {
			t.Fatal(err)
		}
		r.engines = append(r.engines, l)
	}
	t.Cleanup(func() {
		for _, e := range r.engines {
			go e.(*loop).run()
		}
		r.Close()
	})
	return r
}

// Where loops never have their turn, helpers do all of their work: they open
// pairs, move what is larger than a turn, obey orders and end pairs.
func TestHelpersDoEverything(t *testing.T) {
	for _, n := range []int{1, 4} {
		for _, secure := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d loops, TLS %v", n, secure), func(t *testing.T) {
				r := stalled(t, n)
				helped(t, r)
				large := noise(Client, 1<<20)
				var all []joined
				for i := range 2 * n {
					j := rig{r, [2]bool{secure, secure}}.join(t, func(c *Call) { c.ID = uint64(i) + 1 })
					all = append(all, j)
				}
				for _, j := range all {
					go func() { _, _ = j.client.Write(large) }()
				}
				for i, j := range all {
					got := make([]byte, len(large))
					if _, err := io.ReadFull(j.backend, got); err != nil || !bytes.Equal(got, large) {
						t.Fatalf("pair %d: a large message has not arrived whole: %v", i, err)
					}
				}
				for i, j := range all {
					if !r.End(uint64(i)+1, 1012, "service restart", 0) {
						t.Fatalf("pair %d is not open", i)
					}
					within(t, "Closed", j.owner.closed)
				}
			})
		}
	}
}

// A helper takes a few events of a loop that has not looked for a millisecond,
// and leaves one alone that has.
func TestHelpIsForTheOverdue(t *testing.T) {
	const pairs = 3 * eventsOfHelp
	r := stalled(t, 1)
	l := r.engines[0].(*loop)
	var all []joined
	stop := helped(t, r)
	for range pairs {
		all = append(all, rig{Relay: r}.join(t, nil))
	}
	stop()
	for l.looked.Store(0); l.looked.Load() == 0; { // nothing is left of that
		r.Help()
	}
	for _, j := range all {
		if _, err := j.client.Write(appendFrame(nil, opText, true, []byte("hello"))); err != nil {
			t.Fatal(err)
		}
	}
	moved := func() uint64 { return r.Stats().Frames[Client][Text] }
	l.looked.Store(int64(time.Since(l.began) + time.Hour))
	r.Help()
	if n := moved(); n != 0 {
		t.Fatalf("%d messages were moved for a loop that had just looked", n)
	}
	l.looked.Store(0)
	for helps := uint64(1); helps <= pairs/eventsOfHelp; helps++ {
		r.Help()
		if n := moved(); n != helps*eventsOfHelp {
			t.Fatalf("%d messages were moved by %d helpers", n, helps)
		}
	}
	r.Help()
	if l.looked.Load() == 0 {
		t.Fatal("nothing was left, and the loop is still overdue")
	}
}

// What a helper leaves undone wakes the loop.
func TestHelpersLeaveNothing(t *testing.T) {
	r, err := New(Options{Loops: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	l := r.engines[0].(*loop)
	for range 100 {
		done := make(chan struct{})
		l.mu.Lock()
		l.todo = append(l.todo, func() bool {
			close(done)
			return false
		})
		l.poll.Due(l.patience()) // as help ends
		l.mu.Unlock()
		within(t, "what was left", done)
	}
}

// Help that comes when the loops have ended does nothing.
func TestHelpAfterTheEnd(t *testing.T) {
	for _, portable := range []bool{false, true} {
		r, err := New(Options{Loops: 4, Portable: portable})
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		for range 100 {
			r.Help()
		}
		if portable {
			continue
		}
		for _, e := range r.engines {
			l := e.(*loop)
			l.dialing.Store(1) // a pair that comes too late
			l.looked.Store(0)
			l.help()
			if l.looked.Load() != 0 {
				t.Error("a loop without descriptors has looked")
			}
		}
	}
}

// While a hundred goroutines compute, a message waits for the turns of some of
// them if they help, and otherwise for those of all.
func TestMessagesBesideComputers(t *testing.T) {
	const computers, turn, messages = 100, 100 * time.Microsecond, 40
	// With one processor it is goroutines that wait, however busy the machine is.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	r, err := New(Options{Loops: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p := rig{Relay: r}.join(t, nil)
	from, to := descriptor(p.client.tcp), descriptor(p.backend.tcp)
	defer sys.Close(from)
	defer sys.Close(to)
	frame := appendFrame(nil, opText, true, []byte("hello"))

	// waits returns for how many turns half of the messages have waited at most.
	waits := func(help func()) int {
		var mu sync.Mutex
		turns, sent := 0, -1 // guarded by mu
		var took []int       // guarded by mu
		// look receives a message, if it has come, and sends the next.
		look := func() (more bool) {
			mu.Lock()
			defer mu.Unlock()
			turns++
			if len(took) == messages {
				return false
			}
			if sent >= 0 {
				if n, _ := sys.Recv(to, make([]byte, 64)); n == 0 {
					return true
				}
				took = append(took, turns-sent)
			}
			sent = turns
			_, errno := sys.Send(from, frame)
			return errno == 0
		}
		var all sync.WaitGroup
		for range computers {
			all.Go(func() {
				for look() {
					for began := time.Now(); time.Since(began) < turn; {
					}
					help()
					runtime.Gosched()
				}
			})
		}
		all.Wait()
		slices.Sort(took)
		return took[len(took)/2]
	}
	without := waits(func() {})
	with := waits(r.Help)
	t.Logf("messages wait for %d turns of %d goroutines, and for %d if these help", without, computers, with)
	if with > without/2 {
		t.Error("help is of no use")
	}
}

func TestHelpTakesNoMemory(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	r := stalled(t, 4)
	for _, e := range r.engines {
		e.(*loop).dialing.Add(1)
		defer e.(*loop).dialing.Add(-1)
	}
	if n := testing.AllocsPerRun(1000, func() {
		for _, e := range r.engines {
			e.(*loop).looked.Store(-overdue)
		}
		r.Help()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkHelp is what a request pays.
func BenchmarkHelp(b *testing.B) {
	for _, loops := range []int{1, 4} {
		r, err := New(Options{Loops: loops})
		if err != nil {
			b.Fatal(err)
		}
		defer r.Close()
		run := func(name string, before func()) {
			b.Run(fmt.Sprintf("%d loops, %s", loops, name), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					before()
					r.Help()
				}
			})
		}
		looked := func(at int64) func() {
			return func() {
				for _, e := range r.engines {
					e.(*loop).looked.Store(at)
				}
			}
		}
		run("no sockets", func() {})
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		defer l.Close()
		for range loops {
			go func() {
				if c, err := l.Accept(); err == nil {
					serveQuietly(c)
				}
			}()
			benchClient(b, r, l, nil)
		}
		run("not overdue", looked(int64(time.Hour)))
		run("overdue, and nothing waits", looked(-overdue))
	}
}
