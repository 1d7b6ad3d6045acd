package config

import (
	"testing"
	"time"
)

func TestDecodeMistakes(t *testing.T) {
	f := func(doc string, want ...string) {
		t.Helper()
		doc = complete(doc)
		checkLines(t, doc, errorText(doc, "yaml"), want...)
	}

	// unknown keys
	f("lisener: 1", `lisener: unknown key, did you mean "listeners"?`)
	f("routes: [{pool: web}, {path: /a, pool: web, tiemouts: {connect: 1s}}]", `routes[1].tiemouts: unknown key, did you mean "timeouts"?`)
	f("admin: {colour: x}", `admin.colour: unknown key, the keys known here are address, token`)
	f("listeners: [{name: web, address: ':80', max_connections: 5}]",
		`listeners[0].max_connections: unknown key here, did you mean "limits.max_connections"?`)
	f("log.level: debug", `"log.level": unknown key, the keys known here are admin, listeners, log, pools, routes, shutdown, tracing, webhooks`)
	f("pools: {web: {backends: [{url: 'http://a', wieght: 2}]}}", `pools.web.backends[0].wieght: unknown key, did you mean "weight"?`)

	// other types
	f("admin: 5", `admin: the number 5 is not a mapping, write keys and values below it`)
	f("admin: [a]", `admin: a list is not a mapping, write keys and values below it`)
	f("log: {level: 3}", `log.level: 3 is a number, write it as text: "3"`)
	f("log: {level: true}", `log.level: the switch true is not text, put it between quotes`)
	f("log: {level: 2001-01-01}", `log.level: the date or time 2001-01-01 00:00:00 +0000 UTC is not text, put it between quotes`)
	f("pools: [web]", `pools: a list is not a mapping, write names and what belongs to them`)
	f("listeners: {name: web}", `listeners: a mapping is not a list, write [a, b] or lines that begin with a dash`)
	f("listeners: [~]", `listeners[0]: an empty value is not a mapping, write keys and values below it`)
	f("routes: [{pool: web, hosts: a.example}]", `routes[0].hosts: the text "a.example" is not a list, write [a, b] or lines that begin with a dash`)
	f("routes: [{pool: web, preserve_host: 'no'}]", `routes[0].preserve_host: the text "no" is not a switch, write true or false`)
	f("routes: [{pool: web, retries: '2'}]", `routes[0].retries: the text "2" is not a whole number, write digits without quotes`)
	f("routes: [{pool: web, retries: 1.5}]", `routes[0].retries: the number 1.5 is not a whole number, write digits without quotes`)
	f("routes: [{pool: web, retries: .inf}]", `routes[0].retries: the number +Inf is not a whole number, write digits without quotes`)
	f("routes: [{pool: web, retries: 18446744073709551615}]",
		`routes[0].retries: the number 18446744073709551615 is not a whole number, write digits without quotes`)

	// durations
	f("shutdown: {deadline: 2}", `shutdown.deadline: 2 has no unit, write 2s or 2ms`)
	f("shutdown: {deadline: '2.5'}", `shutdown.deadline: 2.5 has no unit, write 2.5s or 2.5ms`)
	f("shutdown: {deadline: 1d}", `shutdown.deadline: "1d" is not a duration, write a number and its unit, such as 500ms, 2s, 10m or 1h`)
	f("shutdown: {deadline: .nan}", `shutdown.deadline: "NaN" is not a duration, write a number and its unit, such as 500ms, 2s, 10m or 1h`)
	f("shutdown: {deadline: true}", `shutdown.deadline: the switch true is not a duration, write a number and its unit, such as 500ms, 2s, 10m or 1h`)

	// sizes
	f("listeners: [{name: web, address: ':80', limits: {max_header_bytes: 16KB}}]",
		`listeners[0].limits.max_header_bytes: "16KB" is not a size, write a whole number and B, KiB, MiB or GiB, such as 16KiB`)
	f("listeners: [{name: web, address: ':80', limits: {max_body_bytes: [1]}}]",
		`listeners[0].limits.max_body_bytes: a list is not a size, write a whole number and B, KiB, MiB or GiB, such as 16KiB`)

	// a secret of another type is not shown
	f("pools: {web: {sticky: {by: cookie, name: a, secret: 12345}, backends: [{url: 'http://a'}]}}",
		`pools.web.sticky.secret: is not text, put it between quotes`)

	// all at once, in the order of their paths, and nothing about what did not decode
	f(`
shutdown: {deadline: 2}
log: {level: loud}
listeners: 5
pools: {"game server": {backends: 1}}
routes:
- {pool: gone}
- {path: /1, pool: game server}
- {path: /2, pool: game server, x: 1, y: 2}
- {path: /3, pool: game server}
- {path: /4, pool: game server}
- {path: /5, pool: game server}
- {path: /6, pool: game server}
- {path: /7, pool: game server}
- {path: /8, pool: game server}
- {path: /9, pool: game server}
- {path: /10, polo: game server}`,
		`listeners: the number 5 is not a list, write [a, b] or lines that begin with a dash`,
		`log.level: "loud" is not known, use one of debug, info, warn, error`,
		`pools."game server": "game server" has a space or an unprintable character, use letters, digits and -._ instead`,
		`pools."game server".backends: the number 1 is not a list, write [a, b] or lines that begin with a dash`,
		`routes[0].pool: there is no pool "gone", add it or use one of game server`,
		`routes[2].x: unknown key, the keys known here are access, access_log, auth, forwarded, headers, hosts, name, origins, path, pool, preserve_host, redirect, respond, retries, rewrite, rewrite_redirects, strip_prefix, timeouts, websocket`,
		`routes[2].y: unknown key, the keys known here are access, access_log, auth, forwarded, headers, hosts, name, origins, path, pool, preserve_host, redirect, respond, retries, rewrite, rewrite_redirects, strip_prefix, timeouts, websocket`,
		`routes[10].polo: unknown key, did you mean "pool"?`,
		`routes[10].pool: is missing, write the name of a pool, or redirect or respond in its place`,
		`shutdown.deadline: 2 has no unit, write 2s or 2ms`,
	)
}

