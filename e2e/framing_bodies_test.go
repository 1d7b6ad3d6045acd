package e2e

import "strings"

func chunkCases() framingGroup {
	g := framingGroup{title: "Chunks", why: "RFC 9112, section 7.1: a chunk that is malformed has no length that both sides agree on. " +
		"The backend's connection is cut without a last chunk. Extensions are dropped, and chunks written anew."}
	f := func(want, body string) {
		g.cases = append(g.cases, framingCase{"`" + shown(body) + "`", inChunks(body), want})
	}
	add := func(want, name, body string) { g.cases = append(g.cases, framingCase{name, inChunks(body), want}) }
	f(once, "5\r\nhello\r\n0\r\n\r\n")
	f(once, "05\r\nhello\r\n0\r\n\r\n")
	f(once, "000000005\r\nhello\r\n000\r\n\r\n")
	f(once, "A\r\nhellohello\r\n0\r\n\r\n")
	f(once, "5;a=b\r\nhello\r\n0;c\r\n\r\n")
	f(once, "5;a=\"b;c\"\r\nhello\r\n0\r\n\r\n")
	f(once, "5 \r\nhello\r\n0\r\n\r\n")
	f(is400, "5 ;a\r\nhello\r\n0\r\n\r\n")
	f(is400, " 5\r\nhello\r\n0\r\n\r\n")
	f(is400, "+5\r\nhello\r\n0\r\n\r\n")
	f(is400, "-5\r\nhello\r\n0\r\n\r\n")
	f(is400, "0x5\r\nhello\r\n0\r\n\r\n")
	f(is400, "5h\r\nhello\r\n0\r\n\r\n")
	f(is400, "g\r\nhello\r\n0\r\n\r\n")
	f(is400, "\r\nhello\r\n0\r\n\r\n")
	f(is400, ";a\r\nhello\r\n0\r\n\r\n")
	f(is400, "5\nhello\r\n0\r\n\r\n")
	f(is400, "5\rhello\r\n0\r\n\r\n")
	f(is400, "5\r\r\nhello\r\n0\r\n\r\n")
	f(is400, "5;a\nhello\r\n0\r\n\r\n")
	f(is400, "5;a\rb\r\nhello\r\n0\r\n\r\n")
	f(is400, "5\x00\r\nhello\r\n0\r\n\r\n")
	f(is400, "5_0\r\nhello\r\n0\r\n\r\n")
	f(is400, "5\r\nhello\n0\r\n\r\n")
	f(is400, "5\r\nhello0\r\n\r\n")
	f(is400, "5\r\nhelloo\r\n0\r\n\r\n")
	f(is400, "5\r\nhello\r\r\n0\r\n\r\n")
	f(is400, "10000000000000000\r\nhello\r\n0\r\n\r\n")
	f(is400, "10000000000000005\r\nhello\r\n0\r\n\r\n")
	f(is400, "ffffffffffffffff\r\nhello\r\n0\r\n\r\n")
	f(is400, "8000000000000000\r\nhello\r\n0\r\n\r\n")
	f(is400, "fffffffffffffffff\r\nhello\r\n0\r\n\r\n")
	add(is400, "a size of 100 zeros and 5", strings.Repeat("0", 100)+"5\r\nhello\r\n0\r\n\r\n")
	add(twice, "a second request behind the last", "5\r\nhello\r\n0\r\n\r\n"+second)
	add(twice, "a second request behind trailers", "0\r\nX-Sum: 1\r\n\r\n"+second)
	return g
}

