package proxy

import (
	"bytes"
	"strings"

	"github.com/holdfast-lb/holdfast/auth"
)

// redacted stands in the access log where a token was.
const redacted = "[redacted]"

// checkToken judges the token of a request. Of several none is believed: a
// backend might read another one than was judged.
func (g *guard) checkToken(r *request) auth.Verdict {
	switch g.from.from {
	case keyQuery:
		token, n := soleParameter(r.query, g.from.name)
		if n > 1 {
			return auth.Wrong
		}
		return g.tokens.Check(token)
	case keyCookie:
		token, n := soleCookie(&r.fields, g.from.name)
		if n > 1 {
			return auth.Wrong
		}
		return g.tokens.Check(token)
	}
	authorization, n := r.fields.sole("authorization")
	if n > 1 {
		return auth.Wrong
	}
	return g.tokens.CheckBearer(authorization)
}

// sole returns the value of the first field of that name, which must be in
// lower case, and how many there are.
func (b *fieldBlock) sole(name string) (value []byte, n int) {
	for i := range b.fields {
		if f := &b.fields[i]; isName(b.nameOf(f), name) {
			if n == 0 {
				value = b.valueOf(f)
			}
			n++
		}
	}
	return value, n
}

// soleCookie returns the value of the first cookie of that name, and how many
// there are.
func soleCookie(b *fieldBlock, name string) (value []byte, n int) {
	for i := range b.fields {
		if b.fields[i].kind != cookie {
			continue
		}
		for list := b.valueOf(&b.fields[i]); len(list) > 0; {
			var pair []byte
			pair, list, _ = bytes.Cut(list, []byte(";"))
			if before, _, ok := bytes.Cut(pair, []byte("=")); ok && string(bytes.TrimSpace(before)) == name {
				n++
			}
		}
	}
	return cookieValue(b, name), n
}

// soleParameter returns the value of the first query parameter of that name,
// as sent, and how many there are. A name may be percent-encoded.
func soleParameter(query []byte, name string) (value []byte, n int) {
	for len(query) > 0 {
		var pair []byte
		pair, query, _ = bytes.Cut(query, []byte("&"))
		before, after, _ := bytes.Cut(pair, []byte("="))
		if isParameter(text(before), name) {
			if n == 0 {
				value = after
			}
			n++
		}
	}
	return value, n
}

// isParameter tells whether a parameter's name, percent-encoded or not, is
// that name, which has neither a plus nor a percent sign.
func isParameter(sent, name string) bool {
	for i := range len(name) {
		switch {
		case sent == "":
			return false
		case sent[0] == '%' && len(sent) >= 3:
			high, low := unhex(sent[1]), unhex(sent[2])
			if high < 0 || low < 0 || byte(high<<4|low) != name[i] { // #nosec G115 -- two digits
				return false
			}
			sent = sent[3:]
		case sent[0] == name[i]:
			sent = sent[1:]
		default:
			return false
		}
	}
	return sent == ""
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}

// redact returns a URL, or a request target, without the values of the query
// parameters that carry tokens on some route: a request that went to another
// one by mistake carries them too.
func (rt *Runtime) redact(url string) string {
	if rt == nil || len(rt.tokenParameters) == 0 {
		return url
	}
	start := strings.IndexByte(url, '?')
	if start < 0 {
		return url
	}
	var out strings.Builder
	kept := 0 // url[:kept] is in out
	for at := start + 1; at <= len(url); {
		end := strings.IndexByte(url[at:], '&')
		if end < 0 {
			end = len(url)
		} else {
			end += at
		}
		if eq := strings.IndexByte(url[at:end], '='); eq >= 0 {
			for _, name := range rt.tokenParameters {
				if isParameter(url[at:at+eq], name) {
					out.WriteString(url[kept : at+eq+1])
					out.WriteString(redacted)
					kept = end
					break
				}
			}
		}
		at = end + 1
	}
	if kept == 0 {
		return url
	}
	out.WriteString(url[kept:])
	return out.String()
}
