package e2e

import "strings"

func hostCases() framingGroup {
	g := framingGroup{title: "Host", why: "RFC 9112, section 3.2: none, more than one or an invalid one is answered with 400; section 3.2.2: an absolute target overrules it, and the backend gets that."}
	f := func(want, host string) {
		g.cases = append(g.cases, framingCase{"`" + shown(host) + "`", "GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n", want})
	}
	add := func(want, name, sent string) { g.cases = append(g.cases, framingCase{name, sent, want}) }
	f(once, "a")
	f(once, "A.Example:8080")
	f(once, "a.")
	f(once, "1.2.3.4")
	f(once, "[::1]:80")
	f(is400, "")
	f(is400, "a b")
	f(is400, "a, b")
	f(is400, "a,b")
	f(is400, "a/b")
	f(is400, "a?b")
	f(is400, "a#b")
	f(is400, "u@a")
	f(is400, "a:b")
	f(is400, "a:80:80")
	f(is400, "a:65536")
	f(once, "a.")
	f(is400, "a..")
	f(is400, "..")
	f(is400, ".a")
	f(is400, "a..b")
	f(is400, ":80")
	f(is400, "[::1")
	f(is400, "::1")
	f(is400, "a\\b")
	f(is400, "a%00")
	f(is400, "caf\xc3\xa9")
	f(is400, "a\x00")
	add(is400, "none", "GET / HTTP/1.1\r\n\r\n")
	add(is400, "two, equal", asks("Host: a"))
	add(is400, "two, different", asks("Host: b"))
	add(is400, "two, in different case", asks("hOST: b"))
	add(is400, "folded", "GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n")
	add(is400, "blank before the colon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n")
	add(once, "none in HTTP/1.0", "GET / HTTP/1.0\r\n\r\n")
	add(once, "absolute target", "GET http://b/ HTTP/1.1\r\nHost: b\r\n\r\n")
	add(once, "absolute target of another host", "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n")
	add(once, "absolute target without a path", "GET http://b HTTP/1.1\r\nHost: b\r\n\r\n")
	add(is400, "absolute target without Host", "GET http://b/ HTTP/1.1\r\n\r\n")
	add(is400, "absolute target with user", "GET http://u@b/ HTTP/1.1\r\nHost: b\r\n\r\n")
	add(is400, "absolute target with user and password", "GET http://a:80@b/ HTTP/1.1\r\nHost: b\r\n\r\n")
	add(is400, "absolute target without host", "GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n")
	add(is400, "absolute target, bad Host", "GET http://b/ HTTP/1.1\r\nHost: a/b\r\n\r\n")
	add(is400, "absolute target of ftp", "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n")
	add(is400, "absolute target of file", "GET file:///etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n")
	return g
}

func targetCases() framingGroup {
	g := framingGroup{title: "Target", why: "RFC 9112, section 3.2, and RFC 3986. Paths are forwarded byte by byte, unless they lead to one route (here `/`) as they are written " +
		"and to another (here `/admin`) as a backend may decode and clean them: what guards the one would not guard the other. " +
		"A segment `..` is refused whatever it leads to, in every disguise: clients resolve it before they send (RFC 3986, section 5.2.4), " +
		"and what it takes away depends on what else a backend decodes."}
	f := func(want, target string) {
		g.cases = append(g.cases, framingCase{"`" + shown(target) + "`", headed("GET " + target + " HTTP/1.1"), want})
	}
	f(once, "/")
	f(once, "/a?b=c")
	f(once, "/a%2Fb/%2e/x/...")
	f(once, "//a///b")
	f(once, "/a?../admin")
	f(once, "/a|b^c{d}")
	f(once, "/100%")
	f(once, "/?a=%00")
	f(is400, "/..")
	f(is400, "/../../x")
	f(is400, "/a%2Fb/%2e%2e/x/../y")
	f(is400, "/admin/../admin")
	f(is400, "/admin%2Fx/../../y")
	f(is400, "/%61dmin/..;/y")
	f(is400, "/%61dmin/..%5cy")
	f(is400, "/%61dmin/%5c..%5c..%5cy")
	f(is400, "/%61dmin/secret;%2f..%2f..%2fy")
	f(is400, "/x/../admin/..;/y")
	f(is400, "/x/../admin/index.php/..;/..;/y")
	f(is400, "/x/../admin")
	f(is400, "/x/%2e%2e/admin")
	f(is400, "/x/.%2E/admin")
	f(is400, "/x%2F..%2Fadmin")
	f(is400, "/x%2f%2e%2e%2fadmin")
	f(is400, "/x\\..\\admin")
	f(is400, "/x%5c..%5cadmin")
	f(is400, "/x/..;/admin")
	f(is400, "/./admin")
	f(is400, "//admin")
	f(is400, "/%61dmin")
	f(is400, "/%2561dmin")
	f(is400, "//cdn/admin")
	f(is400, "/\\cdn/admin")
	f(is400, "/;%2fx/admin")
	f(is400, "/;\\x/admin")
	f(is400, "/admin%3fx")
	f(is400, "/admin%0a")
	f(is400, "/admin;x=1")
	f(is400, "/admin/../x")
	f(is400, "/a%00")
	f(is400, "/a#b")
	f(is400, "/a\x00b")
	f(is400, "/a\x01b")
	f(is400, "/a\tb")
	f(is400, "/a\rb")
	f(is400, "/a\nb")
	f(is400, "/a\x7fb")
	f(is400, "/caf\xc3\xa9")
	f(is400, "/a\xa0b")
	f(is400, "/a b")
	f(is400, "")
	f(is400, "a")
	f(is400, "?a")
	f(is400, "*")
	f(is400, "a:80")
	g.cases = append(g.cases,
		framingCase{"`*` with OPTIONS", headed("OPTIONS * HTTP/1.1"), once},
		framingCase{"absolute, without a path, with OPTIONS", "OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n", once},
		framingCase{"of 20 KiB", headed("GET /" + strings.Repeat("a", 20<<10) + " HTTP/1.1"), is431})
	return g
}

