package e2e

import (
	"fmt"
	"strings"
)

const (
	// smuggled is what no backend may ever see as a request of its own.
	smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
	// second is a pipelined request that is meant to be one.
	second = "GET /second HTTP/1.1\r\nHost: a\r\n\r\n"
	// body is one that ends early for whoever reads it in chunks, and late for
	// whoever goes by its length.
	twoFaced = "0\r\n\r\n" + smuggled
)

// asks returns a GET with these further lines.
func asks(fields ...string) string { return headed("GET / HTTP/1.1", fields...) }

// posts returns the header of a POST with these further lines.
func posts(fields ...string) string { return headed("POST / HTTP/1.1", fields...) }

func headed(line string, fields ...string) string {
	return strings.Join(append([]string{line, "Host: a"}, fields...), "\r\n") + "\r\n\r\n"
}

// inChunks returns a POST with that chunked body.
func inChunks(body string) string { return posts("Transfer-Encoding: chunked") + body }

// framingCases are the cases of clients. The groups are in the files beside
// this one.
func framingCases() []framingGroup {
	return []framingGroup{
		lengthCases(), codingCases(), chunkCases(), fieldCases(), hostCases(), targetCases(), methodCases(),
		versionCases(), connectionCases(), pipelineCases(), trailerCases(),
	}
}

func lengthCases() framingGroup {
	g := framingGroup{title: "Content-Length", why: "RFC 9112, section 6.3, items 3 and 5: a length that is not one number is an unrecoverable error. " +
		"Leading zeros are written anew, since C's strtol takes them for octal."}
	f := func(want, value string) {
		g.cases = append(g.cases, framingCase{"`" + shown(value) + "`", posts("Content-Length: "+value) + "hello", want})
	}
	f(once, "5")
	f(once, "05")
	f(once, "0000000000005")
	f(is400, "+5")
	f(is400, "-5")
	f(is400, "-0")
	f(is400, "0x5")
	f(is400, "5.0")
	f(is400, "5e0")
	f(is400, "5,5")
	f(is400, "5, 5")
	f(is400, "5, 6")
	f(is400, "5;5")
	f(is400, "5 5")
	f(is400, "5\t5")
	f(is400, "five")
	f(is400, "")
	f(is400, ",5")
	f(is400, "5,")
	f(is400, "\"5\"")
	f(is400, "５")
	f(is400, "9223372036854775808")
	f(is400, "18446744073709551621")
	f(is400, "99999999999999999999999999")
	f(is400, "5\x00")
	f(is400, "5\x0b")
	f(is400, "\x0b5")
	f(once, "\t5 \t")
	add := func(want, name, sent string) { g.cases = append(g.cases, framingCase{name, sent, want}) }
	add(is400, "two, equal", posts("Content-Length: 5", "Content-Length: 5")+"hello")
	add(is400, "two, different", posts("Content-Length: 0", fmt.Sprintf("Content-Length: %d", len(smuggled)))+smuggled)
	add(is400, "two, in different case", posts("Content-Length: 0", fmt.Sprintf("content-length: %d", len(smuggled)))+smuggled)
	add(is400, "`Content_Length` beside it", posts("Content-Length: 5", "Content_Length: 0")+"hello")
	add(is400, "`Content_Length` alone", posts(fmt.Sprintf("Content_Length: %d", len(smuggled))))
	add(is400, "blank before the colon", posts("Content-Length : 5")+"hello")
	add(is400, "tab before the colon", posts("Content-Length\t: 5")+"hello")
	add(is400, "folded", posts("Content-Length:\r\n 5")+"hello")
	add(once, "on GET", asks("Content-Length: 5")+"hello")
	add(once, "0 on GET", asks("Content-Length: 0"))
	add(once, "none on POST", posts())
	add(twice, "0, and a second request", posts("Content-Length: 0")+second)
	add(twice, "5, and a second request", posts("Content-Length: 5")+"hello"+second)
	return g
}

