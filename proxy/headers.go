package proxy

import (
	"bytes"
	"strconv"

	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/tracing"
)

// head is what the request head for a backend is made of, apart from the
// client's own fields. The slices are borrowed until appendTo returns.
type head struct {
	method []byte // as the client sent it
	target []byte // origin form, or "*"
	// host is the value of Host; nil keeps the client's.
	host []byte
	// chunked: the body is sent in chunks. Otherwise the client's own
	// Content-Length, if any, describes it.
	chunked bool
	// websocket: the head of a WebSocket handshake (RFC 6455, section 4.1).
	websocket bool

	peer    []byte // address of the client's end of the connection; nil: unknown
	trusted bool   // peer's X-Forwarded-*, Forwarded and X-Request-Id are kept
	proto   string // http or https, as the client speaks to us
	public  []byte // host that the client asked for, for X-Forwarded-Host
	id      []byte // for X-Request-Id
	subject []byte // of the client's certificate, for X-Client-Cert-Subject; empty: none

	copied *copiedFields // from the auth server; nil: none
	trace  *tracing.Span // whose context is written; nil: the client's passes

	rules     *fieldRules // of the route's for requests; nil: none
	facts     *facts      // what the rules write
	forwarded bool        // Forwarded is written too
}

// appendTo appends a complete HTTP/1.1 request head, the empty line included,
// to dst and returns the longer slice. b holds the client's fields.
//
// Fields keep their order, the spelling of their names and their values.
// Dropped are those of this hop (RFC 9110, section 7.6.1) and those that
// Connection names; what this proxy itself vouches for comes last.
func (h *head) appendTo(dst []byte, b *fieldBlock) []byte {
	dst = append(dst, h.method...)
	dst = append(dst, ' ')
	dst = append(dst, h.target...)
	dst = append(dst, " HTTP/1.1\r\n"...)

	var seen seenFields
	if h.rules != nil {
		seen.proto, seen.forwardedHost = h.rules.instead.proto, h.rules.instead.forwardedHost
	}
	from := int32(-1) // where a run of fields to copy as they are begins
	for i := range b.fields {
		f := &b.fields[i]
		if h.keep(b, f, &seen) {
			if f.asIs {
				if from < 0 {
					from = f.start
				}
				continue
			}
			dst = appendRun(dst, b, &from, f.start)
			dst = appendField(dst, b.nameOf(f), b.valueOf(f))
			continue
		}
		dst = appendRun(dst, b, &from, f.start)
	}
	if n := len(b.fields); n > 0 {
		dst = appendRun(dst, b, &from, b.fields[n-1].next)
	}
	return h.appendOwn(dst, b, &seen)
}

// seenFields remembers which fields of the client's were kept.
type seenFields struct{ host, proto, forwardedHost, forwardedFor bool }

// keep tells whether the field goes to the backend as it is.
func (h *head) keep(b *fieldBlock, f *field, seen *seenFields) bool {
	if h.copied != nil && h.copied.drops(b.nameOf(f)) {
		return false
	}
	if h.rules != nil && f.kind != host && h.rules.drops(b.nameOf(f)) {
		return false
	}
	if h.trace != nil && isTraceContext(b.nameOf(f)) {
		return false
	}
	switch f.kind {
	case plain:
		return b.listed == 0 || !b.named(f)
	case endToEnd, cookie:
		return true
	case host:
		seen.host = h.host == nil
		return seen.host
	case contentLength:
		return !h.chunked && !h.websocket
	case trailer:
		return h.chunked
	case forwardedFor:
		seen.forwardedFor = true
	case forwardedProto:
		seen.proto = seen.proto || h.trusted
		return h.trusted
	case forwardedHost:
		seen.forwardedHost = seen.forwardedHost || h.trusted
		return h.trusted
	case forwardedOther:
		return h.trusted && !(h.forwarded && isName(b.nameOf(f), "forwarded"))
	}
	return false
}

// appendOwn appends the fields that this proxy writes itself.
func (h *head) appendOwn(dst []byte, b *fieldBlock, seen *seenFields) []byte {
	if !seen.host {
		dst = appendField(dst, "Host", h.host)
	}
	if h.chunked {
		dst = append(dst, "Transfer-Encoding: chunked\r\n"...)
	}
	if h.copied != nil {
		dst = append(dst, h.copied.lines...)
	}
	switch {
	case h.websocket:
		dst = append(dst, "Connection: Upgrade\r\nUpgrade: websocket\r\n"...)
	case b.teTrailers:
		dst = append(dst, "Connection: TE\r\nTE: trailers\r\n"...)
	}
	var instead omitted
	if h.rules != nil {
		instead = h.rules.instead
	}
	if !instead.forwardedFor {
		dst = h.appendForwardedFor(dst, b, seen.forwardedFor && h.trusted)
	}
	if !seen.proto {
		dst = append(dst, "X-Forwarded-Proto: "...)
		dst = append(dst, h.proto...)
		dst = append(dst, '\r', '\n')
	}
	if !seen.forwardedHost && len(h.public) > 0 {
		dst = appendField(dst, "X-Forwarded-Host", h.public)
	}
	if !instead.id {
		dst = appendField(dst, "X-Request-Id", h.id)
	}
	if h.trace != nil && !instead.trace {
		dst = h.trace.AppendFields(dst)
	}
	if len(h.subject) > 0 {
		dst = appendField(dst, "X-Client-Cert-Subject", h.subject)
	}
	if h.forwarded && !instead.forwarded {
		dst = h.appendForwarded(dst, b)
	}
	if h.rules != nil {
		dst = h.rules.appendFields(dst, h.facts)
	}
	return append(dst, '\r', '\n')
}

