package drain

import (
	"encoding/json"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/holdfast-lb/holdfast/balancer"
	"github.com/holdfast-lb/holdfast/config"
)

// carried is what d carries, as the next process reads it.
func carried(t testing.TB, d *Drainer) []Carried {
	t.Helper()
	text, err := json.Marshal(d.Carry())
	if err != nil {
		t.Fatal(err)
	}
	var list []Carried
	if err := json.Unmarshal(text, &list); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return list
}

// A drain goes on in the next process where it was, and ends when it would have.
func TestDrainGoesOnInAnotherProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		f.open(one, 1000)
		f.open(two, 1)
		f.open(elsewhere, 5)
		d := f.drainer()
		began := time.Now()
		d.Start(one, "b1", policy(20*time.Second, 20), 0)
		d.Start(elsewhere, "b3", policy(time.Second, 0), 0)
		sleep(2 * time.Second)
		d.Start(two, "b2", policy(time.Second, 0), 0)
		sleep(8 * time.Second)
		list, before := carried(t, d), map[balancer.Key]Progress{}
		for _, c := range list {
			before[c.Key], _ = d.Of(c.Key)
		}
		d.Close()

		f.mu.Lock()
		f.ended = nil
		f.mu.Unlock()
		d = f.drainer()
		defer d.Close()
		for _, c := range list {
			d.Resume(c, policy(time.Hour, 20))
		}
		for key, was := range before {
			now, ok := d.Of(key)
			if off := now.Expected.Sub(was.Expected).Abs(); !ok || off > time.Second || was.Ended && off > 0 {
				t.Errorf("%s is expected to end %s off", key.Address, off)
			}
			now.Expected, was.Expected = time.Time{}, time.Time{}
			if a, b := fmt.Sprint(inWalls(now)), fmt.Sprint(inWalls(was)); a != b {
				t.Errorf("%s goes on as\n%s, was\n%s", key.Address, a, b)
			}
		}
		sleep(10*time.Second - time.Millisecond)
		p, _ := d.Of(one)
		if p.Forced != 0 || p.Closed < before[one].Closed+180 || p.Closed > before[one].Closed+200 {
			t.Errorf("before the deadline %+v, was %+v", p, before[one])
		}
		sleep(time.Second)
		p = tell(t, d, one, 0, -1, 1000-p.Closed, true)
		if took := p.Expected.Sub(began); took > 21*time.Second || len(f.ended) != 1 || f.ended[0].Sockets != 1000 {
			t.Errorf("took %v, ended %+v", took, f.ended)
		}
	})
}

// inWalls is p without readings of this process's clock.
func inWalls(p Progress) Progress {
	p.Began, p.Deadline = p.Began.UTC().Round(0), p.Deadline.UTC().Round(0)
	return p
}

// A deadline that has passed is met at once, one that is missing is the policy's.
func TestResumeMeetsTheDeadline(t *testing.T) {
	f := func(c Carried, perSecond int, wait time.Duration, left, forced int) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			f := newFleet()
			f.open(one, 100)
			d := f.drainer()
			defer d.Close()
			c.Key = one
			d.Resume(c, policy(10*time.Second, perSecond))
			sleep(wait)
			if p, ok := d.Of(one); !ok || p.Left != left || p.Forced != forced || p.Sockets < 100 {
				t.Errorf("%+v: %v, %+v", c, ok, p)
			}
		})
	}
	past := time.Date(1999, 12, 31, 0, 0, 0, 0, time.UTC) // synctest begins in 2000
	f(Carried{Deadline: past}, 1, time.Millisecond, 0, 100)
	f(Carried{Deadline: past, Ended: past, Sockets: 120}, 1, time.Millisecond, 0, 100) // some have come again
	f(Carried{}, 0, 9*time.Second, 100, 0)
	f(Carried{}, 0, 11*time.Second, 0, 100)
	f(Carried{Deadline: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)}, 0, time.Hour, 100, 0)
	f(Carried{Sockets: -5, Closed: -5, Forced: -5}, 0, 11*time.Second, 0, 100)
}

func TestResumeLeavesWhatIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		f.open(one, 10)
		d := f.drainer()
		d.Start(one, "here", policy(time.Minute, 0), 0)
		d.Resume(Carried{Key: one, Name: "there"}, policy(time.Second, 0))
		sleep(5 * time.Second)
		if p := tell(t, d, one, 10, 0, 0, false); p.Name != "here" {
			t.Errorf("%+v", p)
		}
		d.Close()
		d.Resume(Carried{Key: two}, policy(time.Second, 0))
		if len(d.Carry()) != 0 {
			t.Error("a drain begins behind the end")
		}
	})
}

// Whatever is under way, it is carried as it is, over and over.
func TestCarriedDrainsAreWhatTheyWere(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		steps := rapid.SliceOfN(rapid.IntRange(0, 1<<20), 1, 20).Draw(rt, "steps")
		synctest.Test(t, func(t *testing.T) {
			f := newFleet()
			d := f.drainer()
			for _, n := range steps {
				key := []balancer.Key{one, two, elsewhere}[n%3]
				f.open(key, n%50)
				d.Start(key, fmt.Sprint(n), policy(time.Duration(1+n%20)*time.Second, n%100), 0)
				sleep(time.Duration(n % int(2*time.Second)))
			}
			was, _ := json.Marshal(d.Carry())
			list := carried(t, d)
			d.Close()
			next := f.drainer()
			defer next.Close()
			for _, c := range list {
				next.Resume(c, config.Drain{Deadline: time.Hour, CloseCode: 1012})
			}
			if now, _ := json.Marshal(next.Carry()); string(now) != string(was) {
				t.Fatalf("carried on\n%s, was\n%s", now, was)
			}
		})
	})
}

func FuzzResume(f *testing.F) {
	f.Add([]byte(`{"pool":"p","address":"a:1","deadline":"2000-01-01T00:00:01Z","sockets":5}`))
	f.Add([]byte(`{"pool":"p","address":"a:1","ended":"9999-01-01T00:00:01Z","closed":-9223372036854775808}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var c Carried
		if json.Unmarshal(text, &c) != nil {
			return
		}
		synctest.Test(t, func(t *testing.T) {
			f := newFleet()
			f.open(one, 3)
			d := f.drainer()
			defer d.Close()
			d.Resume(c, policy(time.Second, 2))
			sleep(3 * time.Second)
			if p, ok := d.Of(c.Key); !ok || p.Left < 0 || p.Closed < 0 || p.Forced < 0 {
				t.Errorf("%+v", p)
			}
			if _, err := json.Marshal(d.Carry()); err != nil {
				t.Error(err)
			}
		})
	})
}
