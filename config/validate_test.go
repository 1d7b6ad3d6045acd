package config

import (
	"strings"
	"testing"
)

func TestValidateListeners(t *testing.T) {
	f := func(doc string, want ...string) {
		t.Helper()
		doc = complete(doc)
		checkLines(t, doc, errorText(doc, "yaml"), want...)
	}
	one := func(keys string) string { return "listeners: [{name: web, address: ':80', " + keys + "}]" }
	two := func(a, b string) string {
		return "listeners: [{name: a, address: '" + a + "'}, {name: b, address: '" + b + "'}]"
	}

	f("listeners: []", `listeners: there are none, write at least one, such as {name: web, address: ":8080"}`)
	f("listeners: [{address: ':80'}]", `listeners[0].name: is missing, write a name that no other one has`)
	f("listeners: [{name: web}]", `listeners[0].address: is missing, write host:port such as :8080, or unix:/path`)
	f("listeners: [{name: "+strings.Repeat("n", 129)+", address: ':80'}]", `listeners[0].name: has 129 bytes, use 128 at most`)
	f("listeners: [{name: a, address: ':80'}, {name: a, address: ':81'}]",
		`listeners[1].name: name "a" is taken by listeners[0], give each its own`)

	f(two(":80", "0.0.0.0:80"), `listeners[1].address: "0.0.0.0:80" overlaps ":80" of listeners[0], give each a port or an IP address of its own`)
	f(two("127.0.0.1:80", "localhost:80"), `listeners[1].address: "localhost:80" overlaps "127.0.0.1:80" of listeners[0], give each a port or an IP address of its own`)
	f(two("unix:/run/a", "unix:/run/./a"), `listeners[1].address: "unix:/run/./a" overlaps "unix:/run/a" of listeners[0], give each a port or an IP address of its own`)
	f(two("10.0.0.1:80", "10.0.0.2:80"), nil...)
	f(two("0.0.0.0:80", "[::1]:80"), nil...)
	f(two("127.0.0.1:0", "127.0.0.1:0"), nil...)

	f("admin: {address: '127.0.0.1:8080'}", `admin.address: "127.0.0.1:8080" overlaps ":8080" of listeners[0], give each a port or an IP address of its own`)
	f("admin: {address: ':9090'}", `admin.address: ":9090" can be reached from other machines: set admin.token, or use a loopback address such as 127.0.0.1:9090`)
	f("admin: {address: ':9090', token: 0123456789abcdef}", nil...)
	f("admin: {token: short}", `admin.token: has 5 bytes, use 16 or more, such as the output of: openssl rand -hex 32`)
	f("admin: {token: 'sixteen bytes or more'}", `admin.token: has a space or a character that a header cannot carry, use letters, digits and -._~+/=`)
	f("admin: {address: 'unix:/run/admin'}", `admin.address: "unix:/run/admin" is a Unix socket, write host:port such as 127.0.0.1:9090`)
	f("admin: {address: '9090'}", `admin.address: "9090" is not host:port, write it as :8080, 127.0.0.1:8080, [::1]:8080 or unix:/path`)
	f("admin: {address: '[::1]:9090'}", nil...)
	f("admin: {address: ''}", nil...)

	f(one("trusted_proxies: [10.0.0.0/8, 10.0.0.1, fd00::/8, 10.0.0.0/33]"),
		`listeners[0].trusted_proxies[3]: "10.0.0.0/33" is not a block of addresses, write it as 10.0.0.0/8, fd00::/8 or 10.0.0.1`)
	f(one("defer_accept: 500ms"), `listeners[0].defer_accept: 500ms is out of range, write 1s to 1m0s, or 0s to accept at once`)
	f(one("defer_accept: 2m"), `listeners[0].defer_accept: 2m0s is out of range, write 1s to 1m0s, or 0s to accept at once`)
	f(one("defer_accept: -1s"), `listeners[0].defer_accept: -1s is out of range, write 1s to 1m0s, or 0s to accept at once`)
	f("listeners: [{name: web, address: 'unix:/run/a', defer_accept: 3s}]",
		`listeners[0].defer_accept: a Unix socket has nothing of the kind, leave it away`)
	f(one("proxy_protocol: [10.0.0.0/8, '::1', 10.0.0.1/8, unix]"),
		`listeners[0].proxy_protocol[2]: "10.0.0.1/8" has bits beyond its length, write 10.0.0.0/8 for the block or 10.0.0.1 for the address`,
		`listeners[0].proxy_protocol[3]: "unix" stands for the clients of a Unix socket, write networks such as 10.0.0.0/8`)
	f("listeners: [{name: web, address: 'unix:/run/a', proxy_protocol: [unix, 10.0.0.0/8]}]",
		`listeners[0].proxy_protocol[1]: "10.0.0.0/8" is no client of a Unix socket, write [unix]`)
	f(one("limits: {max_connections: -1, max_connections_per_ip: -2, handshakes_per_second_per_ip: -3, max_header_bytes: 0, max_body_bytes: -1}"),
		`listeners[0].limits.handshakes_per_second_per_ip: -3 is negative, write 0 or more`,
		`listeners[0].limits.max_body_bytes: -1 is negative, write 0 for no limit, or a size such as 1MiB`,
		`listeners[0].limits.max_connections: -1 is negative, write 0 or more`,
		`listeners[0].limits.max_connections_per_ip: -2 is negative, write 0 or more`,
		`listeners[0].limits.max_header_bytes: 0 is out of range, write 1KiB to 16MiB`)
	f(one("limits: {max_header_bytes: 17MiB}"), `listeners[0].limits.max_header_bytes: 17MiB is out of range, write 1KiB to 16MiB`)
	f(one("timeouts: {header: 0s, body: 0, idle: -1s}"),
		`listeners[0].timeouts.body: 0s is not a time to wait, write more than 0, such as 10s`,
		`listeners[0].timeouts.header: 0s is not a time to wait, write more than 0, such as 10s`,
		`listeners[0].timeouts.idle: -1s is not a time to wait, write more than 0, such as 10s`)
	f("shutdown: {deadline: 0s}", `shutdown.deadline: 0s is not a time to wait, write more than 0, such as 10s`)

	f("log: {level: loud, format: xml, access_format: apache}",
		`log.access_format: "apache" is not known, use one of json, combined`,
		`log.format: "xml" is not known, use one of json, text`,
		`log.level: "loud" is not known, use one of debug, info, warn, error`)
	f(one("access_log: {file: web.log, format: xml}"), `listeners[0].access_log.format: "xml" is not known, use one of json, combined`)
	f("log: {access: all.log}\nlisteners: [{name: web, address: ':80', access_log: {file: ./all.log, format: combined}}]",
		`listeners[0].access_log.format: is combined where log.access writes json to the same file, write the same format or another file`)
	f("log: {access: all.log}\nlisteners: [{name: web, address: ':80', access_log: {file: all.log}}]", nil...)
	f(one("limits: {max_requests_per_connection: -1}"), `listeners[0].limits.max_requests_per_connection: -1 is negative, write 0 or more`)
	f("log: {file: '', access: ''}",
		`log.access: is empty, write off, stdout, stderr or a path`,
		`log.file: is empty, write stderr, stdout or a path`)
	f("log: {file: off}", `log.file: cannot be off, write stderr, stdout or a path, and raise log.level to see less`)
}

