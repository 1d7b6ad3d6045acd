package e2e

import (
	"fmt"
	"strings"
)

const (
	// bad is an answer that no client may ever get.
	bad = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled"
	// fine is a whole answer.
	fine = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
)

// answerCases are the cases of backends.
func answerCases() []answerGroup {
	return []answerGroup{statusCases(), answerFieldCases(), answerFramingCases(), brokenCases(), leftoverCases(), interimCases()}
}

// withFields is an answer of "ok" with these further lines.
func withFields(lines ...string) string {
	return "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + strings.Join(lines, "\r\n") + "\r\n\r\nok"
}

func statusCases() answerGroup {
	g := answerGroup{title: "Status line", why: "RFC 9112, section 4: what is no status line is no answer, and the client gets 502. The line that it gets is written anew."}
	f := func(want, line string) {
		g.cases = append(g.cases, answerCase{name: "`" + shown(line) + "`", pieces: []string{line + "\r\nContent-Length: 2\r\n\r\nok"}, end: ends, want: want})
	}
	f(whole, "HTTP/1.1 200 OK")
	f(whole, "HTTP/1.1 200 ")
	f(whole, "HTTP/1.1 200")
	f(whole, "HTTP/1.0 200 OK")
	f("299, whole", "HTTP/1.1 299 Very Fine")
	f("999, whole", "HTTP/1.1 999 x")
	f(whole, "HTTP/1.1 200 caf\xc3\xa9")
	f(is502, "HTTP/1.1 20")
	f(is502, "HTTP/1.1 2000")
	f(is502, "HTTP/1.1 099 x")
	f(is502, "HTTP/1.1 000 x")
	f(is502, "HTTP/1.1 -200 x")
	f(is502, "HTTP/1.1 2x0 OK")
	f(is502, "HTTP/1.1  200 OK")
	f(is502, "HTTP/1.1\t200 OK")
	f(is502, "HTTP/1.1")
	f(is502, "HTTP/2.0 200 OK")
	f(is502, "HTTP/2 200")
	f(is502, "HTTP/0.9 200 OK")
	f(is502, "http/1.1 200 OK")
	f(is502, "ICY 200 OK")
	f(is502, "SSH-2.0-OpenSSH_9.2")
	f(is502, "200 OK")
	f(is502, "")
	f(is502, " HTTP/1.1 200 OK")
	f(is502, "HTTP/1.1 200 O\rK")
	f(is502, "HTTP/1.1 200 O\x00K")
	f(is502, "HTTP/1.1 200 OK\rX: y")
	f(is502, "HTTP/1.1 200 O\x7fK")
	g.cases = append(g.cases,
		answerCase{name: "an empty line before it", pieces: []string{"\r\n" + fine}, end: ends, want: is502},
		answerCase{name: "bare LF behind it", pieces: []string{"HTTP/1.1 200 OK\nContent-Length: 2\r\n\r\nok"}, end: ends, want: is502},
		answerCase{name: "nothing", pieces: nil, end: ends, want: is502},
		answerCase{name: "silence", pieces: nil, end: stays, want: "504, whole"},
		answerCase{name: "HTTP/0.9", pieces: []string{"<html>hello</html>"}, end: ends, want: is502})
	return g
}

