package proxy

import (
	"bufio"
	"bytes"

	"github.com/valyala/fasthttp"
)

// maxFields bounds the fields of a header, whatever its size in bytes.
const maxFields = 256

// judge refuses what two servers may read differently: request smuggling lives
// on that. fasthttp has accepted the request by then, and takes more than RFC
// 9112 allows. This is the one place that decides; docs/security.md has the
// cases. What passes is forwarded as exactly one request, written anew.
func (r *request) judge(h *fasthttp.RequestHeader) class {
	if c := judgeMethod(r.method); c != ok {
		return c
	}
	if p := h.Protocol(); len(p) != len("HTTP/1.1") || string(p[:7]) != "HTTP/1." || p[7] > '1' {
		return badProtocol
	}
	if !validTarget(r.target) || r.absolute && !isWeb(h.RequestURI()) {
		return badTarget
	}
	b := &r.fields
	switch {
	case b.flaws&tooManyFields != 0:
		return tooLong
	case b.flaws != 0:
		return badField
	case b.codings > 0 && (b.lengths > 0 || h.ContentLength() != -1):
		return badFraming
	case b.tooManyOptions():
		return badOptions
	}
	field := b.first(host)
	if len(field) > 0 && !validHost(field) || r.absolute && !validHost(r.host) {
		return badHost
	}
	return ok
}

// judgeMethod refuses tunnels, TRACE, which would show a page what the browser
// hides from it, and the standard methods in another case: they are case-
// sensitive (RFC 9110, section 9.1), but not to every server, and whether an
// answer has a body depends on them.
func judgeMethod(method []byte) class {
	switch string(method) {
	case fasthttp.MethodGet, fasthttp.MethodPost, fasthttp.MethodHead:
		return ok
	case fasthttp.MethodConnect, fasthttp.MethodTrace:
		return noTunnel
	}
	for _, c := range method {
		if 'a' <= c && c <= 'z' {
			return judgeCase(method)
		}
	}
	return ok
}

func judgeCase(method []byte) class {
	for _, m := range [...]string{
		fasthttp.MethodGet, fasthttp.MethodPost, fasthttp.MethodHead, fasthttp.MethodPut, fasthttp.MethodDelete,
		fasthttp.MethodOptions, fasthttp.MethodPatch, fasthttp.MethodConnect, fasthttp.MethodTrace,
	} {
		if bytes.EqualFold(method, []byte(m)) {
			return badMethod
		}
	}
	return ok
}

// judgeAnswer reads the header of a backend's answer, its empty line included,
// and returns the status. sound is false if two clients may read it differently:
// what they would take for the end of the header, or for a second answer.
func (b *fieldBlock) judgeAnswer(head []byte) (status int, sound bool) {
	line := head[:bytes.IndexByte(head, '\n')+1]
	status, sound = statusOf(line)
	if !sound || !bytes.HasSuffix(line, []byte("\r\n")) {
		return 0, false
	}
	for _, c := range line[:len(line)-2] {
		if c < ' ' && c != '\t' || c == 0x7f {
			return 0, false
		}
	}
	b.parse(head[len(line):])
	return status, b.flaws == 0 && (b.codings == 0 || b.lengths == 0 && line[7] == '1')
}

// peekHead waits for a whole header, up to its empty line, and returns it
// without taking it off r, whose buffer bounds it.
func peekHead(r *bufio.Reader) ([]byte, error) {
	seen := 0
	for {
		_, err := r.Peek(seen + 1)
		buf, _ := r.Peek(r.Buffered())
		from := max(seen-3, 0)
		if i := bytes.Index(buf[from:], []byte("\r\n\r\n")); i >= 0 {
			return buf[:from+i+4], nil
		}
		if err != nil {
			return nil, err
		}
		seen = len(buf)
	}
}

// validTarget refuses fragments, and bytes beyond ASCII, which some servers
// take for a space. fasthttp has refused control characters.
func validTarget(target []byte) bool {
	for _, c := range target {
		if c == '#' || c >= 0x7f {
			return false
		}
	}
	return true
}

// isWeb tells whether an absolute target is an http or https one.
func isWeb(target []byte) bool {
	scheme, _, _ := bytes.Cut(target, []byte(":"))
	return isName(scheme, "http") || isName(scheme, "https")
}

// validHost tells whether host is a name, an IPv4 address or an IPv6 address
// in brackets, with a port or without. A name may end in a dot, but has no empty
// labels besides: a.. is not routed as a, yet some take it for that.
func validHost(host []byte) bool {
	port := -1
	for i, c := range host {
		switch {
		case c == ':':
			if port < 0 {
				port = i
				continue
			}
			return false
		case c == '[':
			return i == 0 && validIPv6Host(host)
		case port >= 0:
			if c < '0' || c > '9' {
				return false
			}
		case !isHostByte[c], c == '.' && (i == 0 || host[i-1] == '.'):
			return false
		}
	}
	return port != 0 && len(host) > 0 && len(host) <= maxHost && validPort(host, port)
}

// validIPv6Host is validHost for what begins with a bracket.
func validIPv6Host(host []byte) bool {
	end := bytes.IndexByte(host, ']')
	if end < len("[::") || len(host) > maxHost {
		return false
	}
	for _, c := range host[1:end] {
		if unhex(c) < 0 && c != ':' && c != '.' {
			return false
		}
	}
	rest := host[end+1:]
	if len(rest) == 0 {
		return true
	}
	for _, c := range rest[1:] {
		if c < '0' || c > '9' {
			return false
		}
	}
	return rest[0] == ':' && validPort(rest, 0)
}

// validPort tells whether the digits behind the colon at that index, if there
// is one, are a port.
func validPort(host []byte, colon int) bool {
	if colon < 0 {
		return true
	}
	n := 0
	for _, c := range host[colon+1:] {
		if n = 10*n + int(c-'0'); n > 65535 {
			return false
		}
	}
	return true
}

// maxHost is longer than a DNS name and a port can be.
const maxHost = 262

// isHostByte has what names of hosts are made of: RFC 3986, section 3.2.2,
// without what nobody uses and some servers split at.
var isHostByte = func() (is [256]bool) {
	for _, c := range "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._" {
		is[c] = true
	}
	return is
}()