func TestValidateRoutes(t *testing.T) {
	f := func(doc string, want ...string) {
		t.Helper()
		doc = complete(doc)
		checkLines(t, doc, errorText(doc, "yaml"), want...)
	}
	one := func(keys string) string { return "routes: [{pool: web, " + keys + "}]" }

	f("routes: []", `routes: there are none, write at least one, such as {path: /, pool: NAME}`)
	f("routes: [{path: /}]", `routes[0].pool: is missing, write the name of a pool, or redirect or respond in its place`)
	f("routes: [{pool: wbe}]\npools: {web: {backends: [{url: 'http://a'}]}}", `routes[0].pool: there is no pool "wbe", did you mean "web"?`)
	f("routes: [{pool: arena}]", `routes[0].pool: there is no pool "arena", add it or use one of web`)
	f("pools: {web: ~}", `pools.web.backends: there are none, write at least one, such as {url: "http://127.0.0.1:9000"}`)
	f("pools: {}", `routes[0].pool: there is no pool "web", add it under pools`)
	f("routes: [{name: a, pool: web}, {name: a, path: /b, pool: web}]", `routes[1].name: name "a" is taken by routes[0], give each its own`)
	f("routes: [{name: /x, pool: web}, {path: /x, pool: web}]", `routes[1].name: name "/x" is taken by routes[0], give each its own`)
	f("routes: [{name: a b, pool: web}]", `routes[0].name: "a b" has a space or an unprintable character, use letters, digits and -._ instead`)

	f("routes: [{name: a, path: /x, pool: web}, {name: b, path: /x, pool: web}]",
		`routes[1].path: any host with path "/x" belongs to routes[0] already, change the path or list hosts`)
	f("routes: [{path: /x, pool: web}, {path: /x, pool: web}]",
		`routes[1].path: any host with path "/x" belongs to routes[0] already, change the path or list hosts`)
	f("routes: [{name: a, hosts: [a.example, b.example], pool: web}, {name: b, hosts: [B.example], pool: web}]",
		`routes[1].hosts[0]: host "b.example" with path "/" belongs to routes[0] already, change one of them`)
	f("routes: [{name: a, hosts: [a.example], pool: web}, {name: b, hosts: [a.example], path: /b, pool: web}, {name: c, pool: web}]", nil...)

	f(one("hosts: [a.example, A.Example]"), `routes[0].hosts[1]: "a.example" is listed twice, keep one`)
	f(one("hosts: ['*', '']"),
		`routes[0].hosts[0]: "*" is no host, leave hosts out to take any`,
		`routes[0].hosts[1]: "" is no host, leave hosts out to take any`)
	f(one("hosts: ['https://a.example', a.example/x]"),
		`routes[0].hosts[0]: "https://a.example" is a URL or a path, write the host name alone and the path under path`,
		`routes[0].hosts[1]: "a.example/x" is a URL or a path, write the host name alone and the path under path`)
	f(one("hosts: ['a.example:80', '::1']"),
		`routes[0].hosts[0]: "a.example:80" has a port or is an IPv6 address, leave the port out, put IPv6 in brackets`,
		`routes[0].hosts[1]: "::1" has a port or is an IPv6 address, leave the port out, put IPv6 in brackets`)
	f(one("hosts: ['[::1', '[1.2.3.4]', '[::1]']"),
		`routes[0].hosts[0]: "[::1" is not an IPv6 address in brackets, write it as [2001:db8::1]`,
		`routes[0].hosts[1]: "[1.2.3.4]" is not an IPv6 address in brackets, write it as [2001:db8::1]`)
	f(one("hosts: [a.*.example, '*.*.example']"),
		`routes[0].hosts[0]: "a.*.example" has a star in another place than the first label, write it as *.example.com`,
		`routes[0].hosts[1]: "*.*.example" has a star in another place than the first label, write it as *.example.com`)
	f(one("hosts: [a..example, bücher.example, '*.']"),
		`routes[0].hosts[0]: "a..example" is not a host name, write it as game.example.com, *.example.com or, beyond ASCII, in punycode`,
		`routes[0].hosts[1]: "bücher.example" is not a host name, write it as game.example.com, *.example.com or, beyond ASCII, in punycode`,
		`routes[0].hosts[2]: "*." is not a host name, write it as game.example.com, *.example.com or, beyond ASCII, in punycode`)
	f(one("hosts: [10.0.0.1, '*.example', my_host]"), nil...)

	f(one("path: ws"), `routes[0].path: "ws" does not start with a slash, write "/ws"`)
	f(one("name: a, path: ''"), `routes[0].path: "" does not start with a slash, write "/"`)
	f(one("path: '/a?b', name: a"), `routes[0].path: "/a?b" has a space, a query or a fragment, write the path alone, percent-encoded`)
	f(one("path: /ws/, strip_prefix: /w"), `routes[0].strip_prefix: "/w" is not the beginning of path "/ws/", write whole segments of it`)
	f(one("path: /ws/, strip_prefix: ws"), `routes[0].strip_prefix: "ws" is not the beginning of path "/ws/", write whole segments of it`)
	f(one("path: /ws/, strip_prefix: /ws/"), nil...)
	f(one("path: /ws/a, strip_prefix: /ws"), nil...)
	f(one("path: /ws, strip_prefix: /ws"), nil...)
	f(one("strip_prefix: /"), nil...)

	f(one("timeouts: {connect: 0s, response: 0s, body: 0s, idle: -1s}"),
		`routes[0].timeouts.body: 0s is not a time to wait, write more than 0, such as 10s`,
		`routes[0].timeouts.connect: 0s is not a time to wait, write more than 0, such as 10s`,
		`routes[0].timeouts.idle: -1s is negative, write 0 for no limit, or a time such as 10m`,
		`routes[0].timeouts.response: 0s is not a time to wait, write more than 0, such as 10s`)
	f(one("retries: -1"), `routes[0].retries: -1 is out of range, write 0 to 7`)
	f(one("retries: 8"), `routes[0].retries: 8 is out of range, write 0 to 7`)
	f(one("retries: 0"), nil...)

	f(one("websocket: {ping_interval: 10ms, max_message_bytes: -1, max_frame_bytes: -1, over_limit: queue}"),
		`routes[0].websocket.max_frame_bytes: -1 is negative, write 0 for no limit`,
		`routes[0].websocket.max_message_bytes: -1 is negative, write 0 for no limit`,
		`routes[0].websocket.over_limit: "queue" is not known, use one of close, throttle`,
		`routes[0].websocket.ping_interval: 10ms is below 100ms, write 0 for no Pings, or a time such as 30s`)
	f(one("websocket: {ping_backend: true, messages_burst: 5, bytes_per_second: 5GiB}"),
		`routes[0].websocket.bytes_per_second: 5368709120 is above 4294967296, write 0 for no limit`,
		`routes[0].websocket.messages_burst: it does nothing without messages_per_second, write that too`,
		`routes[0].websocket.ping_backend: it does nothing without ping_interval, write that too, such as 30s`)
	f(one("websocket: {ping_interval: 30s, messages_per_second: 5, messages_burst: 5}"), nil...)
}

