package balancer

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/config"
)

func TestCompileReportsEveryMistake(t *testing.T) {
	f := func(pools map[string]config.Pool, want ...string) {
		t.Helper()
		r := NewRegistry()
		ps, err := r.Compile(pools)
		if err == nil || ps != nil {
			t.Fatalf("compiled, want %q", want)
		}
		if got, want := err.Error(), "compile pools: "+strings.Join(want, "\n"); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	}
	one := func(change func(c *config.Pool)) map[string]config.Pool {
		c := config.Pool{Backends: backendsOf(1, 1)}
		change(&c)
		return map[string]config.Pool{"p": c}
	}
	f(one(func(c *config.Pool) { c.Balance = "fastest" }),
		`pools.p.balance: "fastest" is not known, use one of least_conn, p2c, round_robin, random, hash, first`)
	f(one(func(c *config.Pool) { c.Backends = nil }),
		`pools.p.backends: there are none, write at least one`)
	f(one(func(c *config.Pool) { c.Backends[1].URL = "10.0.0.1" }),
		`pools.p.backends[1].url: "10.0.0.1" is not a backend's, write it as http://host:port`)
	f(one(func(c *config.Pool) { c.Backends[1].URL = c.Backends[0].URL }),
		`pools.p.backends[1].url: 10.0.0.0:9000 is b0 already, remove one of them`)
	f(one(func(c *config.Pool) { c.Backends[0].Weight = -1 }),
		`pools.p.backends[0].weight: -1 is out of range, write 1 to 1048576`)
	f(one(func(c *config.Pool) { c.Backends[0].MaxConnections = -1 }),
		`pools.p.backends[0].max_connections: -1 is negative, write 0 for no limit`)
	f(one(func(c *config.Pool) { c.Sticky = &config.Sticky{By: "mood"} }),
		`pools.p.sticky.by: "mood" is not known, use one of cookie, query, header, source_ip, token`)
	f(one(func(c *config.Pool) { c.Sticky = &config.Sticky{By: "query", MaxEntries: 1} }),
		`pools.p.sticky.ttl: 0s is too short, write 1ms or more`)
	f(one(func(c *config.Pool) { c.Sticky = &config.Sticky{By: "query", TTL: time.Hour} }),
		`pools.p.sticky.max_entries: 0 is out of range, write 1 to 100000000`)
	f(one(func(c *config.Pool) {
		c.Sticky = &config.Sticky{By: "query", TTL: time.Hour, MaxEntries: maxEntries + 1}
	}),
		`pools.p.sticky.max_entries: 100000001 is out of range, write 1 to 100000000`)
	f(map[string]config.Pool{"b": {}, "a": {Balance: "x"}, "c": {Backends: backendsOf(1)}},
		`pools.a.balance: "x" is not known, use one of least_conn, p2c, round_robin, random, hash, first`,
		`pools.b.backends: there are none, write at least one`)
}

func TestCompileKeepsTheConfiguration(t *testing.T) {
	r := NewRegistry()
	ps, err := r.Compile(map[string]config.Pool{
		"b": {Backends: []config.Backend{{Name: "one", URL: "ws://10.0.0.1:9000", Weight: 3, MaxConnections: 7}, {URL: "http://game"}}},
		"a": {Backends: backendsOf(1)},
	})
	if err != nil {
		t.Fatal(err)
	}
	if all := ps.All(); len(all) != 2 || all[0] != ps.Pool("a") || all[1] != ps.Pool("b") || all[1].Name() != "b" {
		t.Error("the pools are not a and b")
	}
	if ps.Pool("c") != nil {
		t.Error("there is a pool that nobody configured")
	}
	f := func(b *Backend, name, address string, weight, limit int) {
		t.Helper()
		if b.Name() != name || b.Scheme() != "http" || b.Address() != address || b.Weight() != weight || b.MaxConnections() != limit {
			t.Errorf("got %s, %s://%s, weight %d, limit %d", b.Name(), b.Scheme(), b.Address(), b.Weight(), b.MaxConnections())
		}
		if want := (Key{Pool: "b", Scheme: "http", Address: address}); b.Key() != want || b.State().Key() != want {
			t.Errorf("keys %+v and %+v, want %+v", b.Key(), b.State().Key(), want)
		}
	}
	f(ps.Pool("b").Backends()[0], "one", "10.0.0.1:9000", 3, 7)
	f(ps.Pool("b").Backends()[1], "game:80", "game:80", 1, 0)
}

// What is prepared and dropped, or cannot be prepared, was never there.
func TestCompileLeavesNoTrace(t *testing.T) {
	c := probed(config.Pool{Sticky: byQuery(), Backends: backendsOf(1, 1)})
	r, p := compiled(t, c)
	setHealth(t, r, p, 0, false)
	r.SetMode(p.Backends()[1].Key(), Drain)
	before, known, table := r.Snapshot(), len(r.known), r.tables["p"]
	f := func(what string, pools map[string]config.Pool, wantErr bool) {
		t.Helper()
		if _, err := r.Compile(pools); (err != nil) != wantErr {
			t.Fatalf("%s: error %v", what, err)
		}
		if got := r.Snapshot(); !reflect.DeepEqual(got, before) {
			t.Errorf("%s: snapshot %+v, want %+v", what, got, before)
		}
		if len(r.known) != known || r.tables["p"] != table || len(r.tables) != 1 {
			t.Errorf("%s: the registry has grown", what)
		}
	}
	larger := byQuery()
	larger.MaxEntries *= 2
	f("same", map[string]config.Pool{"p": c}, false)
	f("empty", nil, false)
	f("more", map[string]config.Pool{
		"p":   {Sticky: larger, Backends: backendsOf(1, 1, 1)},
		"new": {Sticky: byQuery(), Backends: backendsOf(5)},
	}, false)
	f("unprobed", map[string]config.Pool{"p": {Backends: backendsOf(1, 1)}}, false)
	f("broken", map[string]config.Pool{
		"p":   {Sticky: larger, Backends: backendsOf(1, 1, 1)},
		"new": {Balance: "x"},
	}, true)
}
