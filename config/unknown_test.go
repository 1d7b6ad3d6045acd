package config

import (
	"slices"
	"testing"
)

func TestComparePaths(t *testing.T) {
	want := []string{"", "admin", "pools.a", "pools.a.b", "pools.a2", "pools.a10", "routes[0]", "routes[2].pool", "routes[10].pool", "shutdown"}
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortFunc(got, comparePaths)
	if !slices.Equal(got, want) {
		t.Errorf("sorted as\n%q, want\n%q", got, want)
	}
}