func TestValidatePools(t *testing.T) {
	f := func(keys string, want ...string) {
		t.Helper()
		if !strings.Contains(keys, "backends:") {
			keys += ", backends: [{url: 'http://a'}]"
		}
		doc := complete("pools: {web: {" + keys + "}}")
		for i := range want {
			want[i] = "pools.web." + want[i]
		}
		checkLines(t, doc, errorText(doc, "yaml"), want...)
	}

	f("balance: lest_conn", `balance: "lest_conn" is not known, use one of least_conn, p2c, round_robin, random, hash, first`)
	f("when_all_down: panic", `when_all_down: "panic" is not known, use one of fail, try`)
	f("balance: hash", `hash_key: is missing, balance hash needs one of source_ip, path, header:NAME, query:NAME or cookie:NAME`)
	for _, bad := range []string{"ip", "header", "header:", "'header:a b'", "query:", "path:x", "source_ip:"} {
		f("balance: hash, hash_key: "+bad,
			`hash_key: "`+strings.Trim(bad, "'")+`" is not known, write source_ip, path, header:NAME, query:NAME or cookie:NAME`)
	}
	for _, good := range []string{"source_ip", "path", "header:X-Room", "query:room", "cookie:id"} {
		f("balance: hash, hash_key: '"+good+"'", nil...)
	}

	f("sticky: {}", `sticky.by: "" is not known, use one of cookie, query, header, source_ip, token`)
	f("sticky: {by: cookie}", `sticky.name: "" cannot name a cookie, write letters, digits and -_`)
	f("sticky: {by: header, name: 'a:b'}", `sticky.name: "a:b" cannot name a header, write letters, digits and -_`)
	f("sticky: {by: token}", `sticky.name: "" cannot name a token, which answers bear in a header of that name, write another such as X-Seat`)
	f("sticky: {by: token, name: Upgrade}", `sticky.name: "Upgrade" cannot name a token, which answers bear in a header of that name, write another such as X-Seat`)
	f("sticky: {by: token, name: X-Seat, secret: tooshort}", `sticky.secret: has 8 bytes, write 16 at least, or none for a random one`)
	f("sticky: {by: query}", `sticky.name: is missing, write the name of the query parameter`)
	f("sticky: {by: source_ip, ttl: 0, max_entries: 0}",
		`sticky.max_entries: 0 is out of range, write 1 to 100000000`,
		`sticky.ttl: 0s is not a time to wait, write more than 0, such as 10s`)
	f("sticky: {by: source_ip, max_entries: 1000000000000}", `sticky.max_entries: 1000000000000 is out of range, write 1 to 100000000`)
	f("sticky: {by: cookie, name: a, secret: tooshort}", `sticky.secret: has 8 bytes, write 16 at least, or none for a random one`)

	f("backends: []", `backends: there are none, write at least one, such as {url: "http://127.0.0.1:9000"}`)
	f("backends: [{}]", `backends[0].url: is missing, write it as http://host:port`)
	f("backends: [{url: 'http://a', name: x}, {url: 'http://b', name: x}]", `backends[1].name: name "x" is taken by pools.web.backends[0], give each its own`)
	f("backends: [{url: 'http://a'}, {url: 'ws://A:80/'}]", `backends[1].url: address "a:80" is taken by pools.web.backends[0], give each its own`)
	f("backends: [{url: 'http://a', weight: 0}]", `backends[0].weight: 0 gives it nothing to do, write 1 to 1000 or remove the backend`)
	f("backends: [{url: 'http://a', weight: 1001}]", `backends[0].weight: 1001 is out of range, write 1 to 1000`)
	f("backends: [{url: 'http://a', max_connections: -1}]", `backends[0].max_connections: -1 is negative, write 0 or more`)

	f("health: {interval: 2}", // the unit, and the type that is not there either
		`health.interval: 2 has no unit, write 2s or 2ms`,
		`health.type: is missing, so nothing would be probed, use one of http, tcp, websocket`)
	f("health: {type: ping}", `health.type: "ping" is not known, use one of http, tcp, websocket`)
	f("health: {type: ''}", nil...)
	f("health: {type: http, path: health, expect: '2xx'}",
		`health.expect: "2xx" is not a status or a range of them, write it as 200-399 or 200,204`,
		`health.path: "health" does not start with a slash, write "/health"`)
	f("health: {type: http, expect: 200}", `health.expect: 200 is a number, write it as text: "200"`)
	f("health: {type: tcp, interval: 1s, timeout: 2s}", `health.timeout: 2s is longer than the interval of 1s, write 1s or less`)
	f("health: {type: tcp, interval: 0, timeout: 0}",
		`health.interval: 0s is not a time to wait, write more than 0, such as 10s`,
		`health.timeout: 0s is not a time to wait, write more than 0, such as 10s`)
	f("health: {type: tcp, rise: 0, fall: 0}",
		`health.fall: 0 would never take a backend down, write 1 or more`,
		`health.rise: 0 would never bring a backend up, write 1 or more`)
	f("health: {type: tcp, initial: maybe}", `health.initial: "maybe" is not known, use one of down, up`)
	f("send_proxy: v3", `send_proxy: "v3" is not known, use one of v1, v2`)
	f("warm: 1001", `warm: 1001 is out of range, write 0 for none, up to 1000`)
	f("warm: 8, send_proxy: v1", nil...)
	f("warm: 8, send_proxy: v1, backends: [{url: 'http://a'}, {url: 'wss://b'}]",
		`warm: cannot be had with send_proxy and the https backend 1: whose the connection is goes before TLS, remove one of them`)
	f("backend_tls: {cert: a.crt, server_name: 'a b'}",
		`backend_tls.key: is missing, write the path of the key that belongs to cert`,
		`backend_tls.server_name: "a b" is not a host name, write a name that stands in the backends' certificate, or leave it out for the host of each URL`)
	f("backend_tls: {key: a.key, server_name: 10.0.0.1.}",
		`backend_tls.cert: is missing, write the path of the certificate that key belongs to`,
		`backend_tls.server_name: "10.0.0.1." is not a host name, write a name that stands in the backends' certificate, or leave it out for the host of each URL`)
	f("discovery: {}", `discovery: holds 0 sources, write one of dns, file and http`)
	f("discovery: {file: {path: a.yaml}, http: {url: 'http://127.0.0.1/a'}}", `discovery: holds 2 sources, write one of dns, file and http`)
	f("discovery: {file: {path: a.toml}}", `discovery.file.path: the ending of "a.toml" names no format, rename the file to end in .yaml, .yml or .json`)
	f("discovery: {file: {path: a.json}, max_backends: 0}", `discovery.max_backends: 0 is out of range, write 1 to 10000`)
	f("discovery: {dns: {name: 'a b', type: mx, scheme: ws, min_ttl: 1ms, timeout: 0, max_connections: -1}}",
		`discovery.dns.max_connections: -1 is negative, write 0 or more`,
		`discovery.dns.min_ttl: 1ms is too short, write 100ms or more`,
		`discovery.dns.name: "a b" is not a name in the DNS, write it as arena.default.svc.cluster.local`,
		`discovery.dns.scheme: "ws" is not known, use one of http, https`,
		`discovery.dns.timeout: 0s is not a time to wait, write more than 0, such as 10s`,
		`discovery.dns.type: "mx" is not known, use one of a, srv`)
	for _, bad := range []string{"10.0.0.2", ":53", "10.0.0.2:0", "unix:/x"} {
		f("discovery: {dns: {name: _a._tcp.b., type: srv, server: '"+bad+"'}}", `discovery.dns.server: "`+bad+`" is not host:port, write it as 10.0.0.2:53`)
	}
	f("discovery: {dns: {name: a}}", `discovery.dns.port: 0 is out of range, write 1 to 65535`)
	f("discovery: {http: {url: 'ftp://a', interval: 0, timeout: 0}}",
		`discovery.http.interval: 0s is too short, write 100ms or more`,
		`discovery.http.timeout: 0s is not a time to wait, write more than 0, such as 10s`,
		`discovery.http.url: is no URL of a server, write http:// or https:// and its host, such as https://ops.example.com/path`)
	f("discovery: {dns: {name: a, port: 1}}, backends: []", nil...)
	f("health: {type: http, retries: -1}", `health.retries: -1 is out of range, write 0 to 7`)
}

