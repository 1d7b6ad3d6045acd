package drain

import (
	"math"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/holdfast-lb/holdfast/balancer"
	"github.com/holdfast-lb/holdfast/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fleet is sockets that end a moment after they were told, or never.
type fleet struct {
	mu      sync.Mutex
	sockets map[balancer.Key]map[uint64]bool // true: told to end
	owner   map[uint64]balancer.Key
	last    uint64
	stays   bool // sockets that are told do not end
	closes  []time.Time
	codes   map[uint16]int
	ended   []Progress
}

func newFleet() *fleet {
	return &fleet{sockets: map[balancer.Key]map[uint64]bool{}, owner: map[uint64]balancer.Key{}, codes: map[uint16]int{}}
}

func (f *fleet) open(key balancer.Key, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.sockets[key] == nil {
		f.sockets[key] = map[uint64]bool{}
	}
	for range n {
		f.last++
		f.sockets[key][f.last] = false
		f.owner[f.last] = key
	}
}

// leave ends n sockets by their own will.
func (f *fleet) leave(key balancer.Key, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id := range f.sockets[key] {
		if n == 0 {
			return
		}
		n--
		delete(f.sockets[key], id)
	}
}

// now is how many sockets a backend has, and how many of all were told to end.
func (f *fleet) now(key balancer.Key) (open, told int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.sockets[key]), len(f.closes)
}

func (f *fleet) drainer() *Drainer {
	return New(Options{
		Sockets: func(key balancer.Key) (ids []uint64) {
			f.mu.Lock()
			defer f.mu.Unlock()
			for id, told := range f.sockets[key] {
				if !told {
					ids = append(ids, id)
				}
			}
			return ids
		},
		Left: func(key balancer.Key) int {
			f.mu.Lock()
			defer f.mu.Unlock()
			return len(f.sockets[key])
		},
		Close: func(id uint64, code uint16) bool {
			f.mu.Lock()
			defer f.mu.Unlock()
			sockets := f.sockets[f.owner[id]]
			told, open := sockets[id]
			if !open || told {
				return false
			}
			f.closes = append(f.closes, time.Now())
			f.codes[code]++
			if sockets[id] = true; !f.stays {
				delete(sockets, id)
			}
			return true
		},
		Ended: func(p Progress) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.ended = append(f.ended, p)
		},
	})
}

// stay has sockets that are told not end from now on.
func (f *fleet) stay() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stays = true
}

// most is the most closes in any second, counted from the first on, of those
// before the time given.
func (f *fleet) most(before time.Time) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	most := 0
	for i, from := range f.closes {
		n := 0
		for _, at := range f.closes[i:] {
			if at.Before(before) && at.Sub(from) < time.Second {
				n++
			}
		}
		most = max(most, n)
	}
	return most
}

var one, two, elsewhere = balancer.Key{Pool: "p", Address: "a:1"}, balancer.Key{Pool: "p", Address: "b:1"}, balancer.Key{Pool: "q", Address: "a:1"}

func policy(deadline time.Duration, perSecond int) config.Drain {
	return config.Drain{Deadline: deadline, CloseCode: 1012, ClosesPerSecond: perSecond}
}

// tell fails the test unless the drain stands as wanted; -1: whatever.
func tell(t *testing.T, d *Drainer, key balancer.Key, left, closed, forced int, ended bool) Progress {
	t.Helper()
	p, ok := d.Of(key)
	if !ok || p.Left != left || closed >= 0 && p.Closed != closed || p.Forced != forced || p.Ended != ended {
		t.Fatalf("drain of %s: %v, %+v; want %d left, %d closed, %d forced, ended %v", key.Address, ok, p, left, closed, forced, ended)
	}
	return p
}

