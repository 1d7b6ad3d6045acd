package terminal

import (
	"fmt"
	"testing"

	"github.com/holdfast-lb/holdfast/admin"
)

// What a target may not be is told with what it may.
func TestNoSuchTarget(t *testing.T) {
	many := pool("many")
	for i := range 30 {
		many.Backends = append(many.Backends, backend(fmt.Sprintf("m-%d", i), 0))
	}
	f := &fake{pools: [][]admin.Pool{{pool("arena", backend("a-1", 1), backend("a-2", 1)), pool("empty"), many}}}
	g := func(want, target string) {
		t.Helper()
		if _, _, err := f.run(t, "undrain", target); errText(err) != want {
			t.Errorf("%q: %q, want %q", target, errText(err), want)
		}
	}
	g(`there is no pool "x", those that exist: arena, empty, many`, "x/a-1")
	g(`"arena/" names no backend, write arena for the whole pool, or one of its backends behind the slash: a-1, a-2`, "arena/")
	g(`pool "arena" has no backend "a-3", those that exist: a-1, a-2`, "arena/a-3")
	g(`pool "empty" has no backend, its discovery has found none`, "empty")
	g("pool \"many\" has no backend \"m\", those that exist: m-0, m-1, m-2, m-3, m-4, m-5, m-6, m-7, m-8, m-9 and 20 more (see `holdfast status`)", "many/m")
}
