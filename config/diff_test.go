package config

import (
	"fmt"
	"strings"
	"testing"
)

func TestDiff(t *testing.T) {
	const base = `
listeners: [{name: a, address: ":80"}, {name: b, address: ":81"}]
routes: [{name: x, pool: web}, {name: y, path: /y, pool: web}]
pools:
  web: {balance: first, sticky: {by: cookie, name: c, secret: 0123456789abcdef}, backends: [{name: one, url: "http://a"}, {name: two, url: "http://b"}]}
`
	f := func(doc, want string) {
		t.Helper()
		old, new := mustParse(t, base), mustParse(t, doc)
		if got := Diff(old, new); got != want {
			t.Errorf("%s\n got %s\nwant %s", doc, got, want)
		}
	}
	f(base, "")
	f(`
listeners: [{name: b, address: ":81"}, {name: a, address: ":80"}]
routes: [{name: y, path: /y, pool: web}, {name: x, pool: web}]
pools:
  web: {balance: first, sticky: {by: cookie, name: c, secret: 0123456789abcdef}, backends: [{name: two, url: "http://b"}, {name: one, url: "http://a"}]}
`, "pools ~web")
	f(`
admin: {address: ""}
log: {level: debug}
shutdown: {deadline: 1s}
listeners: [{name: c, address: ":82"}, {name: b, address: ":81", limits: {max_connections: 5}}]
routes: [{name: x, pool: web, retries: 0}, {name: z, path: /z, pool: web}]
pools:
  web: {balance: first, sticky: {by: cookie, name: c, secret: 0123456789abcdeX}, backends: [{name: two, url: "http://b", weight: 2}, {name: three, url: "http://c"}]}
  new: {backends: [{url: "http://a"}]}
`, "listeners +c -a ~b(limits.max_connections); routes +z -y ~x(retries); pools +new ~web(sticky.secret +three -one ~two(weight)); "+
		"admin(address); log(level); shutdown(deadline)")

	if got := Diff(&Config{}, mustParse(t, base)); got != "listeners +a +b; routes +x +y; pools +web; admin(address); log(level format file access access_format); tracing(protocol sample service_name); shutdown(deadline)" {
		t.Errorf("from nothing: %s", got)
	}
	if got := Diff(mustParse(t, base), &Config{}); got != "listeners -a -b; routes -x -y; pools -web; admin(address); log(level format file access access_format); tracing(protocol sample service_name); shutdown(deadline)" {
		t.Errorf("to nothing: %s", got)
	}
}

// A key that came, went or was given is named as it is written; a map or list is
// one key; and whatever changed, the line has an end.
func TestDiffKeys(t *testing.T) {
	f := func(old, new, want string) {
		t.Helper()
		const doc = "routes: [{name: x, pool: web, %s}]\npools: {web: {%s, backends: [{url: 'http://a'}]}}"
		if got := Diff(mustParse(t, fmt.Sprintf(doc, "retries: 1", old)), mustParse(t, fmt.Sprintf(doc, "retries: 1", new))); got != want {
			t.Errorf("%s, then %s: %s, want %s", old, new, got, want)
		}
	}
	f("balance: first", "balance: random", "pools ~web(balance)")
	f("balance: first", "balance: first, sticky: {by: source_ip}", "pools ~web(sticky)")
	f("sticky: {by: source_ip}", "sticky: {by: source_ip, ttl: 1m}", "pools ~web(sticky.ttl)")
	f("balance: first", "discovery: {file: {path: a.yaml}}", "pools ~web(balance discovery)")
	f("health: {type: tcp}", "health: {type: http, interval: 1s, timeout: 1s, rise: 5, fall: 6, path: /x, expect: '200', initial: up}",
		"pools ~web(health.type health.path health.expect health.interval health.rise health.fall and 1 more)")

	old, new := mustParse(t, "routes: [{pool: web}]\npools: {web: {backends: [{url: 'http://a'}]}}"), &Config{Pools: map[string]Pool{}}
	for i := range 1000 {
		name := fmt.Sprintf("pool-%d", i)
		backends := old.Pools["web"].Backends
		for j := range 20 {
			backends = append(backends, Backend{Name: fmt.Sprintf("backend-%d-%d", i, j)})
		}
		old.Pools[name], new.Pools[name] = Pool{Backends: backends}, Pool{}
		if i%2 == 0 {
			new.Pools[name+"x"] = Pool{}
		}
	}
	got := Diff(old, new)
	if len(got) > 2000 || !strings.Contains(got, " +pool-108x +pool-10x +pool-110x and 492 more -web ~pool-0(-a:80 -backend-0-0 ") ||
		!strings.Contains(got, " and 13 more) ~pool-1(") || !strings.Contains(got, " and 992 more; admin(address); ") {
		t.Errorf("of a thousand pools: %d bytes, %s", len(got), got)
	}
}
