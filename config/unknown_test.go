package config

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestNearest(t *testing.T) {
	words := []string{"by", "path", "pool", "interval", "timeout", "max_connections"}
	f := func(word, want string) {
		t.Helper()
		if got, ok := nearest(word, words); got != want || ok != (want != "") {
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

func TestLevenshtein(t *testing.T) {
	f := func(a, b string, want int) {
		t.Helper()
		if got := levenshtein(a, b); got != want {
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
		if levenshtein(a, b) != levenshtein(b, a) {
			t.Fatal("is not symmetric")
		}
		if (levenshtein(a, b) == 0) != (a == b) {
			t.Fatal("is 0 for different words, or not 0 for equal ones")
		}
		if levenshtein(a, c) > levenshtein(a, b)+levenshtein(b, c) {
			t.Fatal("a detour is shorter")
		}
	})
}

func TestComparePaths(t *testing.T) {
	want := []string{"", "admin", "pools.a", "pools.a.b", "pools.a2", "pools.a10", "routes[0]", "routes[2].pool", "routes[10].pool", "shutdown"}
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortFunc(got, comparePaths)
	if !slices.Equal(got, want) {
		t.Errorf("sorted as\n%q, want\n%q", got, want)
	}
}