func codingCases() framingGroup {
	g := framingGroup{title: "Transfer-Encoding", why: "RFC 9112, section 6.1: a request with both framings may be refused, and its connection must end. " +
		"A coding that is not exactly chunked is not understood, in whatever disguise."}
	both := fmt.Sprintf("Content-Length: %d", len(twoFaced))
	add := func(want, name, sent string) { g.cases = append(g.cases, framingCase{name, sent, want}) }
	add(is400, "chunked, and Content-Length", posts("Transfer-Encoding: chunked", both)+twoFaced)
	add(is400, "Content-Length, and chunked", posts(both, "Transfer-Encoding: chunked")+twoFaced)
	add(is400, "chunked, and a Content-Length of 0", posts("Content-Length: 0", "Transfer-Encoding: chunked")+"5\r\nhello\r\n0\r\n\r\n")
	add(is400, "identity", posts("Transfer-Encoding: identity"))
	add(is400, "identity, and Content-Length", posts("Transfer-Encoding: identity", "Content-Length: 5")+"hello")
	add(is400, "in HTTP/1.0", headed("POST / HTTP/1.0", "Transfer-Encoding: chunked")+"0\r\n\r\n")
	add(is400, "in HTTP/1.0, and Content-Length", headed("POST / HTTP/1.0", "Transfer-Encoding: chunked", both)+twoFaced)
	add(once, "on GET", asks("Transfer-Encoding: chunked")+"5\r\nhello\r\n0\r\n\r\n")
	add(once, "`CHUNKED`", posts("Transfer-Encoding: CHUNKED")+"0\r\n\r\n")
	add(once, "blanks around", posts("Transfer-Encoding: \t chunked \t")+"0\r\n\r\n")
	for _, line := range []string{
		"Transfer-Encoding: gzip",
		"Transfer-Encoding: gzip, chunked",
		"Transfer-Encoding: chunked, gzip",
		"Transfer-Encoding: chunked, chunked",
		"Transfer-Encoding: chunked, identity",
		"Transfer-Encoding: identity, chunked",
		"Transfer-Encoding: xchunked",
		"Transfer-Encoding: chunkedx",
		"Transfer-Encoding: chunk",
		"Transfer-Encoding: x",
		"Transfer-Encoding:",
		"Transfer-Encoding: ,chunked",
		"Transfer-Encoding: chunked,",
		"Transfer-Encoding: chunked;q=1",
		"Transfer-Encoding: chunked; foo",
		"Transfer-Encoding: \"chunked\"",
		"Transfer-Encoding: 'chunked'",
		"Transfer-Encoding: [chunked]",
		"Transfer-Encoding: chun ked",
		"Transfer-Encoding: \x0bchunked",
		"Transfer-Encoding: \x0cchunked",
		"Transfer-Encoding: chunked\x00",
		"Transfer-Encoding: \x00chunked",
		"Transfer-Encoding: chunked\x7f",
		"Transfer-Encoding: \xa0chunked",
		"Transfer-Encoding: \xff",
		"Transfer-Encoding: chun\u212aed",
		"Transfer-Encoding : chunked",
		"Transfer-Encoding\t: chunked",
		"Transfer-Encoding\x00: chunked",
		"Transfer-Encoding\x0b: chunked",
		"Transfer-Encoding\xa0: chunked",
		" Transfer-Encoding: chunked",
		"\tTransfer-Encoding: chunked",
		"\x0bTransfer-Encoding: chunked",
		"X: y\nTransfer-Encoding: chunked",
		"X: y\rTransfer-Encoding: chunked",
		"Transfer-Encoding:\r\n chunked",
		"Transfer-Encoding:\n chunked",
		"Transfer-Encoding: chunked\r\n x",
		"Transfer-Encoding: x\r\n chunked",
		"Transfer_Encoding: chunked",
		"Transfer Encoding: chunked",
		"Transfer-Encoding:chunked\r\nTransfer-Encoding: x",
		"Transfer-Encoding: x\r\nTransfer-Encoding: chunked",
		"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
		"Transfer-Encoding: chunked\r\nTRANSFER-ENCODING: identity",
		"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
		"Transfer-Encoding",
		"Transfer-Encoding; chunked",
	} {
		add(is400, "`"+shown(line)+"`, and Content-Length", posts(both, line)+twoFaced)
	}
	return g
}

// shown writes what cannot be seen as Go does.
func shown(s string) string {
	q := fmt.Sprintf("%+q", s)
	return strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
}
