package config

import (
	"slices"
	"testing"
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

func TestComparePaths(t *testing.T) {
	want := []string{"", "admin", "pools.a", "pools.a.b", "pools.a2", "pools.a10", "routes[0]", "routes[2].pool", "routes[10].pool", "shutdown"}
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortFunc(got, comparePaths)
	if !slices.Equal(got, want) {
		t.Errorf("sorted as\n%q, want\n%q", got, want)
	}
}