func answerFieldCases() answerGroup {
	g := answerGroup{title: "Fields of an answer", why: "As for requests: what one client reads as the end of a header, or as another field, must not reach any. " +
		"Header and number of fields are bounded."}
	f := func(want string, lines ...string) {
		g.cases = append(g.cases, answerCase{name: "`" + shown(strings.Join(lines, "\r\n")) + "`", pieces: []string{withFields(lines...)}, want: want})
	}
	f(whole, "X: y")
	f(whole, "X:")
	f(whole, "X: caf\xc3\xa9")
	f(is502, "X : y")
	f(is502, "X y: z")
	f(is502, ": y")
	f(is502, "no colon")
	f(is502, "X\x00: y")
	f(is502, "X: a\x00b")
	f(is502, "X: a\x0bb")
	f(is502, "X: a\x7fb")
	f(is502, "X: a\rb")
	f(is502, "X: a\rSet-Cookie: b=c")
	f(is502, "X: a\nSet-Cookie: b=c")
	f(is502, "X: a\r\n b")
	f(is502, "X: a\n b")
	f(whole, "Connection: X-Hop, Set-Cookie", "X-Hop: 1", "Set-Cookie: a=b")
	f(whole, "Keep-Alive: timeout=5", "Proxy-Connection: x", "Upgrade: h2c", "Proxy-Authenticate: x")
	add := func(want, name string, lines ...string) {
		g.cases = append(g.cases, answerCase{name: name, pieces: []string{withFields(lines...)}, want: want})
	}
	add(whole, "250", many(248)...)
	add(is502, "300", many(300)...)
	add(is502, "1,300 of the hop, each spelt otherwise", spellings()...)
	add(is502, "one of 20 KiB", "X: "+strings.Repeat("x", 20<<10))
	g.cases = append(g.cases,
		answerCase{name: "blank at the beginning of the first", pieces: []string{"HTTP/1.1 200 OK\r\n X: y\r\nContent-Length: 2\r\n\r\nok"}, want: is502},
		answerCase{name: "bare LF at the end of the header", pieces: []string{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\nok\r\n\r\n"}, want: is502},
		answerCase{name: "without end", pieces: []string{"HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", 64<<10)}, want: is502})
	return g
}

// spellings are Connection fields, no two of which are spelt alike.
func spellings() []string {
	var lines []string
	for i := range 1 << 10 {
		name := []byte("connection")
		for bit := range name {
			if i>>bit&1 == 1 {
				name[bit] -= 'a' - 'A'
			}
		}
		lines = append(lines, string(name)+":")
	}
	return lines
}

func answerFramingCases() answerGroup {
	g := answerGroup{title: "Length of an answer", why: "RFC 9112, section 6.3. A backend that says two things about a length is not believed in either."}
	f := func(want, name, answer string, end ending) {
		g.cases = append(g.cases, answerCase{name: name, pieces: []string{answer}, end: end, want: want})
	}
	line := func(fields ...string) string {
		return "HTTP/1.1 200 OK\r\n" + strings.Join(fields, "\r\n") + "\r\n\r\n"
	}
	const chunks = "2\r\nok\r\n0\r\n\r\n"
	f(whole, "length", fine, stays)
	f(whole, "chunks", line("Transfer-Encoding: chunked")+chunks, stays)
	f(whole, "up to the end", line("X: y")+"ok", ends)
	f(is502, "both", line("Transfer-Encoding: chunked", "Content-Length: 2")+chunks, stays)
	f(is502, "both, the length first", line("Content-Length: 17", "Transfer-Encoding: chunked")+chunks, stays)
	f(is502, "chunks in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"+chunks, ends)
	f(is502, "both in HTTP/1.0, kept alive", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n"+chunks, stays)
	f(is502, "two lengths, equal", line("Content-Length: 2", "Content-Length: 2")+"ok", stays)
	f(is502, "two lengths, different", line("Content-Length: 2", "Content-Length: 50")+"ok"+bad, stays)
	for _, v := range []string{"+2", "-2", "0x2", "2,2", "2, 2", "2 2", "", "two", "9223372036854775808", "18446744073709551618"} {
		f(is502, "length `"+shown(v)+"`", line("Content-Length: "+v)+"ok", stays)
	}
	f(is502, "`Content_Length` beside it", line("Content-Length: 2", "Content_Length: 50")+"ok", stays)
	for _, v := range []string{"gzip", "gzip, chunked", "chunked, gzip", "chunked, chunked", "identity", "xchunked", "", "\x0bchunked", "chunked;q=1"} {
		f(is502, "coding `"+shown(v)+"`", line("Transfer-Encoding: "+v)+chunks, ends)
	}
	f(is502, "two codings", line("Transfer-Encoding: chunked", "Transfer-Encoding: chunked")+chunks, stays)
	f(is502, "`Transfer-Encoding :`", line("Transfer-Encoding : chunked", "Content-Length: 2")+chunks, stays)
	f(is502, "`Transfer_Encoding`", line("Transfer_Encoding: chunked", "Content-Length: 2")+"ok", stays)
	f("204, whole", "204 with a length and a body", "HTTP/1.1 204 x\r\nContent-Length: 8\r\n\r\nsmuggled", stays)
	f("304, whole", "304 with a length and a body", "HTTP/1.1 304 x\r\nContent-Length: 50\r\n\r\n"+bad, stays)
	f("204, whole", "204 with chunks", "HTTP/1.1 204 x\r\nTransfer-Encoding: chunked\r\n\r\n"+chunks, stays)
	return g
}

func brokenCases() answerGroup {
	g := answerGroup{title: "An end in the middle", why: "The client can tell: its answer lacks bytes, or the last chunk, and its connection ends. RFC 9112, section 8."}
	f := func(want, name string, end ending, pieces ...string) {
		g.cases = append(g.cases, answerCase{name: name, pieces: pieces, end: end, want: want})
	}
	const cl, te = "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	for _, e := range []struct {
		name string
		end  ending
	}{{"end", ends}, {"reset", resets}} {
		f(is502, e.name+" in the status line", e.end, "HTTP/1.1 2")
		f(is502, e.name+" in the header", e.end, "HTTP/1.1 200 OK\r\nContent-Le")
		f(short, e.name+" in a body of known length", e.end, cl, "ok")
		f(short, e.name+" before a body of known length", e.end, cl)
		f(short, e.name+" between chunks", e.end, te, "2\r\nok\r\n")
		f(short, e.name+" in a chunk", e.end, te, "9\r\nok")
		f(short, e.name+" behind a chunk", e.end, te, "2\r\nok")
		f(short, e.name+" in a chunk's size", e.end, te, "2\r\nok\r\n5")
		f(short, e.name+" in the last chunk", e.end, te, "2\r\nok\r\n0\r\n")
		f(short, e.name+" in a trailer", e.end, te, "2\r\nok\r\n0\r\nX: y\r\n")
	}
	f(short, "reset in a body up to the end", resets, "HTTP/1.1 200 OK\r\n\r\n", "ok")
	f(short, "drip, and then silence", stays, cl, "o", "k")
	f(short, "chunks, and then silence", stays, te, "2\r\nok\r\n")
	f(whole, "drip", stays, "HT", "TP/1.1 2", "00 OK\r", "\nContent-Length: 2\r\n\r", "\no", "k")
	for _, c := range []string{"x\r\nok\r\n0\r\n\r\n", "+2\r\nok\r\n0\r\n\r\n", "0x2\r\nok\r\n0\r\n\r\n", "2\nok\n0\n\n", "2\r\nokk\r\n0\r\n\r\n", "2\r\nok0\r\n\r\n",
		"10000000000000002\r\nok\r\n0\r\n\r\n", "ffffffffffffffff\r\nok\r\n0\r\n\r\n", "2\r\nok\r\n0\r\nno colon\r\n\r\n", "2\r\nok\r\n0\r\nContent-Length: 5\r\n\r\n"} {
		f(short, "chunks `"+shown(c)+"`", stays, te+c)
	}
	return g
}

func leftoverCases() answerGroup {
	g := answerGroup{title: "More than one answer", why: "A connection on which bytes came that nobody asked for is in doubt, and is not used again: the next client must not read them."}
	f := func(want, name, request string, pieces ...string) {
		g.cases = append(g.cases, answerCase{name: name, request: request, pieces: pieces, want: want})
	}
	f(whole, "a second in the same segment", "", fine+bad)
	f(whole, "a second a moment later", "", fine, bad)
	f(whole, "a byte in the same segment", "", fine+"x")
	f(whole, "a byte a moment later", "", fine, "x")
	f(whole, "a line end behind the body", "", fine+"\r\n")
	f(whole, "a second behind chunks", "", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"+bad)
	f(whole, "a second behind chunks a moment later", "", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", bad)
	f(whole, "a body for HEAD", "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(bad), bad))
	f(whole, "a body for HEAD a moment later", "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", len(bad)), bad)
	f("304, whole", "a body for 304 a moment later", "", "HTTP/1.1 304 x\r\nContent-Length: 50\r\n\r\n", bad)
	f("204, whole", "a body for 204 a moment later", "", "HTTP/1.1 204 x\r\n\r\n", bad)
	f(is502, "503 and 200 as interim ones", "", "HTTP/1.1 103 x\r\n\r\nHTTP/1.1 10 x\r\n\r\n"+bad)
	return g
}

func interimCases() answerGroup {
	g := answerGroup{title: "1xx", why: "RFC 9110, section 15.2, has a proxy forward interim answers. Here they are skipped, 16 of them at most: the only one in use is 103, which browsers ignore over HTTP/1.1; a 101 that nobody asked for would hide whatever follows in a tunnel."}
	f := func(want, name string, pieces ...string) {
		g.cases = append(g.cases, answerCase{name: name, pieces: pieces, want: want})
	}
	f(whole, "100", "HTTP/1.1 100 Continue\r\n\r\n"+fine)
	f(whole, "103 with fields", "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n", fine)
	f(whole, "ten of them", strings.Repeat("HTTP/1.1 102 x\r\n\r\n", 10)+fine)
	f(is502, "a thousand", strings.Repeat("HTTP/1.1 102 x\r\n\r\n", 1000)+fine)
	f(is502, "101 unasked", "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"+bad)
	f(is502, "101 unasked, without Upgrade", "HTTP/1.1 101 x\r\n\r\n"+bad)
	f(whole, "with a length", "HTTP/1.1 100 x\r\nContent-Length: 5\r\n\r\n"+fine)
	f(is502, "with a malformed field", "HTTP/1.1 100 x\r\nX y: z\r\n\r\n"+fine)
	return g
}
