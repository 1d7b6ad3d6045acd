package admin

import (
	"net/url"
	"strings"

	"github.com/valyala/fasthttp"
)

// sameSite tells that a request does not come from a page of another origin.
// Browsers say where a page is from in Sec-Fetch-Site and, with every method
// that changes something, in Origin; programs send neither. Another port of
// this machine is another origin: "same-site" is not good enough.
func sameSite(h *fasthttp.RequestHeader) bool {
	switch string(h.Peek("Sec-Fetch-Site")) {
	case "", "same-origin", "none": // none: somebody typed the address
	default:
		return false
	}
	origin := h.PeekAll("Origin")
	switch len(origin) {
	case 0:
		return true
	case 1:
	default:
		return false
	}
	u, err := url.Parse(string(origin[0]))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return false // "null" too: a sandboxed page, a file
	}
	// The scheme is not compared: something in front may speak TLS.
	return strings.EqualFold(withoutPort(u.Host, u.Scheme), withoutPort(string(h.Host()), u.Scheme))
}

// withoutPort drops the port that scheme implies.
func withoutPort(host, scheme string) string {
	if scheme == "https" {
		return strings.TrimSuffix(host, ":443")
	}
	return strings.TrimSuffix(host, ":80")
}