// sleep returns when all that is due by then has been done.
func sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestDrainKeepsItsPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		f.open(one, 1000)
		f.open(two, 500)
		d := f.drainer()
		defer d.Close()
		began := time.Now()
		d.Start(one, "", policy(time.Minute, 100), 0)
		synctest.Wait()
		p := tell(t, d, one, 999, 1, 0, false)
		if off := p.Expected.Sub(began) - 10500*time.Millisecond; off.Abs() > 200*time.Millisecond {
			t.Errorf("expected to end after %v", p.Expected.Sub(began))
		}
		sleep(5 * time.Second)
		if p, _ := d.Of(one); p.Closed < 465 || p.Closed > 500 || p.Left != 1000-p.Closed {
			t.Errorf("half way: %+v", p)
		}
		sleep(7 * time.Second)
		p = tell(t, d, one, 0, 1000, 0, true)
		if took := p.Expected.Sub(began); took < 10*time.Second || took > 11500*time.Millisecond {
			t.Errorf("took %v", took)
		}
		if most := f.most(time.Now()); most > 100 {
			t.Errorf("%d closes in one second, 100 are allowed", most)
		}
		if len(f.sockets[two]) != 500 || f.codes[1012] != 1000 || len(f.ended) != 1 {
			t.Errorf("%d left elsewhere, codes %v, ended %+v", len(f.sockets[two]), f.codes, f.ended)
		}
		gaps := map[time.Duration]bool{}
		for i := range f.closes[1:] {
			gaps[f.closes[i+1].Sub(f.closes[i])] = true
		}
		if len(gaps) < 100 {
			t.Errorf("%d closes have %d different gaps between them", len(f.closes), len(gaps))
		}
	})
}

func TestDrainForcesTheRestAtItsDeadline(t *testing.T) {
	f := func(perSecond, closed int) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			f := newFleet()
			f.open(one, 2000)
			d := f.drainer()
			defer d.Close()
			deadline := time.Now().Add(10 * time.Second)
			d.Start(one, "", policy(10*time.Second, perSecond), 0)
			synctest.Wait()
			if p, _ := d.Of(one); !p.Expected.Equal(deadline) {
				t.Errorf("expected at %v, the deadline is %v", p.Expected, deadline)
			}
			sleep(10*time.Second - time.Millisecond)
			p, _ := d.Of(one)
			if p.Forced != 0 || p.Closed < closed*9/10 || p.Closed > closed {
				t.Errorf("%d a second: before the deadline %+v", perSecond, p)
			}
			if most := f.most(deadline); most > perSecond {
				t.Errorf("%d a second: %d in one second", perSecond, most)
			}
			sleep(2 * time.Millisecond)
			if now, _ := d.Of(one); now.Closed+now.Forced != 2000 || now.Forced < 2000-p.Closed-perSecond/50-1 {
				t.Errorf("%d a second: behind the deadline %+v", perSecond, now)
			}
			sleep(time.Second)
			tell(t, d, one, 0, -1, 2000-p.Closed-(2000-p.Closed-f.ended[0].Forced), true)
		})
	}
	f(100, 1000)
	f(0, 0)
}

// Sockets that open while the drain is under way, as their handshakes had begun
// before, are closed too, after the deadline as well.
func TestDrainFindsLateSockets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		f.open(one, 10)
		d := f.drainer()
		defer d.Close()
		d.Start(one, "", policy(10*time.Second, 1), 0)
		sleep(time.Second / 2)
		f.open(one, 3)
		sleep(9 * time.Second)
		f.leave(one, 1)
		f.stay()
		sleep(time.Second)
		f.open(one, 2)
		sleep(time.Second)
		p, _ := d.Of(one)
		if p.Ended || p.Closed+p.Forced != 14 || p.Left == 0 {
			t.Errorf("%+v", p)
		}
		f.leave(one, 100)
		sleep(time.Second)
		if p, _ := d.Of(one); !p.Ended || p.Left != 0 {
			t.Errorf("%+v", p)
		}
	})
}

func TestDrainStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		f.open(one, 1000)
		d := f.drainer()
		defer d.Close()
		d.Start(one, "", policy(20*time.Second, 10), 0)
		sleep(5 * time.Second)
		d.Stop(one)
		left, _ := f.now(one)
		if _, ok := d.Of(one); ok || left < 940 {
			t.Errorf("a drain that was stopped is still known, %d sockets left", left)
		}
		sleep(time.Minute)
		if n, _ := f.now(one); n != left {
			t.Errorf("%d sockets were closed after the drain was stopped", left-n)
		}
		d.Start(one, "", policy(20*time.Second, 10), 0)
		synctest.Wait()
		tell(t, d, one, left-1, 1, 0, false)
	})
}