func trailerCases() framingGroup {
	g := framingGroup{title: "Trailers", why: "RFC 9110, section 6.5.1: a trailer must not bring in what a header decides: framing, routing, who the client is. " +
		"Some servers put both in one table, so what would not pass in a header does not pass there."}
	f := func(want, trailer string) {
		g.cases = append(g.cases, framingCase{"`" + shown(trailer) + "`", inChunks("5\r\nhello\r\n0\r\n" + trailer + "\r\n\r\n"), want})
	}
	f(once, "X-Sum: 1")
	f(is400, "X-Forwarded_For: 1.1.1.1")
	f(once, "X-Request-Id: 1")
	f(once, "Transfer_Encoding: chunked")
	f(once, "Content_Length: 7")
	f(once, "X Sum: 1")
	f(is400, "Content-Length: 7")
	f(is400, "Transfer-Encoding: chunked")
	f(is400, "Host: b")
	f(is400, "Authorization: x")
	f(is400, "Cookie: a=b")
	f(is400, "X-Forwarded-For: 1.1.1.1")
	f(is400, "X-Sum: \x00")
	f(is400, "no colon")
	f(is400, ": empty")
	f(is400, "X-Sum: 1\rY: 2")
	return g
}

func fieldCases() framingGroup {
	g := framingGroup{title: "Fields", why: "RFC 9112, sections 2.2 and 5: a bare LF, a folded line and a blank before the colon are where parsers part; " +
		"a control character in a value is a line's end to some. 256 fields are more than any client sends."}
	f := func(want string, lines ...string) {
		g.cases = append(g.cases, framingCase{"`" + shown(strings.Join(lines, "\r\n")) + "`", asks(lines...), want})
	}
	add := func(want, name, sent string) { g.cases = append(g.cases, framingCase{name, sent, want}) }
	f(once, "X: y")
	f(once, "x:y")
	f(once, "X:")
	f(once, "X: \t y \t")
	f(once, "X: caf\xc3\xa9")
	f(once, "X: a\tb")
	f(once, "!#$%&'*+-.^_|~`1: y")
	f(is400, "X : y")
	f(is400, "X\t: y")
	f(is400, "X y: z")
	f(is400, ": y")
	f(is400, " : y")
	f(is400, "no colon")
	f(is400, "X(: y")
	f(is400, "X\x00: y")
	f(is400, "X\x7f: y")
	f(is400, "caf\xc3\xa9: y")
	f(is400, "X: a\x00b")
	f(is400, "X: a\x01b")
	f(is400, "X: a\x0bb")
	f(is400, "X: a\x1bb")
	f(is400, "X: a\x7fb")
	f(is400, "X: a\rb")
	f(is400, "X: a\r\rb")
	f(is400, "X: a\nY: b")
	f(is400, "X: a\n\r\nY: b")
	f(is400, "X: a\r\n b")
	f(is400, "X: a\r\n\tb")
	f(is400, "X: a\r\n \r\n b")
	f(is400, "X: a\n b")
	add(is400, "blank at the beginning of the first", "GET / HTTP/1.1\r\n Host: a\r\n\r\n")
	add(is400, "bare LF behind each, then CRLF", "GET / HTTP/1.1\nHost: a\nX: y\n\r\n\r\n")
	add(is400, "bare LF at the end of the header", "GET / HTTP/1.1\r\nHost: a\r\n\nX: y\r\n\r\n")
	add(is400, "bare LF at the end of the header, and a second request", "GET / HTTP/1.1\r\nHost: a\r\n\n"+smuggled)
	add(is400, "CR CR LF at the end of the header", "GET / HTTP/1.1\r\nHost: a\r\n\r\r\n"+smuggled)
	add(once, "250", asks(many(250)...))
	add(is431, "300", asks(many(300)...))
	add(is431, "one of 20 KiB", asks("X: "+strings.Repeat("x", 20<<10)))
	add(is431, "a name of 20 KiB", asks(strings.Repeat("x", 20<<10)+": y"))
	add(is431, "without end", "GET / HTTP/1.1\r\nHost: a\r\n"+strings.Repeat("X: y\r\n", 8<<10))
	return g
}

func many(n int) []string {
	lines := make([]string, n)
	for i := range lines {
		lines[i] = "X: y"
	}
	return lines
}
