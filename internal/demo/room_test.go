package demo

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
)

// still is a room without pearls, for tests about movement.
func still(players ...*player) *room {
	r := newRoom("reef")
	r.pearls = nil
	for _, p := range players {
		r.add(p, "demo-1")
		p.X, p.Y = 500, 500
	}
	return r
}

// told returns the messages queued for p of one type, and empties its queue.
func told(t *testing.T, p *player, kind string) []string {
	t.Helper()
	var messages []string
	for {
		select {
		case m, ok := <-p.out:
			if !ok {
				return messages
			}
			var head struct{ T string }
			if err := json.Unmarshal(m, &head); err != nil {
				t.Fatalf("message %s: %v", m, err)
			}
			if head.T == kind {
				messages = append(messages, string(m))
			}
		default:
			return messages
		}
	}
}

func TestStepMoves(t *testing.T) {
	f := func(x, y, seconds, wantX, wantY float64) {
		t.Helper()
		p := newPlayer(1, "a")
		r := still(p)
		p.steer(x, y)
		r.step(seconds)
		if math.Abs(p.X-wantX) > .01 || math.Abs(p.Y-wantY) > .01 {
			t.Errorf("steered %v,%v for %v s: at %.2f,%.2f, want %.2f,%.2f", x, y, seconds, p.X, p.Y, wantX, wantY)
		}
	}

	f(1, 0, .1, 533, 500)
	f(0, -.5, .1, 500, 483.5)
	f(1, 1, .1, 500+33/math.Sqrt2, 500+33/math.Sqrt2) // no faster on the diagonal
	f(-1, 0, 60, margin, 500)
	f(1, 1, 60, worldWidth-margin, worldHeight-margin)
	f(0, 0, 60, 500, 500)
}

func TestStepTellsEverybodyOnlyWhatMoves(t *testing.T) {
	a, b := newPlayer(1, "a"), newPlayer(2, "b")
	r := still(a, b)
	r.step(.05)
	if got := told(t, b, "tick"); len(got) != 0 {
		t.Errorf("nobody moved, but b was told %v", got)
	}

	a.steer(1, 0)
	r.step(.05)
	const moving = `{"t":"tick","moves":[[1,516.5,500.0,1.00,0.00]]}`
	if got := told(t, b, "tick"); len(got) != 1 || got[0] != moving {
		t.Errorf("b was told %v, want %s", got, moving)
	}

	a.steer(0, 0)
	r.step(.05)
	r.step(.05)
	const stopped = `{"t":"tick","moves":[[1,516.5,500.0,0.00,0.00]]}`
	if got := told(t, b, "tick"); len(got) != 1 || got[0] != stopped {
		t.Errorf("b was told %v, want that a stopped, once", got)
	}
}

func TestPearlIsCollectedOnceAndGrowsElsewhere(t *testing.T) {
	a, b := newPlayer(1, "a"), newPlayer(2, "b")
	r := still(a, b)
	r.pearls = []pearl{{ID: 77, X: 520, Y: 500, Value: 5}, {ID: 78, X: 900, Y: 900, Value: 1}}
	a.steer(.01, 0)
	r.step(.05)

	if a.Score != 5 || b.Score != 0 {
		t.Errorf("scores %d and %d, want 5 and 0", a.Score, b.Score)
	}
	if len(r.pearls) != 2 || r.pearls[0].ID == 77 || r.pearls[1].ID != 78 {
		t.Errorf("pearls %+v, want a new one in the place of 77", r.pearls)
	}
	got := told(t, b, "pearl")
	if len(got) != 1 || !strings.HasPrefix(got[0], `{"t":"pearl","id":77,"by":1,"score":5,"next":{`) {
		t.Errorf("b was told %v of the pearl", got)
	}
}

func TestPearlsLieInTheSea(t *testing.T) {
	r := newRoom("reef")
	gold := 0
	seen := make(map[uint32]bool)
	for range 2000 {
		p := r.newPearl()
		if p.X < margin || p.X > worldWidth-margin || p.Y < margin || p.Y > worldHeight-margin {
			t.Fatalf("pearl %+v lies outside", p)
		}
		if seen[p.ID] {
			t.Fatalf("pearl %d twice", p.ID)
		}
		seen[p.ID] = true
		if p.Value == goldValue {
			gold++
		}
	}
	if gold == 0 || gold > 1000 {
		t.Errorf("%d of 2000 pearls are gold, want about one in %d", gold, goldOneIn)
	}
}

func TestHelloShowsThoseWhoAreThere(t *testing.T) {
	a, b := newPlayer(1, "a"), newPlayer(2, "b")
	r := newRoom("reef")
	r.add(a, "demo-3")
	if got := told(t, a, "hello"); len(got) != 1 || !strings.HasPrefix(got[0], `{"t":"hello","server":"demo-3","room":"reef","id":1,"world":[2400,1500]`) {
		t.Errorf("a was greeted with %v", got)
	}
	r.add(b, "demo-3")
	var hello struct {
		Players []struct{ Name string }
		Pearls  []pearl
	}
	if err := json.Unmarshal([]byte(told(t, b, "hello")[0]), &hello); err != nil {
		t.Fatal(err)
	}
	if len(hello.Players) != 2 || hello.Players[0].Name != "a" || len(hello.Pearls) != pearlCount {
		t.Errorf("b was greeted with %+v, want both players and %d pearls", hello, pearlCount)
	}
	if got := told(t, a, "join"); len(got) != 1 || !strings.Contains(got[0], `"name":"b"`) {
		t.Errorf("a was told %v, want that b joined", got)
	}
	r.remove(b)
	if got := told(t, a, "leave"); len(got) != 1 || got[0] != `{"t":"leave","id":2}` {
		t.Errorf("a was told %v, want that b left", got)
	}
}
