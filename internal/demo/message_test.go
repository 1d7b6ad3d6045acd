package demo

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestParseCommand(t *testing.T) {
	f := func(in string, want command) {
		t.Helper()
		got, err := parseCommand([]byte(in))
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", in, got, err, want)
		}
	}

	f(`{"t":"go","x":0.5,"y":-1}`, command{Type: "go", X: .5, Y: -1})
	f(`{"t":"go"}`, command{Type: "go"})
	f(` {"t":"ping","n":7} `, command{Type: "ping", N: 7})
	f(`{"t":"ping","n":4294967295,"more":[]}`, command{Type: "ping", N: math.MaxUint32})
}

func TestParseCommandRefuses(t *testing.T) {
	f := func(in, why string) {
		t.Helper()
		got, err := parseCommand([]byte(in))
		if err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %+v, %v; want an error with %q", in, got, err, why)
		}
	}

	f(``, "not a message")
	f(`hello`, "not a message")
	f(`[]`, "not a message")
	f(`{"t":"go","x":"left"}`, "not a message")
	f(`{"t":"go","x":1e999}`, "not a message")
	f(`{"t":"ping","n":-1}`, "not a message")
	f(`{"t":"go","x":1}{}`, "not a message")
	f(`{"t":"go","x":1.01}`, "within -1 and 1")
	f(`{"t":"go","y":-2}`, "within -1 and 1")
	f(`{}`, "unknown type")
	f(`{"t":"hello"}`, "unknown type")
}

func FuzzParseCommand(f *testing.F) {
	for _, seed := range []string{`{"t":"go","x":0.5,"y":-1}`, `{"t":"ping","n":7}`, `{"t":"go","x":1e-9}`, `null`, `{"T":"go"}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := parseCommand(data)
		if err != nil {
			if len(err.Error()) > 123 { // RFC 6455 section 5.5: what fits a Close frame after its code
				t.Errorf("reason %q is too long for a Close frame", err)
			}
			return
		}
		if c.Type != "go" && c.Type != "ping" {
			t.Errorf("type %q went through", c.Type)
		}
		if c.Type == "go" && !(math.Abs(c.X) <= 1 && math.Abs(c.Y) <= 1) {
			t.Errorf("vector %v, %v went through", c.X, c.Y)
		}
	})
}

func TestParseRoom(t *testing.T) {
	f := func(in, want string, ok bool) {
		t.Helper()
		got, err := parseRoom(in)
		if got != want || (err == nil) != ok {
			t.Errorf("%q: %q, %v; want %q, ok %v", in, got, err, want, ok)
		}
	}

	f("", "reef", true)
	f("abyss-7", "abyss-7", true)
	f(strings.Repeat("a", maxRoomName), strings.Repeat("a", maxRoomName), true)
	f(strings.Repeat("a", maxRoomName+1), "", false)
	f("Reef", "", false)
	f("a b", "", false)
	f("a/b", "", false)
	f("ä", "", false)
}

func TestParseName(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		if got := parseName(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}

	f("Ada", "Ada")
	f("  Ada  L ", "Ada  L")
	f("", "someone")
	f(" \t\n", "someone")
	f("a\x00b\x1b[2Jc", "ab[2Jc")
	f("\xff\xfe", "someone")
	f("アリス🦦", "アリス🦦")
	f("abcdefghijklmno pqr", "abcdefghijklmno")
	f(strings.Repeat("é", 40), strings.Repeat("é", maxName))

	if got := parseName(strings.Repeat("\U0001F9A6", 99)); utf8.RuneCountInString(got) != maxName {
		t.Errorf("a name of %d characters, want %d", utf8.RuneCountInString(got), maxName)
	}
}

func TestTickMessageIsJSON(t *testing.T) {
	a, b := newPlayer(1, "a"), newPlayer(20, "b")
	a.X, a.Y = 12.34, 1500
	a.steer(-.5, .25)
	var got struct {
		T     string
		Moves [][5]float64
	}
	if err := json.Unmarshal(tickMessage([]*player{a, b}), &got); err != nil {
		t.Fatalf("%s: %v", tickMessage([]*player{a, b}), err)
	}
	want := [][5]float64{{1, 12.3, 1500, -.5, .25}, {20, 0, 0, 0, 0}}
	if got.T != "tick" || len(got.Moves) != 2 || got.Moves[0] != want[0] || got.Moves[1] != want[1] {
		t.Errorf("got %+v, want %v", got, want)
	}
}
