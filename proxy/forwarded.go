package proxy

import "bytes"

// appendForwarded writes Forwarded (RFC 7239): this hop alone, or behind what a
// trusted peer sent. A peer that sent X-Forwarded-For only has it translated
// (section 7.4), so that the list begins with the client all the same.
func (h *head) appendForwarded(dst []byte, b *fieldBlock) []byte {
	dst = append(dst, "Forwarded: "...)
	if h.trusted {
		start := len(dst)
		for i := range b.fields {
			if f := &b.fields[i]; f.value < f.end && isName(b.nameOf(f), "forwarded") {
				dst = append(dst, b.valueOf(f)...)
				dst = append(dst, ',', ' ')
			}
		}
		if len(dst) == start {
			dst = appendTranslated(dst, b)
		}
	}
	dst = appendNode(dst, h.peer)
	if len(h.public) > 0 {
		dst = append(dst, ";host="...)
		dst = appendQuoted(dst, h.public)
	}
	dst = append(dst, ";proto="...)
	dst = append(dst, h.proto...)
	return append(dst, '\r', '\n')
}

// appendTranslated appends an element for each address in X-Forwarded-For. The
// first one, the client's, has what the other fields say of it.
func appendTranslated(dst []byte, b *fieldBlock) []byte {
	first := true
	for i := range b.fields {
		f := &b.fields[i]
		if f.kind != forwardedFor {
			continue
		}
		for list := b.valueOf(f); len(list) > 0; {
			var address []byte
			if address, list = nextToken(list); len(address) == 0 {
				continue
			}
			var text []byte
			if ip, ok := parseAddress(address); ok {
				var buf [48]byte
				text = ip.AppendTo(buf[:0])
			}
			dst = appendNode(dst, text)
			if first {
				if name, _ := nextToken(b.first(forwardedHost)); validHost(name) {
					dst = append(dst, ";host="...)
					dst = appendQuoted(dst, name)
				}
				if proto, _ := nextToken(b.first(forwardedProto)); isName(proto, "http") || isName(proto, "https") {
					dst = append(dst, ";proto="...)
					dst = append(dst, bytes.ToLower(proto)...)
				}
				first = false
			}
			dst = append(dst, ',', ' ')
		}
	}
	return dst
}

// appendNode appends a for parameter (RFC 7239, section 6): an IPv6 address is
// in brackets and quoted.
func appendNode(dst, address []byte) []byte {
	dst = append(dst, "for="...)
	switch {
	case len(address) == 0:
		return append(dst, "unknown"...)
	case bytes.IndexByte(address, ':') < 0:
		return append(dst, address...)
	}
	dst = append(dst, '"', '[')
	dst = append(dst, address...)
	return append(dst, ']', '"')
}

// appendQuoted appends a value, as a quoted string if it is no token (RFC
// 9110, section 5.6).
func appendQuoted(dst, value []byte) []byte {
	token := true
	for _, c := range value {
		token = token && ('a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9' || c == '.' || c == '-' || c == '_')
	}
	if token {
		return append(dst, value...)
	}
	dst = append(dst, '"')
	for _, c := range value {
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c >= ' ' && c != 0x7f:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}
