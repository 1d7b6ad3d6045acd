package config

import (
	"reflect"
	"strings"
	"testing"
)

func TestParseTemplate(t *testing.T) {
	text := func(s string) TemplatePart { return TemplatePart{Text: s} }
	variable := func(s string) TemplatePart { return TemplatePart{Variable: s} }
	known := []string{"host", "path"}
	f := func(in string, want ...TemplatePart) {
		t.Helper()
		got, err := ParseTemplate(in, known)
		if err != nil || !reflect.DeepEqual([]TemplatePart(got), want) {
			t.Errorf("%q is %v, %v; want %v", in, got, err, want)
		}
	}
	f("")
	f("plain", text("plain"))
	f("$host", variable("host"))
	f("a$host$path.", text("a"), variable("host"), variable("path"), text("."))
	f("${host}name", variable("host"), text("name"))
	f("$$host$$", text("$host$"))

	bad := func(in, want string) {
		t.Helper()
		if _, err := ParseTemplate(in, known); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", in, err, want)
		}
	}
	bad("5 $", "has a $ without the name of a variable behind it, write $$ for a dollar sign")
	bad("$5", "has a $ without the name of a variable behind it, write $$ for a dollar sign")
	bad("${host", "has a $ without the name of a variable behind it, write $$ for a dollar sign")
	bad("$hots", "there is no variable $hots here, did you mean $host?")
	bad("$backend_name", "there is no variable $backend_name here, use one of $host, $path, or $$ for a dollar sign")
}

func TestValidateRouteKinds(t *testing.T) {
	f := func(route string, want ...string) {
		t.Helper()
		doc := complete("routes: [{" + route + "}]")
		checkLines(t, doc, errorText(doc, "yaml"), want...)
	}
	const to = "write a URL such as https://$host$path?$query, or a path such as /new"
	redirect := func(to, want string) {
		t.Helper()
		var lines []string
		if want != "" {
			lines = []string{"routes[0].redirect.to: " + want}
		}
		f("redirect: {to: '"+to+"'}", lines...)
	}

	f("redirect: {to: /}")
	f("respond: {}")
	f("pool: web, redirect: {to: /}", "routes[0].redirect: stands beside pool, keep one of pool, redirect and respond")
	f("redirect: {to: /}, respond: {}", "routes[0].respond: stands beside redirect, keep one of pool, redirect and respond")
	f("redirect: {status: 304, to: /}", "routes[0].redirect.status: 304 is not a redirection to another address, use one of 301, 302, 303, 307, 308")
	f("respond: {status: 101}", "routes[0].respond.status: 101 is out of range, write 200 to 599")
	f("respond: {status: 204, body: x}", "routes[0].respond.body: cannot be sent with status 204, leave it out or use another status")

	for _, good := range []string{
		"https://$host$path?$query", "https://$host:8443$path", "http://new.example$path", "/new", "/new$path",
		"https://new.example/?from=$host&$query",
	} {
		redirect(good, "")
	}
	redirect("", "is missing, "+to)
	redirect("$path", `"$path" is neither a URL nor a path, `+to)
	redirect("ftp://a/", `"ftp://a/" is neither a URL nor a path, `+to)
	redirect("https://", `"https://" has no host, `+to)
	redirect("https:///x", `"https:///x" has no host, `+to)
	redirect("https://$path", `"https://$path" has no host, `+to)
	redirect("/$path", `"/$path" can lead to a host that the client names, `+to)
	redirect("//a", `"//a" can lead to a host that the client names, `+to)
	redirect("https://a$query", `"https://a$query" has $query before any question mark, write ?$query`)
	redirect("/a b", `"/a b" has a space or a character beyond ASCII, percent-encode it`)
	redirect("/$client_ip", "there is no variable $client_ip here, use one of $host, $path, $query, or $$ for a dollar sign")

	f("pool: web, rewrite: {pattern: '^/a/(?P<rest>.*)(x)$', replacement: '/$2/${rest}/$$/${1}'}")
	f("pool: web, rewrite: {pattern: '('}",
		"routes[0].rewrite.pattern: \"(\" is not a regular expression in RE2 syntax: error parsing regexp: missing closing ): `(`, mend it or see https://golang.org/s/re2syntax")
	f("pool: web, rewrite: {pattern: 'a(b)', replacement: '/$1x'}",
		`routes[0].rewrite.replacement: "/$1x" refers to group "1x", which the pattern has not, write ${1} where letters or digits follow`)
	f("pool: web, rewrite: {pattern: a, replacement: '/$1'}",
		`routes[0].rewrite.replacement: "/$1" refers to group "1", which the pattern has not, write ${1} where letters or digits follow`)
	f("pool: web, rewrite: {pattern: a, replacement: '/$'}",
		`routes[0].rewrite.replacement: "/$" has a $ without a group behind it, write $$ for a dollar sign`)
	f("pool: web, rewrite: {pattern: a, replacement: '/a b'}",
		`routes[0].rewrite.replacement: "/a b" has a space, a fragment or a character beyond ASCII, percent-encode it`)

	doc := complete("listeners: [{name: web, address: ':80', redirect_https: 65536}]")
	checkLines(t, doc, errorText(doc, "yaml"), "listeners[0].redirect_https: 65536 is out of range, write 0 to 65535")
}