func methodCases() framingGroup {
	g := framingGroup{title: "Method", why: "RFC 9110, section 9.1: methods are case-sensitive, but not to every server, and the length of an answer depends on them. " +
		"This is no forward proxy, so CONNECT has no meaning, and TRACE shows a page what the browser hides from it."}
	f := func(want, method string) {
		g.cases = append(g.cases, framingCase{"`" + shown(method) + "`", headed(method + " / HTTP/1.1"), want})
	}
	for _, m := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "M-SEARCH", "X"} {
		f(once, m)
	}
	f(is501, "CONNECT")
	f(is501, "TRACE")
	f(is400, "get")
	f(is400, "Get")
	f(is400, "head")
	f(is400, "Connect")
	f(is400, "trace")
	f(is400, "")
	f(is400, "G(T")
	f(is400, "GE\x00T")
	f(is400, "G\xc3\x89T")
	f(is400, " GET")
	f(is400, "\tGET")
	f(is400, "GET:")
	g.cases = append(g.cases,
		framingCase{"CONNECT with an authority", "CONNECT b:80 HTTP/1.1\r\nHost: b:80\r\n\r\n" + smuggled, is501},
		framingCase{"TRACE, and a second request", headed("TRACE / HTTP/1.1") + smuggled, is501},
		framingCase{"HEAD, and a second request", headed("HEAD / HTTP/1.1") + second, twice})
	return g
}

