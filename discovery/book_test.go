package discovery

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-lb/holdfast/config"
)

// at is a backend at each of these addresses.
func at(addresses ...string) (list []config.Backend) {
	for _, a := range addresses {
		list = append(list, config.Backend{Name: a, URL: "http://" + a, Weight: 1})
	}
	return list
}

func TestBook(t *testing.T) {
	b := &book{}
	r := rules{most: 3}
	f := func(what string, list []config.Backend, err error, want news, wantList ...string) {
		t.Helper()
		if got := b.take(answer{backends: list}, err, r); got != want {
			t.Errorf("%s: %+v, want %+v", what, got, want)
		}
		var names []string
		for _, one := range b.backends {
			names = append(names, one.Name)
		}
		if !slices.Equal(names, wantList) {
			t.Errorf("%s: %q, want %q", what, names, wantList)
		}
		if bad := err != nil || r.judge(list) != nil; bad != (b.why != "") {
			t.Errorf("%s: why is %q", what, b.why)
		}
	}
	down := troubled("timeout", "no answer")
	f("trouble before the first answer", nil, down, news{trouble: true})
	f("the first answer", at("b:1", "a:1"), nil, news{list: true, over: true}, "a:1", "b:1")
	f("the same in another order", at("a:1", "b:1"), nil, news{}, "a:1", "b:1")
	f("another", at("a:1", "c:1"), nil, news{list: true}, "a:1", "c:1")
	f("trouble", nil, down, news{trouble: true}, "a:1", "c:1")
	f("the same trouble", nil, troubled("timeout", "no answer at all"), news{}, "a:1", "c:1")
	f("nothing", nil, nil, news{trouble: true}, "a:1", "c:1")
	f("the first trouble again", nil, down, news{}, "a:1", "c:1")
	f("too many", at("a:1", "b:1", "c:1", "d:1"), nil, news{trouble: true}, "a:1", "c:1")
	f("it answers as before", at("a:1", "c:1"), nil, news{over: true}, "a:1", "c:1")
	f("trouble in another spell", nil, down, news{trouble: true}, "a:1", "c:1")
	r.allowEmpty = true
	f("nothing, which is allowed", nil, nil, news{list: true, over: true})
	f("the same", nil, nil, news{})

	// A source that invents troubles is told of up to a bound.
	told := 0
	for i := range 100 {
		if b.take(answer{}, troubled(fmt.Sprint("status ", i), "x"), r).trouble {
			told++
		}
	}
	if told != maxSpell {
		t.Errorf("%d troubles are told, want %d", told, maxSpell)
	}
}

func TestTroubleOf(t *testing.T) {
	f := func(err error, wantKind, wantDetail string) {
		t.Helper()
		if got := troubleOf(err); got.kind != wantKind || got.detail != wantDetail {
			t.Errorf("%v: %q, %q, want %q, %q", err, got.kind, got.detail, wantKind, wantDetail)
		}
	}
	f(fmt.Errorf("read: %w", troubled("empty", "none")), "empty", "none")
	f(errors.New("a\nb\x00 \x1b[31mc"), "failed", "a b? ?[31mc")
	f(fmt.Errorf("%w: more than 5", config.ErrTooMany), "too many", "there are too many: more than 5 backends: raise max_backends if that is meant")
	f(config.Errors{{File: "x", Path: "[0].url", Msg: "is missing"}, {File: "x", Msg: "y"}}, "nonsense", "x: [0].url: is missing (and 1 more)")
	if got := troubleOf(errors.New(strings.Repeat("ä", 500))); len(got.detail) > maxDetail+3 || !strings.HasSuffix(got.detail, "ä...") {
		t.Errorf("%d bytes: %q", len(got.detail), got.detail)
	}
}
