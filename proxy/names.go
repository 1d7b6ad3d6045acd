package proxy

// classify returns what the policy does with a field of that name.
//
// A Connection header may name only fields that are meant for this hop (RFC
// 9110, section 7.6.1). Whoever lists Authorization, Cookie or Content-Type
// there wants a backend to see a request that the client did not make, so the
// fields that requests depend on are endToEnd.
//
// Names that gateways to applications would take for those of the framing are
// malformed, as are names that are no token.
func classify(name []byte) kind {
	switch name[0] | 0x20 {
	case 'a':
		if isName(name, "authorization") {
			return endToEnd
		}
	case 'c':
		switch {
		case isName(name, "cookie"):
			return cookie
		case isName(name, "connection"):
			return connection
		case isName(name, "content-length"):
			return contentLength
		case isName(name, "content-type"), isName(name, "content-encoding"),
			isName(name, "content-range"), isName(name, "cache-control"):
			return endToEnd
		case isNameOrUnderscored(name, "content-length"):
			return malformed
		}
	case 'd':
		if isName(name, "date") {
			return endToEnd
		}
	case 'e':
		if isName(name, "expect") {
			return hopByHop // the 100 was sent by us: RFC 9110, section 10.1.1
		}
	case 'f':
		if isName(name, "forwarded") {
			return forwardedOther
		}
	case 'h':
		switch {
		case isName(name, "host"):
			return host
		case isName(name, "http2-settings"):
			return hopByHop // of an upgrade to h2c, which is not offered: RFC 7540, section 3.2.1
		}
	case 'k':
		if isName(name, "keep-alive") {
			return hopByHop
		}
	case 'o':
		if isName(name, "origin") {
			return endToEnd
		}
	case 'p':
		if isName(name, "proxy") || // which CGI would make HTTP_PROXY of, and its clients believe
			isName(name, "proxy-connection") || isName(name, "proxy-authorization") || isName(name, "proxy-authenticate") {
			return hopByHop
		}
	case 's':
		if isName(name, "set-cookie") || len(name) > 14 && isName(name[:14], "sec-websocket-") && isVisible(name[14:]) {
			return endToEnd
		}
	case 't':
		switch {
		case isName(name, "te"):
			return te
		case isName(name, "trailer"):
			return trailer
		case isName(name, "transfer-encoding"):
			return transferEncoding
		case isNameOrUnderscored(name, "transfer-encoding"):
			return malformed
		}
	case 'u':
		if isName(name, "upgrade") {
			return upgrade
		}
	case 'x':
		if k := classifyX(name); k != plain {
			return k
		}
	}
	if !isVisible(name) {
		return malformed
	}
	return plain
}

// isVisible tells whether text holds printable ASCII only, and no blank; fasthttp
// has seen to the rest of what is no token (RFC 9110, section 5.6.2).
func isVisible(text []byte) bool {
	for _, c := range text {
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return true
}

// classifyX sorts the fields that this proxy itself writes. Many gateways to
// applications (CGI, WSGI) cannot tell X_Forwarded_For from X-Forwarded-For,
// so neither do we.
func classifyX(name []byte) kind {
	switch {
	case isNameOrUnderscored(name, "x-request-id"):
		return requestIDField
	case isNameOrUnderscored(name, "x-client-cert-subject"):
		return clientCertField
	case len(name) <= len("x-forwarded-") || !isNameOrUnderscored(name[:12], "x-forwarded-"):
		return plain
	case isNameOrUnderscored(name[12:], "for"):
		return forwardedFor
	case isNameOrUnderscored(name[12:], "proto"):
		return forwardedProto
	case isNameOrUnderscored(name[12:], "host"):
		return forwardedHost
	case !isVisible(name[12:]):
		return malformed
	}
	return forwardedOther
}

// isName compares a name with one in lower case, ignoring the case of ASCII
// letters only.
func isName(name []byte, lower string) bool {
	if len(name) != len(lower) {
		return false
	}
	for i, c := range name {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// isNameOrUnderscored is isName with an underscore for a hyphen allowed.
func isNameOrUnderscored(name []byte, lower string) bool {
	if len(name) != len(lower) {
		return false
	}
	for i, c := range name {
		switch {
		case 'A' <= c && c <= 'Z':
			c |= 0x20
		case c == '_':
			c = '-'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}