func versionCases() framingGroup {
	g := framingGroup{title: "Version and request line", why: "RFC 9112, section 2.3: one blank each, and HTTP/1.1 or 1.0. Those of another major version get 505, what is no HTTP gets 400. " +
		"Empty lines before a request, and a bare LF behind its first line, are allowed by section 2.2, and are gone in what is forwarded."}
	add := func(want, name, sent string) { g.cases = append(g.cases, framingCase{name, sent, want}) }
	f := func(want, line string) { add(want, "`"+shown(line)+"`", headed(line)) }
	f(once, "GET / HTTP/1.1")
	f(once, "GET / HTTP/1.0")
	f(is505, "GET / HTTP/1.2")
	f(is505, "GET / HTTP/1.9")
	f(is505, "GET / HTTP/0.9")
	f(is505, "GET / HTTP/2.0")
	f(is505, "GET / HTTP/9.9")
	f(is400, "GET / HTTP/2")
	f(is400, "GET / HTTP/1")
	f(is400, "GET / HTTP/1.")
	f(is400, "GET / HTTP/1.10")
	f(is400, "GET / HTTP/01.1")
	f(is400, "GET / http/1.1")
	f(is400, "GET / HTTP/1,1")
	f(is400, "GET / HTTP 1.1")
	f(is400, "GET / HTTPS/1.1")
	f(is400, "GET / ICY/1.1")
	f(is400, "GET / HTTP/1.1 ")
	f(is400, "GET / HTTP/1.1\t")
	f(is400, "GET / HTTP/1.1 x")
	f(is400, "GET / x HTTP/1.1")
	f(is400, "GET  / HTTP/1.1")
	f(is400, "GET /  HTTP/1.1")
	f(is400, "GET\t/\tHTTP/1.1")
	f(is400, "GET / HTTP/1.1\r")
	f(is400, "GET /\x0bHTTP/1.1")
	f(is400, "GET /")
	f(is400, "GET / ")
	f(is400, "GET")
	f(is400, "/")
	add(is400, "HTTP/0.9", "GET /\r\n\r\n")
	add(is400, "HTTP/0.9 with a bare LF", "GET /\n\r\n\r\n")
	add(is400, "HTTP/2 with prior knowledge", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	add(is400, "a TLS handshake", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n")
	add(is400, "a PROXY header", "PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\n"+asks())
	add(is400, "SSH", "SSH-2.0-OpenSSH_9.2\r\n\r\n")
	add(once, "an empty line before it", "\r\n"+asks())
	add(once, "two empty lines before it", "\r\n\r\n"+asks())
	add(once, "an empty line of a bare LF before it", "\n"+asks())
	add(is400, "a line of blanks before it", " \r\n"+asks())
	add(once, "bare LF behind it", "GET / HTTP/1.1\nHost: a\r\n\r\n")
	add(twice, "HTTP/1.0 with keep-alive, and a second request", headed("GET / HTTP/1.0", "Connection: keep-alive")+second)
	add(once, "HTTP/1.0 without, and a second request", headed("GET / HTTP/1.0")+second)
	return g
}

func connectionCases() framingGroup {
	g := framingGroup{title: "Connection, Upgrade and Expect", why: "RFC 9110, section 7.6.1: Connection names fields of the hop, not those that requests depend on. " +
		"Section 7.8: an upgrade that is not offered is not taken up; an answer of 400 would shut out clients that only ask for h2c."}
	add := func(want, name, sent string) { g.cases = append(g.cases, framingCase{name, sent, want}) }
	f := func(want string, lines ...string) {
		add(want, "`"+shown(strings.Join(lines, "\r\n"))+"`", asks(lines...))
	}
	f(once, "Connection: X-Sum", "X-Sum: hop")
	f(once, "Connection: Host")
	f(once, "Connection: Cookie, Authorization", "Cookie: a=b", "Authorization: x")
	f(once, "Connection: X-Forwarded-For, X-Request-Id")
	f(once, "Connection: close, close, ,,close")
	f(once, "Connection: Content-Length, Transfer-Encoding")
	f(is400, "Connection: "+strings.Repeat("a,", 40))
	f(once, "Keep-Alive: X-Sum")
	f(once, "Proxy-Connection: X-Sum")
	f(once, "Proxy: http://evil.example")
	f(once, "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__")
	f(once, "Connection: Upgrade", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__")
	f(once, "Connection: Upgrade", "Upgrade: TLS/1.0")
	f(once, "Upgrade: h2c")
	add(once, "body named by Connection", posts("Connection: Content-Length", "Content-Length: 5")+"hello")
	add(once, "Expect", posts("Expect: 100-continue", "Content-Length: 5")+"hello")
	add(once, "another Expect", posts("Expect: 200-maybe", "Content-Length: 5")+"hello")
	add(once, "close, and a second request", asks("Connection: close")+smuggled)
	add("refused 400, goes on", "Upgrade to websocket without a key", asks("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"))
	add("refused 426, goes on", "Upgrade to websocket of a version that is none", asks("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 777", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="))
	add(is400, "Upgrade to websocket with a body", posts("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Transfer-Encoding: chunked")+"0\r\n\r\n")
	return g
}

func pipelineCases() framingGroup {
	g := framingGroup{title: "Behind an error", why: "RFC 9112, section 9.6: what follows a request in doubt may be part of it, so nothing behind it is read."}
	f := func(want, name, sent string) { g.cases = append(g.cases, framingCase{name, sent + smuggled, want}) }
	f(is400, "malformed field", asks("no colon"))
	f(is400, "bad name", asks("X y: z"))
	f(is400, "bad host", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n")
	f(is400, "bad length", posts("Content-Length: x"))
	f(is400, "bad coding", posts("Transfer-Encoding: x"))
	f(is400, "bad method", headed("get / HTTP/1.1"))
	f(is400, "bad path", headed("GET /%61dmin HTTP/1.1"))
	f(is400, "bad chunk", inChunks("x\r\n"))
	f(is501, "CONNECT", headed("CONNECT / HTTP/1.1"))
	f(is505, "another version", headed("GET / HTTP/2.0", "Connection: keep-alive"))
	f(is400, "too many options", asks("Connection: keep-alive"+strings.Repeat(",a", 40)))
	f(is431, "too many fields", asks(many(300)...))
	g.cases = append(g.cases,
		framingCase{"a good one before it", asks() + "GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n" + smuggled, once + ", answered 200, 400"},
		framingCase{"half a header", "GET / HTTP/1.1\r\nHost: a\r\n", is400},
		framingCase{"half a body", posts("Content-Length: 50") + "hello", is400})
	return g
}
