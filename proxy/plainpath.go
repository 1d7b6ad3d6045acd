package proxy

// appendPlain appends path as the most obliging of servers may understand it:
// percent-encoding decoded, also of slashes; backslashes turned; parameters
// behind a semicolon cut from each segment; empty segments and "." left out. A
// malformed escape stands for itself.
//
// ok is false if the path has a segment "..", however disguised: what it takes
// away depends on how much of the rest a server understands, so there is no
// telling where it leads. RFC 3986, section 5.2.4, has clients resolve it before
// they send. It is also false if the path holds an encoded NUL, which some take
// for its end.
func appendPlain(dst, path []byte) (plain []byte, ok bool) {
	dst = append(dst, '/')
	segment := len(dst)
	parameters := false
	for i := 0; i < len(path); i++ {
		c := path[i]
		if c == '%' && i+2 < len(path) {
			high, low := unhex(path[i+1]), unhex(path[i+2])
			if high >= 0 && low >= 0 {
				c = byte(high<<4 | low) // #nosec G115 -- two digits
				i += 2
			}
			if c == 0 {
				return dst, false
			}
		}
		switch {
		case c == '/' || c == '\\':
			parameters = false
			if dst, ok = closeSegment(dst, segment); !ok {
				return dst, false
			}
			if dst[len(dst)-1] != '/' {
				dst = append(dst, '/')
			}
			segment = len(dst)
		case c == ';':
			parameters = true
		case !parameters:
			dst = append(dst, c)
		}
	}
	return closeSegment(dst, segment)
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