func TestValidateHeaders(t *testing.T) {
	f := func(rules string, want ...string) {
		t.Helper()
		doc := complete("routes: [{pool: web, headers: {" + rules + "}}]")
		for i := range want {
			want[i] = "routes[0].headers." + want[i]
		}
		checkLines(t, doc, errorText(doc, "yaml"), want...)
	}
	f("")
	f("request: {set: {Host: '$host', X-A: 'a\tb $client_ip$tls_version', X-Forwarded-For: $client_ip}, remove: [Forwarded, Sec-WebSocket-Extensions]}")
	f("response: {set: {Server: x}, add: {Set-Cookie: a=1, X-B: $backend}, remove: [X-Powered-By]}")

	f("request: {set: {X-A: ~}}")
	f("request: {set: {X-A: 5}}", `request.set.X-A: 5 is a number, write it as text: "5"`)
	f(`request: {set: {X-A: "a\r\nX-B: b"}}`, `request.set.X-A: "a\r\nX-B: b" has a line end or another control character, write one line`)
	f(`request: {set: {"X-A: b\r\nX-C": d}}`, `request.set."X-A: b\r\nX-C": "X-A: b\r\nX-C" is not the name of a header, write letters, digits and -_`)
	f("response: {remove: ['a b']}", `response.remove[0]: "a b" is not the name of a header, write letters, digits and -_`)
	f("request: {set: {X-A: ' '}}", `request.set.X-A: is empty, write a value, or the name under remove`)
	f("request: {set: {X-A: $clientip}}", `request.set.X-A: there is no variable $clientip here, did you mean $client_ip?`)
	f("request: {set: {X-A: 1a}, add: {x-a: 2b}, remove: [X-a]}",
		`request.add.x-a: "x-a" stands under set already, keep one`,
		`request.remove[0]: "X-a" stands under set already, keep one`)

	const ours = "is written by Holdfast for each connection, remove the rule"
	for _, name := range []string{"Connection", "content-length", "Content_Length", "Transfer-Encoding", "TE", "Trailer", "Upgrade", "Expect", "Keep-Alive", "Proxy-Connection", "Proxy-Authorization"} {
		for _, side := range []string{"request", "response"} {
			f(side+": {remove: ["+name+"]}", side+`.remove[0]: "`+name+`" `+ours)
		}
	}
	f("response: {remove: [Date]}", `response.remove[0]: "Date" `+ours)
	f("request: {remove: [Host]}", `request.remove[0]: "Host" is in every request exactly once, write it under set`)
	f("response: {set: {Host: a}}", `response.set.Host: "Host" is a field of requests, remove the rule`)
	f("request: {set: {Host: a-$backend}}", `request.set.Host: Host cannot depend on $backend, write preserve_host: false for the backend's own address`)
	f("request: {add: {X-Request-Id: a}}", `request.add.X-Request-Id: "X-Request-Id" is in a request once, write it under set`)
	f("request: {remove: [Sec-WebSocket-Key]}", `request.remove[0]: "Sec-WebSocket-Key" belongs to the handshake of client and backend, remove the rule`)
	f("response: {remove: [Sec-WebSocket-Protocol]}",
		`response.remove[0]: "Sec-WebSocket-Protocol" is agreed between client and backend, remove the rule, or take it out of requests`)
}

func TestWarningsOfRouteKinds(t *testing.T) {
	doc := complete("routes: [{pool: web}, {path: /a, redirect: {to: /}, strip_prefix: /a, retries: 1, headers: {request: {remove: [A]}}}, {path: /b, respond: {}, strip_prefix: /b}]")
	_, warnings, err := Parse([]byte(doc), "yaml", "t.yaml", Options{})
	if err != nil {
		t.Fatal(err)
	}
	lines := make([]string, len(warnings))
	for i, w := range warnings {
		lines[i] = w.String()
	}
	checkLines(t, doc, strings.Join(lines, "\n"),
		"routes[1].headers.request: has no effect beside redirect, remove it",
		"routes[1].retries: has no effect beside redirect, remove it",
		"routes[2].strip_prefix: has no effect beside respond, remove it")
}
