package relay

import (
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// all returns what Each yields, by id.
func all(t *testing.T, r rig) map[uint64]Live {
	t.Helper()
	m := map[uint64]Live{}
	for l := range r.Each {
		if _, twice := m[l.ID]; twice {
			t.Errorf("pair %d was yielded twice", l.ID)
		}
		m[l.ID] = *l
	}
	return m
}

// End tells one client, between two frames, and nobody else.
func TestEnd(t *testing.T) {
	engines(t, func(t *testing.T, r rig) {
		mine := NewID()
		a := r.join(t, func(k *Call) { k.ID = mine })
		b := r.join(t, nil)
		frame := appendFrame(nil, 2, false, make([]byte, 1000))
		send(t, a.backend, frame[:500])
		expect(t, a.client, string(frame[:500]))

		if r.End(0, 1012, "", time.Second) || r.End(1<<60, 1012, "", time.Second) {
			t.Fatal("End found a pair that does not exist")
		}
		if !r.End(mine, 1012, "service restart", 10*time.Second) {
			t.Fatalf("End did not find pair %d", mine)
		}
		testkit.Eventually(t, 10*time.Second, func() bool { return all(t, r)[mine].Leaving }, "order to arrive")
		r.End(mine, 1000, "too late", 10*time.Second)
		send(t, a.backend, frame[500:])
		expect(t, a.client, string(frame[500:])+string(appendClose(nil, Client, 1012, "service restart")))
		_ = a.client.Close()
		_ = a.backend.Close()
		s := within(t, "Closed", a.owner.closed)
		if s.Code != 1012 || s.Ender != ByHoldfast || s.Reason != "service restart" {
			t.Fatalf("summary %+v", s)
		}
		if r.End(mine, 1012, "", time.Second) {
			t.Fatal("End found a pair that has ended")
		}
		if m := all(t, r); len(m) != 1 {
			t.Fatalf("%d pairs are left, want 1", len(m))
		}
		send(t, b.backend, frame)
		expect(t, b.client, string(frame))
	})
}

// A client that does not answer is cut when its grace is over.
func TestEndIsFinal(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, r rig) {
		t.Parallel()
		id := NewID()
		j := r.join(t, func(k *Call) { k.ID = id })
		const grace = time.Second
		began := time.Now()
		r.End(id, 4001, "kicked", grace)
		expect(t, j.client, string(appendClose(nil, Client, 4001, "kicked")))
		s := within(t, "Closed", j.owner.closed)
		if d := time.Since(began); d < grace || s.Code != 4001 {
			t.Fatalf("ended after %v with %+v", d, s)
		}
	})
}

func TestEachTellsWhatPairsAre(t *testing.T) {
	engines(t, func(t *testing.T, r rig) {
		a := r.join(t, nil)
		b := r.join(t, nil)
		up, down := appendFrame(nil, 1, true, []byte("up")), appendFrame(nil, 1, false, []byte("down"))
		for range 3 {
			send(t, a.client, up)
			expect(t, a.backend, string(up))
		}
		send(t, a.backend, down)
		expect(t, a.client, string(down))
		time.Sleep(50 * time.Millisecond) // the idle time that is asked for below
		m := all(t, r)
		if len(m) != 2 {
			t.Fatalf("%d pairs, want 2", len(m))
		}
		for id, l := range m {
			want := Live{ID: id, Owner: b.owner}
			if l.Owner == Owner(a.owner) {
				want.Owner = a.owner
				want.Bytes = [2]uint64{3 * uint64(len(up)), uint64(len(down))}
				want.Frames = [2]uint64{3, 1}
			}
			if l.Idle < 45*time.Millisecond || l.Age < l.Idle {
				t.Errorf("idle %v, age %v", l.Idle, l.Age)
			}
			l.Idle, l.Age = 0, 0
			if l != want || id == 0 {
				t.Errorf("pair %+v, want %+v", l, want)
			}
		}
		n := 0
		r.Each(func(*Live) bool { n++; return false })
		if n != 1 {
			t.Errorf("%d pairs were yielded after false, want 1", n)
		}
	})
}

// Many orders at once, from several goroutines, while others look and pairs
// end by themselves: each client reads one Close, and a stopped relay answers.
func TestOrdersFromManyGoroutines(t *testing.T) {
	n := 200
	if testing.Short() || raceEnabled {
		n = 60
	}
	engines(t, func(t *testing.T, r rig) {
		var js []joined
		first := lastID.Load() + 1
		for range n {
			js = append(js, r.join(t, nil))
		}
		var found atomic.Int64
		var orders, readers sync.WaitGroup
		for _, j := range js {
			readers.Go(func() {
				_ = j.client.SetReadDeadline(time.Now().Add(20 * time.Second))
				want := string(appendClose(nil, Client, 1012, "moved"))
				b := make([]byte, len(want))
				_, err := io.ReadFull(j.client, b)
				_, _ = j.client.CloseWrite(), j.backend.CloseWrite()
				rest, _ := io.ReadAll(j.client)
				if string(b) != want || len(rest) > 0 {
					t.Errorf("client read %q (%v) and %q, want %q", b, err, rest, want)
				}
			})
		}
		for range 4 {
			orders.Go(func() {
				for i := range n {
					if r.End(first+uint64(i), 1012, "moved", 10*time.Second) {
						found.Add(1)
					}
				}
			})
			orders.Go(func() { all(t, r) })
		}
		orders.Wait()
		if found.Load() < int64(n) {
			t.Errorf("%d pairs were found, there are %d", found.Load(), n)
		}
		readers.Wait()
		for _, j := range js {
			within(t, "Closed", j.owner.closed)
		}
		r.Close()
		if len(all(t, r)) != 0 || r.End(first, 1000, "", 0) {
			t.Error("a stopped relay has pairs")
		}
	})
}