// What is absent is a default, what is there stays, be it zero.
func TestDecodeDefaults(t *testing.T) {
	c := mustParse(t, `
listeners:
  - {name: a, address: ":80"}
  - {name: b, address: ":81", limits: {max_header_bytes: 2048, max_connections: 0}, timeouts: {idle: 5s}}
routes:
  - {pool: web}
  - {pool: web, hosts: [A.Example], path: /x/, preserve_host: false, retries: 0, strip_prefix: /x/, timeouts: {idle: 0}}
  - {pool: web, path: ~, hosts: [b.example]}
pools:
  web:
    backends: [{url: "http://10.0.0.1"}, {url: "ws://b:81", weight: 3, name: b}]
    sticky: {by: source_ip, ttl: 1h}
    health: {type: http, fall: 1}
  plain: {backends: [{url: "http://c"}], sticky: ~}
`)
	check := func(what string, got, want any) {
		t.Helper()
		if got != want {
			t.Errorf("%s is %v, want %v", what, got, want)
		}
	}
	check("admin", c.Admin.Address, "127.0.0.1:9090")
	check("listener a's header timeout", c.Listeners[0].Timeouts.Header, 10*time.Second)
	check("listener b's header timeout", c.Listeners[1].Timeouts.Header, 10*time.Second)
	check("listener b's idle timeout", c.Listeners[1].Timeouts.Idle, 5*time.Second)
	check("listener a's header size", c.Listeners[0].Limits.MaxHeaderBytes, Bytes(16384))
	check("listener b's header size", c.Listeners[1].Limits.MaxHeaderBytes, Bytes(2048))
	check("route 0's name", c.Routes[0].Name, "/")
	check("route 0's retries", c.Routes[0].Retries, 2)
	check("route 0 keeps the host", c.Routes[0].PreserveHost, true)
	check("route 1's name", c.Routes[1].Name, "a.example/x/")
	check("route 1's host", c.Routes[1].Hosts[0], "a.example")
	check("route 1's strip_prefix", c.Routes[1].StripPrefix, "/x")
	check("route 1's retries", c.Routes[1].Retries, 0)
	check("route 1 keeps the host", c.Routes[1].PreserveHost, false)
	check("route 1's idle timeout", c.Routes[1].Timeouts.Idle, time.Duration(0))
	check("route 1's connect timeout", c.Routes[1].Timeouts.Connect, 2*time.Second)
	check("route 2's path", c.Routes[2].Path, "/")
	web := c.Pools["web"]
	check("balance", web.Balance, "least_conn")
	check("first backend", web.Backends[0], Backend{Name: "10.0.0.1:80", URL: "http://10.0.0.1", Weight: 1})
	check("second backend", web.Backends[1], Backend{Name: "b", URL: "ws://b:81", Weight: 3})
	check("sticky", *web.Sticky, Sticky{By: "source_ip", TTL: time.Hour, MaxEntries: 1000000})
	check("health", web.Health, Health{Type: "http", Path: "/health", Expect: "200-399",
		Interval: 2 * time.Second, Timeout: time.Second, Rise: 2, Fall: 1, Initial: "down"})
	check("plain's stickiness", c.Pools["plain"].Sticky, (*Sticky)(nil))
	check("plain's probes", c.Pools["plain"].Health.Type, "")
	check("summary", c.Summary(), "2 listeners, 3 routes, 2 pools, 3 backends")
}
