package demo

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func mustJoin(t *testing.T, a *arena, room, name string) *player {
	t.Helper()
	p, err := a.join(room, name)
	if err != nil {
		t.Fatalf("join %s: %v", room, err)
	}
	return p
}

func TestRoomTicksWhileSomebodyIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newArena("demo-1")
		p := mustJoin(t, a, "reef", "ada")
		q := mustJoin(t, a, "reef", "bob")
		other := mustJoin(t, a, "abyss", "cleo")
		a.obey(p, command{Type: "go", X: 1})
		time.Sleep(10*tick + tick/2)
		synctest.Wait()

		if got := told(t, q, "tick"); len(got) != 10 {
			t.Errorf("%d ticks told in the room, want 10", len(got))
		}
		if got := told(t, other, "tick"); len(got) != 0 {
			t.Errorf("another room was told %v", got)
		}
		if players, rooms := a.counts(); players != 3 || rooms != 2 {
			t.Errorf("%d players in %d rooms, want 3 in 2", players, rooms)
		}

		for _, p := range []*player{p, q, other} {
			a.leave(p)
		}
		a.running.Wait() // the rooms' loops end with their last player
		if players, rooms := a.counts(); players != 0 || rooms != 0 {
			t.Errorf("%d players in %d rooms after all left, want none", players, rooms)
		}
	})
}

func TestSlowPlayerIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newArena("demo-1")
		slow := mustJoin(t, a, "reef", "slow")
		woken := false
		slow.wake = func() { woken = true }
		swimmer := mustJoin(t, a, "reef", "swimmer")
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range swimmer.out { // keeps up
			}
		}()

		// To and fro, so that there is always something to tell.
		for i := range queueSize + 5 {
			a.obey(swimmer, command{Type: "go", X: float64(i%2)*2 - 1})
			time.Sleep(tick)
		}
		synctest.Wait()

		if slow.goodbye != farewellSlow || !slow.cut.Load() || !woken {
			t.Errorf("goodbye %+v, cut %v, woken %v: want the slow one dropped", slow.goodbye, slow.cut.Load(), woken)
		}
		if a.obey(slow, command{Type: "ping"}) {
			t.Error("a dropped player is still obeyed")
		}
		if !a.obey(swimmer, command{Type: "ping"}) {
			t.Error("the one who kept up was dropped too")
		}
		a.leave(slow)
		a.leave(swimmer)
		a.running.Wait()
		<-done
	})
}

func TestRoomsAndPlayersAreBounded(t *testing.T) {
	a := newArena("demo-1")
	var all []*player
	for i := range maxPlayers {
		p := mustJoin(t, a, "reef", fmt.Sprint(i))
		for _, q := range append(all, p) { // all keep up
			told(t, q, "join")
		}
		all = append(all, p)
	}
	if _, err := a.join("reef", "one more"); err != errRoomFull {
		t.Errorf("join a full room: %v, want %v", err, errRoomFull)
	}
	for i := range maxRooms - 1 {
		all = append(all, mustJoin(t, a, fmt.Sprintf("room-%d", i), "x"))
	}
	if _, err := a.join("one-room-more", "x"); err != errNoRoom {
		t.Errorf("join one room more: %v, want %v", err, errNoRoom)
	}

	a.close(farewell{code: 1001, reason: "bye"})
	if _, err := a.join("reef", "late"); err != errClosed {
		t.Errorf("join a closed arena: %v, want %v", err, errClosed)
	}
	for _, p := range all {
		if p.goodbye.code != 1001 {
			t.Fatalf("player %s was told %+v, want 1001", p.Name, p.goodbye)
		}
		select {
		case <-a.deserted():
			t.Fatal("deserted before all have left")
		default:
		}
		a.leave(p)
	}
	<-a.deserted()
	a.running.Wait()
}

func TestAllowance(t *testing.T) {
	start := time.Unix(1000, 0)
	a := newAllowance(start)
	taken := 0
	for a.take(start) {
		taken++
	}
	if taken != messageBurst {
		t.Errorf("%d messages at once, want %d", taken, messageBurst)
	}
	later := start.Add(500 * time.Millisecond)
	for taken = 0; a.take(later); {
		taken++
	}
	if taken != messagesPerSecond/2 {
		t.Errorf("%d messages after half a second, want %d", taken, messagesPerSecond/2)
	}
	if a.take(start) {
		t.Error("a clock that goes back must not give tokens")
	}
}