// appendForwardedFor writes X-Forwarded-For: the peer alone, or behind what a
// trusted peer sent, in one field.
func (h *head) appendForwardedFor(dst []byte, b *fieldBlock, sent bool) []byte {
	if !sent && len(h.peer) == 0 {
		return dst
	}
	dst = append(dst, "X-Forwarded-For: "...)
	if sent {
		for i := range b.fields {
			if f := &b.fields[i]; f.kind == forwardedFor && f.value < f.end {
				dst = append(dst, b.valueOf(f)...)
				dst = append(dst, ',', ' ')
			}
		}
		if len(h.peer) == 0 {
			dst = bytes.TrimSuffix(dst, []byte(", "))
		}
	}
	dst = append(dst, h.peer...)
	return append(dst, '\r', '\n')
}

// appendRun copies the fields from *from to before to, if a run is open, and
// closes it.
func appendRun(dst []byte, b *fieldBlock, from *int32, to int32) []byte {
	if *from < 0 {
		return dst
	}
	dst = append(dst, b.raw[*from:to]...)
	*from = -1
	return dst
}

func appendField[T string | []byte](dst []byte, name T, value []byte) []byte {
	dst = append(dst, name...)
	dst = append(dst, ':', ' ')
	dst = append(dst, value...)
	return append(dst, '\r', '\n')
}

// appendTarget appends the request target for a backend: path and query byte
// by byte as the client sent them, without prefix, which must not end in a
// slash. Nothing left is "/".
func appendTarget(dst, target []byte, prefix string) []byte {
	rest := target
	if prefix != "" && len(target) >= len(prefix) && string(target[:len(prefix)]) == prefix {
		rest = target[len(prefix):]
		switch {
		case len(rest) == 0 || rest[0] == '?':
			dst = append(dst, '/')
		case rest[0] != '/':
			rest = target // another segment that begins alike
		}
	}
	return append(dst, rest...)
}

// chunkHead writes n in hexadecimal and a line end right-aligned into buf and
// returns where it begins.
func chunkHead(buf []byte, n int) int {
	var digits [16]byte
	hex := strconv.AppendInt(digits[:0], int64(n), 16)
	at := len(buf) - len(hex) - 2
	copy(buf[at:], hex)
	buf[len(buf)-2], buf[len(buf)-1] = '\r', '\n'
	return at
}

var protoHTTP11 = []byte("HTTP/1.1")

// cleanAnswer makes a backend's answer header fit for the client: what belongs
// to the hop behind us goes (RFC 9110, section 7.6.1), and the version is ours.
// It returns whether the backend's connection may be used again. Names keep
// their spelling, but for those that fasthttp keeps apart and writes in their
// usual one (Content-Type, Content-Length, Content-Encoding, Server,
// Set-Cookie). A Date stays as it is.
//
// b is the same header as it was parsed; nil: unknown.
func cleanAnswer(h *fasthttp.ResponseHeader, b *fieldBlock) (reusable bool) {
	reusable = !h.ConnectionClose()
	h.ResetConnectionClose()
	h.DisableNormalizing() // names are looked up as they are spelt
	if !bytes.Equal(h.Protocol(), protoHTTP11) {
		h.SetProtocol(protoHTTP11)
	}
	if b != nil && !b.ofHop {
		return reusable
	}
	for {
		name, value, k := nextHopByHop(h)
		if name == nil {
			return reusable
		}
		if k == connection {
			dropOptions(h, value)
		}
		h.DelBytes(name)
	}
}

// dated empties h, and has fasthttp write the time of now as its Date, which the
// server was told not to: answers that have one already keep theirs. Whoever
// answers or forwards an answer without one adds it (RFC 9110, section 6.6.1).
func dated(h *fasthttp.ResponseHeader) {
	h.Reset()
	h.SetNoDefaultContentType(true)
}

// nextHopByHop returns the first field of an answer that must not pass, nil
// if there is none.
func nextHopByHop(h *fasthttp.ResponseHeader) (name, value []byte, k kind) {
	for n, v := range h.All() {
		switch k := classify(n); k {
		case hopByHop, connection, upgrade, transferEncoding, te:
			return n, v, k
		case trailer:
			if h.ContentLength() != -1 { // only chunks carry trailers
				return n, v, k
			}
		}
	}
	return nil, nil, plain
}

// dropOptions removes the fields that the value of an answer's Connection
// names.
func dropOptions(h *fasthttp.ResponseHeader, value []byte) {
	options := 0
	for len(value) > 0 && options < maxOptions {
		var option []byte
		option, value = nextToken(value)
		if len(option) == 0 || classify(option) != plain {
			continue
		}
		options++
		for {
			name := fieldNamed(h, option)
			if name == nil {
				break
			}
			h.DelBytes(name)
		}
	}
}

// fieldNamed returns the name of the first field that equals it in all but
// case, as it is spelt.
func fieldNamed(h *fasthttp.ResponseHeader, name []byte) []byte {
	for n := range h.All() {
		if bytes.EqualFold(n, name) {
			return n
		}
	}
	return nil
}