func TestWarnings(t *testing.T) {
	f := func(doc string, want ...string) {
		t.Helper()
		doc = complete(doc)
		_, warnings, err := Parse([]byte(doc), "yaml", "t.yaml", Options{})
		if err != nil {
			t.Errorf("%s\nis refused: %v", doc, err)
		}
		lines := make([]string, len(warnings))
		for i, w := range warnings {
			lines[i] = w.String()
		}
		checkLines(t, doc, strings.Join(lines, "\n"), want...)
	}
	pool := func(keys string) string { return "pools: {web: {" + keys + ", backends: [{url: 'http://a'}]}}" }

	f("")
	f("pools: {web: {backends: [{url: 'http://a'}]}, old: {backends: [{url: 'http://a'}]}}",
		`pools.old: no route uses this pool, remove it or name it in a route`)
	f(pool("hash_key: path"), `pools.web.hash_key: has no effect with balance least_conn, remove it or write balance: hash`)
	f(pool("sticky: {by: source_ip, name: x}"), `pools.web.sticky.name: has no effect with by: source_ip, remove it`)
	f(pool("sticky: {by: query, name: x, secret: y}"), `pools.web.sticky.secret: has no effect with by: query, remove it`)
	f(pool("sticky: {by: cookie, name: x, max_entries: 5}"),
		`pools.web.sticky.max_entries: has no effect with by: cookie, which needs no table, remove it`)
	f(pool("sticky: {by: token, name: x, max_entries: 5}"),
		`pools.web.sticky.max_entries: has no effect with by: token, which needs no table, remove it`)
	f(pool("health: {type: tcp, path: /x, expect: '200', retries: 1}"),
		`pools.web.health.expect: has no effect with type: tcp, remove it`,
		`pools.web.health.path: has no effect with type: tcp, remove it`,
		`pools.web.health.retries: has no effect with type: tcp, remove it`)
	f(pool("health: {type: tcp, load_reports: true}"), `pools.web.health.load_reports: has no effect with type: tcp, remove it`)
	f(pool("discovery: {dns: {name: a, type: srv, port: 1}}"), `pools.web.discovery.dns.port: has no effect with type: srv, whose records have ports, remove it`)
	f(pool("discovery: {http: {url: 'http://a.example/x'}}"), `pools.web.discovery.http.url: has no TLS: whoever is on the way decides where players go, write https://a.example:443`)
	f(pool("discovery: {dns: {name: a, port: 1}}, backend_tls: {ca: x}"), `pools.web.backend_tls: has no effect: no backend of this pool is https or wss, write https://host:port or remove it`)
	f(pool("discovery: {dns: {name: a, port: 1, scheme: https}}, backend_tls: {ca: x}"))
	f(pool("health: {type: websocket, path: /ws, retries: 1}"),
		`pools.web.health.retries: has no effect with type: websocket, remove it`)
	f(pool("health: {type: http, path: /x, expect: '200', retries: 1}"))
	f(pool("backend_tls: {ca: x}"), `pools.web.backend_tls: has no effect: no backend of this pool is https or wss, write https://host:port or remove it`)
	secure := func(keys string) string {
		return "pools: {web: {backend_tls: {" + keys + "}, backends: [{url: 'http://a'}, {url: 'wss://b'}]}}"
	}
	f(secure("ca: x, server_name: c, cert: y, key: z"))
	f(secure("ca: x, insecure_skip_verify: true"),
		`pools.web.backend_tls.ca: has no effect with insecure_skip_verify: true, remove one of them`,
		`pools.web.backend_tls.insecure_skip_verify: is true: whoever is on the way to the backends can read and change everything, write ca: with the certificate of the authority that signed theirs`)
}
