package config

import "testing"

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
`, "listeners +c -a ~b; routes +z -y ~x; pools +new ~web(+three -one ~two); admin; log; shutdown")

	if got := Diff(&Config{}, mustParse(t, base)); got != "listeners +a +b; routes +x +y; pools +web; admin; log; tracing; shutdown" {
		t.Errorf("from nothing: %s", got)
	}
	if got := Diff(mustParse(t, base), &Config{}); got != "listeners -a -b; routes -x -y; pools -web; admin; log; tracing; shutdown" {
		t.Errorf("to nothing: %s", got)
	}
}
