package proxy

// appendPlain appends path as the most obliging of servers may understand it:
// percent-encoding decoded, also of slashes and of what was encoded twice;
// backslashes turned; parameters behind a semicolon cut from each segment, and
// what is behind a decoded "?" or "#"; empty segments and "." left out. A
// malformed escape stands for itself.
//
// A server that understands less finds less of it: a path that leads to one
// route as it is written, and also as it is here, leads there for every server.
// ok is false for what that does not hold of:
//
//   - A segment "..", however disguised: what it takes away depends on how much
//     of the rest is understood. RFC 3986, section 5.2.4, has clients resolve it
//     before they send.
//   - A slash within parameters that is encoded, or a backslash: for some the
//     parameters end there, for others at the next plain slash.
//   - An encoded control character: some take it for the end, others trim it.
//
// Where two slashes begin a path some servers read a host (RFC 3986, section
// 4.2). For them it begins at plain[host:]; host is 0 if nothing looks like one.
// A slash within it must be plain, too.
func appendPlain(dst, path []byte) (plain []byte, host int, ok bool) {
	root := len(dst)
	dst = append(dst, '/')
	segment := len(dst)              // where the last one begins
	end := 0                         // of what is not to be cut from it; 0: all stays
	doubtful, inHost := false, false // not every server ends it at a slash that is not plain; it may be a host
	for i, c := range path {
		var decoded bool
		dst, decoded = appendDecoded(dst, segment, c)
		c = dst[len(dst)-1]
		slash := c == '/' || c == '\\'
		switch {
		case c < ' ' || c == 0x7f, slash && doubtful && (decoded || c == '\\'):
			return dst, 0, false
		case !slash && c != ';' && !(decoded && (c == '?' || c == '#')):
			continue
		case end == 0:
			end = len(dst) - 1
		}
		doubtful = doubtful || c == ';'
		if !slash {
			continue
		}
		if dst, ok = closeSegment(dst[:end], segment); !ok {
			return dst, 0, false
		}
		if inHost && len(dst) > segment {
			host = len(dst)
		}
		if dst[len(dst)-1] != '/' {
			dst = append(dst, '/')
		}
		segment, end = len(dst), 0
		inHost = host == 0 && i > 0 && segment == root+1
		doubtful = inHost
	}
	if end > 0 {
		dst = dst[:end]
	}
	dst, ok = closeSegment(dst, segment)
	if inHost && len(dst) > segment {
		host = len(dst)
	}
	return dst, host, ok
}

// appendDecoded appends c or, if it completes an escape of the segment that
// begins at that offset, what the escape stands for.
func appendDecoded(dst []byte, segment int, c byte) (longer []byte, decoded bool) {
	dst = append(dst, c)
	for {
		n := len(dst)
		if n-segment < 3 || dst[n-3] != '%' {
			return dst, decoded
		}
		high, low := unhex(dst[n-2]), unhex(dst[n-1])
		if high < 0 || low < 0 {
			return dst, decoded
		}
		dst = append(dst[:n-3], byte(high<<4|low)) // #nosec G115 -- two digits
		decoded = true
	}
}

// closeSegment takes the last segment of path, which begins at that offset, away
// if it is "."; ok is false if it is "..".
func closeSegment(path []byte, segment int) (closed []byte, ok bool) {
	switch string(path[segment:]) {
	case ".":
		return path[:segment], true
	case "..":
		return path, false
	}
	return path, true
}

// isPlain tells whether appendPlain would return path as it is.
func isPlain(path []byte) bool {
	slash := false
	for _, c := range path {
		switch {
		case c == '%' || c == '\\' || c == ';':
			return false
		case slash && (c == '/' || c == '.'):
			return false
		}
		slash = c == '/'
	}
	return true
}
