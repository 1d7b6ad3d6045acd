package proxy

import (
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/balancer"
)

// carrier is the stickiness of a pool whose clients themselves remember their
// backend: by a cookie, or by a token, for clients that keep no cookies. Both
// have the same signed value; nothing is remembered here.
//
// A token is told in the field of its name, and is shown in that field, in the
// query parameter of its name, or as the subprotocol "NAME.TOKEN", for pages
// that want it in no address: a browser lets them choose nothing else of a
// handshake. The backend sees it wherever the client has put it.
type carrier struct {
	sticky *balancer.Sticky
	token  bool
	field  string // the token's, in lower case
}

// newCarrier returns nil if the pool remembers by itself, or nobody does.
func newCarrier(s *balancer.Sticky) *carrier {
	if s == nil || s.By() != "cookie" && s.By() != "token" {
		return nil
	}
	return &carrier{sticky: s, token: s.By() == "token", field: strings.ToLower(s.Name())}
}

// shown is the [balancer.Backend.StickyID] that the client shows; 0: none that
// was signed for this pool. Of several tokens the first good one counts, by
// field, query and subprotocol.
func (c *carrier) shown(r *request) uint64 {
	name := c.sticky.Name()
	if !c.token {
		id, _ := c.sticky.Decode(cookieValue(&r.fields, name))
		return id
	}
	if id, ok := c.sticky.Decode(r.fields.get(c.field)); ok {
		return id
	}
	if id, ok := c.sticky.Decode(queryValue(r.query, name)); ok {
		return id
	}
	return c.offered(&r.fields)
}

// offered is shown for the subprotocols that a handshake offers (RFC 6455,
// section 11.3.4).
func (c *carrier) offered(b *fieldBlock) uint64 {
	name := c.sticky.Name()
	for i := range b.fields {
		f := &b.fields[i]
		if f.kind != endToEnd || !isName(b.nameOf(f), "sec-websocket-protocol") {
			continue
		}
		for list := b.valueOf(f); len(list) > 0; {
			var p []byte
			p, list = nextToken(list)
			if len(p) <= len(name) || p[len(name)] != '.' || string(p[:len(name)]) != name {
				continue
			}
			if id, ok := c.sticky.Decode(p[len(name)+1:]); ok {
				return id
			}
		}
	}
	return 0
}

// tell ties the client of an answer to b. buf is scratch memory, which is
// returned.
func (c *carrier) tell(h *fasthttp.ResponseHeader, b *balancer.Backend, secure bool, buf []byte) []byte {
	if c.token {
		h.Set(c.sticky.Name(), c.sticky.Encode(b))
		return buf
	}
	buf = c.appendCookie(buf[:0], b, secure)
	h.AddBytesV("Set-Cookie", buf)
	return buf
}

// appendLine appends the header line that ties a client to b.
func (c *carrier) appendLine(dst []byte, b *balancer.Backend, secure bool) []byte {
	if c.token {
		dst = append(dst, c.sticky.Name()...)
		dst = append(dst, ": "...)
		dst = append(dst, c.sticky.Encode(b)...)
	} else {
		dst = append(dst, "Set-Cookie: "...)
		dst = c.appendCookie(dst, b, secure)
	}
	return append(dst, '\r', '\n')
}

// appendCookie appends the value of the Set-Cookie that ties a client to b.
// It is a session cookie: it lives as long as the browser, as the backend
// does not depend on any table here.
func (c *carrier) appendCookie(dst []byte, b *balancer.Backend, secure bool) []byte {
	dst = append(dst, c.sticky.Name()...)
	dst = append(dst, '=')
	dst = append(dst, c.sticky.Encode(b)...)
	dst = append(dst, "; Path=/; HttpOnly; SameSite=Lax"...)
	if secure {
		dst = append(dst, "; Secure"...)
	}
	return dst
}
