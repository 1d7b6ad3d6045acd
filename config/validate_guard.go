package config

import (
	"net"
	"net/netip"
	"net/url"
	"strings"
)

// guard checks who may use a route.
func (v validator) guard(path string, r Route) {
	for key, list := range map[string][]string{".access.allow": r.Access.Allow, ".access.deny": r.Access.Deny} {
		for i, text := range list {
			if _, err := ParsePrefix(text); err != nil {
				v.check(joinIndex(path+key, i), "%v", err)
			}
		}
	}
	for i, text := range r.Origins {
		if _, err := ParseOrigin(text); err != nil {
			v.check(joinIndex(path+".origins", i), "%v", err)
		}
	}
	if r.Auth != nil {
		v.auth(path+".auth", *r.Auth)
	}
}

func (v validator) auth(path string, a Auth) {
	ways := 0
	if a.Basic != nil {
		ways++
		v.basicAuth(path+".basic", *a.Basic)
	}
	if a.JWT != nil {
		ways++
		v.jwtAuth(path+".jwt", *a.JWT)
	}
	if a.Forward != nil {
		ways++
		v.forwardAuth(path+".forward", *a.Forward)
	}
	if ways != 1 {
		v.check(path, "holds %d ways to authenticate, write one of basic, jwt and forward", ways)
	}
}

func (v validator) basicAuth(path string, b BasicAuth) {
	if strings.ContainsFunc(b.Realm, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }) {
		v.check(path+".realm", "%q has a quote, a backslash or a character beyond ASCII, write plain text", b.Realm)
	}
	if b.UsersFile == "" {
		v.check(path+".users_file", "is missing, write the path of a file that htpasswd -B made")
	}
}

func (v validator) jwtAuth(path string, j JWTAuth) {
	switch {
	case j.JWKSURL == "" && j.SecretFile == "":
		v.check(path, "has no key, write jwks_url or secret_file")
	case j.JWKSURL != "" && j.SecretFile != "":
		v.check(path, "has two keys, write jwks_url or secret_file, not both")
	case j.JWKSURL != "":
		v.peerURL(path+".jwks_url", j.JWKSURL, "can exchange the keys")
	}
	if j.Audience == "" {
		v.warn(path+".audience", "is missing: tokens that were made for another service are taken too")
	}
	kind, name, named := strings.Cut(j.From, ":")
	switch {
	case kind == "header" && !named:
	case kind == "query" && name != "" && !strings.ContainsAny(name, "&=#% +"):
	case kind == "cookie" && isToken(name):
	default:
		v.check(path+".from", "%q is not known, write header, query:NAME or cookie:NAME", j.From)
	}
}

func (v validator) forwardAuth(path string, f ForwardAuth) {
	if f.URL == "" {
		v.check(path+".url", "is missing, write the URL that decides, such as http://127.0.0.1:4180/verify")
	} else {
		v.peerURL(path+".url", f.URL, "can let anybody in")
	}
	v.positive(path+".timeout", f.Timeout)
	for i, name := range f.CopyHeaders {
		if !isToken(name) {
			v.check(joinIndex(path+".copy_headers", i), "%q is not the name of a header, write it as X-User", name)
		} else if ownHeader(name) {
			v.check(joinIndex(path+".copy_headers", i), "%q is written by Holdfast itself or belongs to the connection, leave it out", name)
		}
	}
}

// ownHeader tells whether a request header is the proxy's own affair.
func ownHeader(name string) bool {
	name = strings.ReplaceAll(strings.ToLower(name), "_", "-")
	switch name {
	case "connection", "content-length", "expect", "forwarded", "host", "keep-alive", "proxy-authenticate",
		"proxy-authorization", "proxy-connection", "te", "traceparent", "tracestate", "trailer", "transfer-encoding", "upgrade", "x-client-cert-subject", "x-request-id":
		return true
	}
	return strings.HasPrefix(name, "x-forwarded-") || strings.HasPrefix(name, "sec-websocket-")
}

// peerURL checks the URL of a server that is asked whom to trust. An attacker
// on the way to it, unless TLS keeps him out, has the power that danger names.
func (v validator) peerURL(path, text, danger string) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		v.check(path, "is no URL of a server, write http:// or https:// and its host, such as https://ops.example.com/path")
		return
	case u.User != nil || u.Fragment != "":
		v.check(path, "has a user or a fragment, write scheme, host, path and query alone")
		return
	}
	ip, err := netip.ParseAddr(u.Hostname())
	loopback := u.Hostname() == "localhost" || err == nil && (ip.IsLoopback() || ip.IsPrivate())
	if u.Scheme == "http" && !loopback {
		v.warn(path, "has no TLS: whoever is on the way %s, write https://%s", danger, net.JoinHostPort(u.Hostname(), "443"))
	}
}
