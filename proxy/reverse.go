package proxy

import (
	"bytes"
	"net/netip"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/balancer"
)

// reverse turns a backend's own addresses in its answers into the public ones,
// as Apache's ProxyPassReverse does: the prefix that was stripped is put back,
// and what names a backend names the host that the client asked.
type reverse struct {
	pool   *balancer.Pool
	prefix string // without a slash at its end; empty: none was stripped
}

// apply changes the header of an answer.
func (r *reverse) apply(h *fasthttp.ResponseHeader, f *facts) {
	for _, name := range []string{"location", "content-location", "refresh"} {
		spelt := fieldNamed(h, []byte(name))
		if spelt == nil {
			continue
		}
		spelt = bytes.Clone(spelt) // Set moves what it refers to
		appendMapped := r.appendURL
		if name == "refresh" {
			appendMapped = r.appendRefresh
		}
		h.SetBytesKV(spelt, appendMapped(nil, h.PeekBytes(spelt), f))
	}
	var cookies [][]byte
	for _, value := range h.Cookies() {
		cookies = append(cookies, r.appendCookie(nil, value, f))
	}
	if len(cookies) == 0 {
		return
	}
	h.Del("Set-Cookie")
	for _, value := range cookies {
		h.AddBytesV("Set-Cookie", value)
	}
}

// appendURL appends the public form of a URL or of an absolute path.
func (r *reverse) appendURL(dst, url []byte, f *facts) []byte {
	scheme, rest := "", url
	for _, s := range []string{"http", "https"} {
		if n := len(s); len(url) > n+2 && isName(url[:n], s) && string(url[n:n+3]) == "://" {
			scheme, rest = s, url[n+1:]
		}
	}
	if !bytes.HasPrefix(rest, []byte("//")) {
		if len(rest) > 0 && rest[0] == '/' {
			dst = append(dst, r.prefix...)
		}
		return append(dst, rest...) // a path alone, or something else
	}
	authority, path := rest[2:], []byte(nil)
	if i := bytes.IndexAny(authority, "/?#"); i >= 0 {
		authority, path = authority[:i], authority[i:]
	}
	if !r.isBackend(scheme, authority, f) {
		return append(dst, url...)
	}
	if len(f.public) > 0 {
		if scheme != "" {
			dst = append(dst, f.scheme...)
			dst = append(dst, ':')
		}
		dst = append(dst, '/', '/')
		dst = append(dst, f.public...)
	}
	dst = append(dst, r.prefix...)
	if len(path) == 0 || path[0] != '/' {
		dst = append(dst, '/')
	}
	return append(dst, path...)
}

// isBackend tells whether an authority is that of a backend of the pool, or
// the Host that the backend was sent. An empty scheme is the backend's.
func (r *reverse) isBackend(scheme string, authority []byte, f *facts) bool {
	if len(f.sent) > 0 && sameAuthority(authority, f.sent, scheme) {
		return true
	}
	for _, b := range r.pool.Backends() {
		if (scheme == "" || scheme == b.Scheme()) && sameAuthority(authority, []byte(b.Address()), b.Scheme()) {
			return true
		}
	}
	return false
}

// sameAuthority compares two authorities; the scheme's own port may be left
// out.
func sameAuthority(a, b []byte, scheme string) bool {
	port := ":80"
	if scheme == "https" {
		port = ":443"
	}
	return bytes.EqualFold(bytes.TrimSuffix(a, []byte(port)), bytes.TrimSuffix(b, []byte(port)))
}

// appendRefresh appends a Refresh with its URL in the public form:
// "5; url=/next", quotes around the URL or not.
func (r *reverse) appendRefresh(dst, value []byte, f *facts) []byte {
	i := bytes.IndexAny(value, ";,")
	if i < 0 {
		return append(dst, value...)
	}
	at := i + 1
	for at < len(value) && isSpace(value[at]) {
		at++
	}
	if len(value) < at+4 || !isName(value[at:at+4], "url=") {
		return append(dst, value...)
	}
	at += len("url=")
	url, end := value[at:], []byte(nil)
	if len(url) > 1 && (url[0] == '"' || url[0] == '\'') && url[len(url)-1] == url[0] {
		at++
		url, end = url[1:len(url)-1], url[len(url)-1:]
	}
	dst = append(dst, value[:at]...)
	dst = r.appendURL(dst, url, f)
	return append(dst, end...)
}

// appendCookie appends the value of a Set-Cookie with Path and Domain in their
// public form.
func (r *reverse) appendCookie(dst, value []byte, f *facts) []byte {
	pair, rest, more := bytes.Cut(value, []byte{';'})
	dst = append(dst, pair...)
	for more {
		var attribute []byte
		attribute, rest, more = bytes.Cut(rest, []byte{';'})
		name, is, _ := bytes.Cut(attribute, []byte{'='})
		is = bytes.TrimSpace(is)
		switch name = bytes.TrimSpace(name); {
		case isName(name, "path") && len(is) > 0 && is[0] == '/' && r.prefix != "":
			dst = append(dst, "; Path="...)
			dst = append(dst, r.prefix...)
			if len(is) > 1 { // "/ws" covers /ws and all below it, "/ws/" not the first
				dst = append(dst, is...)
			}
		case isName(name, "domain") && r.isBackendName(is):
			host := hostName(make([]byte, 0, 256), f.public)
			if _, err := netip.ParseAddr(strings.Trim(string(host), "[]")); err == nil || len(host) == 0 {
				continue // a cookie of an address has no domain: RFC 6265, section 5.1.3
			}
			dst = append(dst, "; Domain="...)
			dst = append(dst, host...)
		default:
			dst = append(dst, ';')
			dst = append(dst, attribute...)
		}
	}
	return dst
}

// isBackendName tells whether a cookie's domain is the host of a backend.
func (r *reverse) isBackendName(domain []byte) bool {
	domain = bytes.TrimPrefix(domain, []byte{'.'})
	for _, b := range r.pool.Backends() {
		name := hostName(make([]byte, 0, 256), []byte(b.Address()))
		if len(domain) > 0 && bytes.EqualFold(domain, bytes.Trim(name, "[]")) {
			return true
		}
	}
	return false
}