// The backends of one pool share its pace, other pools have their own.
func TestDrainsOfAPoolShareItsPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		for _, key := range []balancer.Key{one, two, elsewhere} {
			f.open(key, 300)
		}
		d := f.drainer()
		defer d.Close()
		began := time.Now()
		d.Start(one, "", policy(time.Minute, 50), 0)
		d.Start(two, "", policy(time.Minute, 50), 2*time.Minute)
		d.Start(elsewhere, "", policy(time.Minute, 50), 0)
		sleep(5 * time.Second)
		p := tell(t, d, two, 300, 0, 0, false)
		if off := p.Expected.Sub(began) - 12600*time.Millisecond; off.Abs() > 500*time.Millisecond {
			t.Errorf("the second is expected to end after %v", p.Expected.Sub(began))
		}
		sleep(2 * time.Second)
		if took := tell(t, d, elsewhere, 0, 300, 0, true).Expected.Sub(began); took > 7*time.Second {
			t.Errorf("the other pool took %v", took)
		}
		if most := f.most(time.Now()); most > 100 {
			t.Errorf("%d closes in a second by two pools with 50 each", most)
		}
		sleep(6 * time.Second)
		tell(t, d, one, 0, 300, 0, true)
		tell(t, d, two, 0, 300, 0, true)
	})
}

func TestDrainObeysNewOrders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		f.open(one, 1000)
		d := f.drainer()
		defer d.Close()
		d.Start(one, "", policy(time.Minute, 10), 0)
		sleep(5 * time.Second)
		next := policy(time.Hour, 200)
		next.CloseCode = 4000
		d.SetPolicy("p", next)
		d.SetPolicy("none", next)
		before, _ := d.Of(one)
		sleep(4 * time.Second)
		if p, _ := d.Of(one); p.Closed < before.Closed+700 || !p.Deadline.Equal(before.Deadline) || f.codes[4000] != p.Closed-before.Closed {
			t.Errorf("after a new pace: %+v, codes %v", p, f.codes)
		}
		d.Start(one, "", policy(time.Minute, 1), time.Second)
		sleep(2 * time.Second)
		p, _ := d.Of(one)
		if !p.Ended || p.Forced == 0 || p.Sockets != 1000 || p.Closed+p.Forced != 1000 {
			t.Errorf("after a new deadline: %+v", p)
		}
	})
}

// Whatever is ordered and whoever leaves: no socket is told twice, none of a
// backend without a drain is told at all, counts are what was told.
func TestDrainsAgainstModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		keys := []balancer.Key{one, two, elsewhere}
		steps := rapid.SliceOfN(rapid.IntRange(0, math.MaxInt32), 1, 40).Draw(rt, "steps")
		synctest.Test(t, func(t *testing.T) {
			f := newFleet()
			d := f.drainer()
			defer d.Close()
			for _, n := range steps {
				key := keys[n%3]
				switch n / 3 % 6 {
				case 0:
					f.open(key, n%97)
				case 1:
					f.leave(key, n%31)
				case 2, 3:
					d.Start(key, "", policy(time.Duration(1+n%20)*time.Second, n%300), 0)
				case 4:
					d.Stop(key)
				}
				synctest.Wait()
				draining := d.Keys()
				quiet := map[balancer.Key]int{}
				for _, k := range keys {
					if !slices.Contains(draining, k) {
						quiet[k], _ = f.now(k)
					}
				}
				_, told := f.now(key)
				sleep(time.Duration(n % int(2*time.Second)))
				for k, was := range quiet {
					if n, _ := f.now(k); n != was {
						t.Errorf("%s has no drain and lost %d sockets", k.Address, was-n)
					}
				}
				sum := 0
				for _, k := range draining {
					p, _ := d.Of(k)
					if p.Left < 0 || p.Closed < 0 || p.Forced < 0 || p.Ended && p.Left != 0 {
						t.Errorf("%+v", p)
					}
					sum += p.Closed + p.Forced
				}
				if _, n := f.now(key); sum > n || n > told && sum == 0 {
					t.Errorf("%d are counted, %d were told", sum, n)
				}
			}
		})
	})
}
