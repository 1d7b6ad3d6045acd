package spelling

import (
	"testing"

	"pgregory.net/rapid"
)

func TestDistance(t *testing.T) {
	f := func(a, b string, want int) {
		t.Helper()
		if got := Distance(a, b); got != want {
			t.Errorf("%q and %q are %d apart, want %d", a, b, got, want)
		}
	}
	f("", "", 0)
	f("", "abc", 3)
	f("abc", "abc", 0)
	f("kitten", "sitting", 3)
	f("flaw", "lawn", 2)

	word := rapid.StringMatching(`[ab]{0,8}`)
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := word.Draw(t, "a"), word.Draw(t, "b"), word.Draw(t, "c")
		if Distance(a, b) != Distance(b, a) {
			t.Fatal("is not symmetric")
		}
		if (Distance(a, b) == 0) != (a == b) {
			t.Fatal("is 0 for different words, or not 0 for equal ones")
		}
		if Distance(a, c) > Distance(a, b)+Distance(b, c) {
			t.Fatal("a detour is shorter")
		}
	})
}

func TestNearest(t *testing.T) {
	words := []string{"by", "path", "pool", "interval", "timeout", "max_connections"}
	f := func(word, want string) {
		t.Helper()
		if got, ok := Nearest(word, words); got != want || ok != (want != "") {
			t.Errorf("%q is taken for %q, want %q", word, got, want)
		}
	}
	f("tiemout", "timeout")
	f("timeouts", "timeout")
	f("intervall", "interval")
	f("polo", "pool")
	f("max_conn", "")
	f("maxconnections", "max_connections")
	f("max_connection_s", "max_connections")
	f("x", "")
	f("xy", "by")
	f("", "")
	f("balance", "")
}

func TestCount(t *testing.T) {
	for n, want := range map[int]string{0: "0 sockets", 1: "1 socket", 2: "2 sockets"} {
		if got := Count(n, "socket"); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}
